"""Precedence parser for scalars: sums, products, powers, functions, numbers.

The answer's outer shapes (lists, relations, intervals, sets) are in ``shapes``, which hands its
own reading of brackets and commands to this one. Depth is bounded; nothing is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from butwait.transforms.verify.lexer import FUNCTIONS, Token, repeating
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Const,
    Div,
    Fn,
    Matrix,
    Mul,
    Node,
    Num,
    PlusMinus,
    Pow,
    Seq,
    Sym,
    Unreadable,
    negate,
)

_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell mho".split()
)
_TRIG = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"})
_INVERSE = {"sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot"}
_PASS = frozenset({"vec", "hat", "tilde", "widehat", "widetilde", "overrightarrow", "underline",
                   "displaystyle", "ensuremath", "boxed", "fbox"})  # fmt: skip
_STARTS = frozenset({"num", "sym", "open"})
_CALLABLE = frozenset("fghFGH")


def number(value: int | Fraction) -> Num:
    """A computed (not written) number."""
    return Num(Fraction(value), False)


class Scalars:
    """Recursive descent over tokens; ``at`` is the next token.

    Args:
        tokens: Ends with an ``end`` token; owned by the parser from here on.
        limits: Depth is used.
        bracket: Reads what follows an opening bracket, given the bracket.
        special: Reads what follows a command that is no scalar, given its name.
    """

    def __init__(
        self,
        tokens: list[Token],
        limits: Limits,
        bracket: Callable[[str], Node],
        special: Callable[[str], Node],
    ) -> None:
        self.tokens = tokens
        self.bracket = bracket
        self.special = special
        self.limits = limits
        self.at = 0
        self.depth = 0
        self.bars = 0

    @property
    def next(self) -> Token:
        """The next token; the last one is always ``end``."""
        return self.tokens[self.at]

    def peek(self, ahead: int) -> Token:
        """The token ``ahead`` places on."""
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def take(self) -> Token:
        """The next token, passed over."""
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def saw(self, kind: str, *texts: str) -> bool:
        """Whether the next token is one of these."""
        token = self.next
        return token.kind == kind and (not texts or token.text in texts)

    def accept(self, kind: str, *texts: str) -> bool:
        """Pass over the next token if it is one of these."""
        if self.saw(kind, *texts):
            self.take()
            return True
        return False

    def expect(self, kind: str, *texts: str) -> None:
        """Pass over a token that must be there."""
        if not self.accept(kind, *texts):
            raise Unreadable(f"expected {texts or kind}, found {self.next.text!r}")

    def deeper(self) -> None:
        """One level down.

        Raises:
            Unreadable: Deeper than the limit.
        """
        self.depth += 1
        if self.depth > self.limits.depth:
            raise Unreadable("too deep")

    # -- sums and products -------------------------------------------------------------------

    def sum(self) -> Node:
        """``a + b - c``, with signs that may be plus-minus."""
        self.deeper()
        items = [self._signed()]
        while self.saw("op", "+", "-") or self.saw("cmd", "pm", "mp"):
            items.append(self._signed())
        self.depth -= 1
        return items[0] if len(items) == 1 else Add(tuple(items))

    def _signed(self) -> Node:
        sign, both = 1, 0
        while True:
            if self.accept("op", "-"):
                sign = -sign
            elif self.accept("cmd", "pm"):
                both = 1
            elif self.accept("cmd", "mp"):
                both = -1
            elif not self.accept("op", "+"):
                break
        term = self.product()
        if both:
            return PlusMinus(scalar(term), both * sign)
        return negate(scalar(term)) if sign < 0 else term

    def product(self) -> Node:
        """Explicit and juxtaposed products and quotients, left to right."""
        result = self.power()
        while True:
            if self.accept("op", "*"):
                result = _times(result, self._factor())
            elif self.accept("op", "/"):
                result = Div(scalar(result), scalar(self._factor()))
            elif self.saw("cmd", "mod") and not self._opens_modulus(0):
                self.take()
                result = Fn("mod", (scalar(result), scalar(self.power())))
            elif self.starts_factor():
                if self.saw("num") and self._mixed_or_stop(result):
                    result = self._mixed(result)
                    continue
                result = self._juxtapose(result)
            else:
                return result

    def _factor(self) -> Node:
        if self.accept("op", "-"):
            return negate(scalar(self._factor()))
        self.accept("op", "+")
        return self.power()

    def _juxtapose(self, left: Node) -> Node:
        written = isinstance(left, Num) and left.literal and left.value.denominator == 1
        fraction = self.saw("cmd", "frac")
        right = self.power()
        if written and fraction and isinstance(right, Div) and isinstance(left, Num):
            up, down = right.num, right.den
            if isinstance(up, Num) and isinstance(down, Num) and 0 <= up.value < down.value:
                return Num(left.value + up.value / down.value, False)
        return _times(left, right)

    def _mixed_or_stop(self, left: Node) -> bool:
        # "2 1/4" is a mixed number; any other pair of numbers side by side is unreadable.
        slash = self.peek(1)
        down = self.peek(2)
        if (
            isinstance(left, Num)
            and left.literal
            and left.value.denominator == 1
            and slash.text == "/"
            and down.kind == "num"
            and self.next.value.denominator == 1
            and 0 < self.next.value < down.value
        ):
            return True
        raise Unreadable("two numbers side by side")

    def _mixed(self, left: Node) -> Node:
        assert isinstance(left, Num)
        up = self.take().value
        self.take()
        return Num(left.value + up / self.take().value, False)

    def starts_factor(self) -> bool:
        """Whether a juxtaposed factor may begin here."""
        token = self.next
        if token.kind == "open":
            return not self._opens_modulus(1)
        if token.kind in _STARTS:
            return True
        if token.kind == "op":
            return token.text == "|" and self.bars == 0
        if token.kind != "cmd":
            return False
        name = token.text
        return (
            name in ("frac", "sqrt", "pi", "infty", "binom", "lfloor", "lceil", "overline", "cbrt")
            or name in _GREEK
            or name in FUNCTIONS
            or name in _PASS
        )

    def _opens_modulus(self, ahead: int) -> bool:
        return ahead == 1 and self.next.text == "(" and self.peek(1).text == "mod"

    # -- powers and postfixes ----------------------------------------------------------------

    def power(self) -> Node:
        """An atom with its postfixes and exponent."""
        self.deeper()
        base = self._postfixed(self.atom())
        while self.saw("op", "^"):
            self.take()
            if self._degree_sign():
                base = self._degrees(base)
            elif self._primes():
                break
            else:
                base = Pow(scalar(base), self._exponent())
            base = self._postfixed(base)
        self.depth -= 1
        return base

    def _degree_sign(self) -> bool:
        if self.accept("cmd", "circ"):
            return True
        if self.saw("open", "{") and self.peek(1).text == "circ" and self.peek(2).text == "}":
            for _ in range(3):
                self.take()
            return True
        return False

    def _primes(self) -> bool:
        return self.accept("cmd", "prime")

    def _degrees(self, base: Node) -> Node:
        value: Node = Mul((scalar(base), Const("deg")))
        if self.saw("num") and self.peek(1).text == "'":
            minutes = Num(self.take().value / 60, False)
            self.take()
            self.accept("op", "'")
            value = Add((value, Mul((minutes, Const("deg")))))
        return value

    def _exponent(self) -> Node:
        if self.accept("op", "-"):
            return negate(self._exponent())
        self.accept("op", "+")
        self.deeper()
        inner = self.atom()
        if self.saw("op", "^"):
            self.take()
            inner = Pow(scalar(inner), self._exponent())
        self.depth -= 1
        return scalar(inner)

    def _postfixed(self, base: Node) -> Node:
        while True:
            if self.saw("op", "!"):
                self.take()
                double = self.accept("op", "!")
                base = Fn("fact2" if double else "fact", (scalar(base),))
            elif self.saw("cmd", "circ"):
                self.take()
                base = self._degrees(base)
            elif self.saw("op", "%") and self._percent_inside():
                self.take()
                base = Div(scalar(base), number(100))
            elif self.saw("cmd", "ldots") and isinstance(base, Num) and base.literal:
                base = self._endless(base)
            else:
                return base

    def _percent_inside(self) -> bool:
        """A percent sign within an expression; one at its end belongs to the whole answer."""
        after = self.peek(1)
        return after.kind == "close" or (after.kind == "op" and after.text in "+-*/^")

    def _endless(self, base: Num) -> Node:
        digits = self.tokens[self.at - 1].text
        self.take()
        _, dot, tail = digits.partition(".")
        for size in range(1, len(tail) // 2 + 1):
            cycle = tail[-size:]
            times = 2 if size > 1 else 3
            if dot and tail.endswith(cycle * times):
                while tail.endswith(cycle):
                    tail = tail[: -len(cycle)]
                return Num(repeating(digits.partition(".")[0], tail, cycle), False)
        raise Unreadable("an unfinished decimal")

    # -- atoms -------------------------------------------------------------------------------

    def atom(self) -> Node:
        """A number, a name, a bracket or a command with its arguments."""
        token = self.take()
        if token.kind == "num":
            return self._number(token)
        if token.kind == "sym":
            return self._name(token.text)
        if token.kind == "open":
            return self.bracket(token.text)
        if token.kind == "cmd":
            return self._command(token.text)
        if token.kind == "op" and token.text == "|":
            return self._bars()
        raise Unreadable(f"unexpected {token.text!r}")

    def _number(self, token: Token) -> Node:
        if self.saw("cmd", "overline", "dot") and "." in token.text:
            return self._repeating(token.text)
        return Num(token.value, token.exact)

    def _repeating(self, text: str) -> Node:
        whole, _, fixed = text.partition(".")
        cycle = ""
        dotted: list[str] = []
        while self.saw("cmd", "overline", "dot"):
            dots = self.take().text == "dot"
            digits = self._digits()
            cycle += digits
            if dots:
                dotted.append(digits)
                while len(dotted) == 1 and self.saw("num") and self.peek(1).text == "dot":
                    cycle += self.take().text
        if not cycle:
            raise Unreadable("an empty cycle")
        return Num(repeating(whole, fixed, cycle), False)

    def _digits(self) -> str:
        braces = self.accept("open", "{")
        token = self.take()
        if braces:
            self.expect("close", "}")
        if token.kind != "num" or not token.text.isdigit():
            raise Unreadable("a cycle of digits")
        return token.text

    def _name(self, name: str) -> Node:
        if self.saw("op", "_"):
            self.take()
            start = self.at
            index = self._group_tokens()
            if name in ("C", "A", "P") and self.saw("op", "^"):
                return self._choose_index(name, start)
            return Sym(f"{name}_{index}")
        while self.saw("op", "'"):
            self.take()
            name += "'"
        if name in ("e", "i"):
            return Const(name)
        if name in ("C", "P") and self.saw("open", "("):
            return self._call(name)
        if name[0] in _CALLABLE and self.saw("open", "(") and not self.next.space:
            return self._call(name)
        return Sym(name)

    def _choose_index(self, name: str, start: int) -> Node:
        end = self.at
        self.at = start
        total = scalar(self.atom())
        self.at = end
        self.expect("op", "^")
        return Fn("binom" if name == "C" else "perm", (total, scalar(self.atom())))

    def _call(self, name: str) -> Node:
        inner = self.atom()
        args = inner.items if isinstance(inner, Seq) else (inner,)
        if len(args) == 2 and name in ("C", "P"):
            return Fn("binom" if name == "C" else "perm", (scalar(args[0]), scalar(args[1])))
        if name in ("C", "P"):
            return Mul((Sym(name), scalar(inner)))
        return Fn("call", (Sym(name), *(scalar(item) for item in args)))

    def _group_tokens(self) -> str:
        if not self.accept("open", "{"):
            return self.take().text
        parts: list[str] = []
        depth = 1
        while depth:
            token = self.take()
            if token.kind == "end" or len(parts) > 20:
                raise Unreadable("subscript")
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            parts.append(token.text)
        return "".join(parts[:-1])

    def _bars(self) -> Node:
        self.deeper()
        outer, self.bars = self.bars, 1
        inner = self.sum()
        self.expect("op", "|")
        self.bars = outer
        self.depth -= 1
        return Fn("abs", (scalar(inner),))

    def _command(self, name: str) -> Node:
        if name == "frac":
            return Div(self._argument(), self._argument())
        if name == "sqrt":
            return self._root()
        if name == "cbrt":
            return Fn("root", (self._argument(), number(3)))
        if name == "binom":
            return Fn("binom", (self._argument(), self._argument()))
        if name == "pi":
            return Const("pi")
        if name == "infty":
            return Const("inf")
        if name in ("lfloor", "lceil"):
            inner = self.sum()
            self.expect("cmd", "rfloor", "rceil")
            return Fn("floor" if name == "lfloor" else "ceil", (scalar(inner),))
        if name in FUNCTIONS:
            return self._function(name)
        if name in _GREEK:
            return self._name(name)
        if name in _PASS:
            return self.atom()
        if name == "overline":
            return Fn("overline", (self._argument(),))
        return self.special(name)

    def _argument(self) -> Node:
        # "\frac12" takes one digit each: split the number token.
        token = self.next
        if token.kind == "num" and token.text.isdigit() and len(token.text) > 1:
            self.tokens[self.at] = Token("num", token.text[1:], Fraction(token.text[1:]))
            return Num(Fraction(token.text[0]))
        self.deeper()
        inner = self.atom()
        self.depth -= 1
        return scalar(inner)

    def _root(self) -> Node:
        degree: Node | None = None
        if self.saw("open", "["):
            degree = scalar(self.atom())
        # "√12" and a sloppy "\\sqrt12" both mean the whole number.
        inner = scalar(self._argument_whole())
        return Fn("root", (inner, degree or number(2)))

    def _function(self, name: str) -> Node:
        base: Node | None = None
        power: Node | None = None
        while self.saw("op", "_", "^"):
            if self.take().text == "_":
                base = self._log_base()
            elif self._degree_sign():
                raise Unreadable("degrees of a function")
            else:
                power = self._exponent()
        argument = self._function_argument(name)
        if name in ("gcd", "lcm", "max", "min"):
            items = argument.items if isinstance(argument, Seq) else (argument,)
            return Fn(name, tuple(scalar(item) for item in items))
        if isinstance(argument, Matrix) and name == "det":
            return Fn("det", tuple(scalar(x) for row in argument.rows for x in row))
        return _apply(name, scalar(argument), base, power)

    def _log_base(self) -> Node:
        if self.saw("num") and self.next.text != "10":
            return self._argument()
        return scalar(self._argument_whole())

    def _argument_whole(self) -> Node:
        self.deeper()
        inner = self.atom()
        self.depth -= 1
        return inner

    def _function_argument(self, name: str) -> Node:
        self.deeper()
        if self.saw("open", "(", "[", "{"):
            braces = self.saw("open", "{")
            inner = self._postfixed(self.atom())
            if not braces or name not in _TRIG | {"ln", "log", "lg"}:
                self.depth -= 1
                return inner
        else:
            sign = self.accept("op", "-")
            inner = self.power()
            inner = negate(scalar(inner)) if sign else inner
        while self.starts_factor() and not (
            self.saw("cmd") and self.next.text in FUNCTIONS or self.saw("open", "(", "[")
        ):
            inner = _times(inner, self.power())
        while self.accept("op", "/"):
            inner = Div(scalar(inner), scalar(self.power()))
        self.depth -= 1
        return inner


def _apply(name: str, argument: Node, base: Node | None, power: Node | None) -> Node:
    if name == "lg":
        name, base = "log", base or number(10)
    if name == "exp":
        value: Node = Pow(Const("e"), argument)
    elif name in ("ln", "log"):
        value = Fn("log", (argument,) if base is None else (argument, base))
        if name == "log" and base is None:
            value = Fn("log", (argument, Sym("log base")))
    elif power == number(-1) or power == Num(Fraction(-1)):
        if name not in _INVERSE:
            raise Unreadable("inverse function")
        return Fn(_INVERSE[name], (argument,))
    else:
        value = Fn({"arcsin": "asin"}.get(name, name), (argument,))
    return value if power is None else Pow(value, power)


def _times(left: Node, right: Node) -> Node:
    return Mul((scalar(left), scalar(right)))


def scalar(node: Node) -> Node:
    """The node itself.

    Raises:
        Unreadable: A shape (list, set, relation) where a value must stand.
    """
    if not isinstance(node, SCALARS):
        raise Unreadable("a shape inside an expression")
    return node
