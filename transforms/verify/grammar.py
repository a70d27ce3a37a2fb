"""Precedence parser for scalars: sums, products, powers, functions, numbers.

The answer's outer shapes (lists, relations, intervals, sets) are in ``shapes``, which hands its
own reading of brackets and commands to this one. Depth is bounded; nothing is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from butwait.transforms.verify.decimals import (
    at_mixed_number,
    read_endless,
    read_mixed,
    read_repeating,
)
from butwait.transforms.verify.functions import (
    read_call,
    read_function,
    read_indexed_count,
    read_root,
)
from butwait.transforms.verify.lexer import Token
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.tree import (
    Add,
    Const,
    Div,
    Fn,
    Mul,
    Node,
    Num,
    PlusMinus,
    Pow,
    Sym,
    Unreadable,
    negate,
    number,
    scalar,
)
from butwait.transforms.verify.vocabulary import FUNCTIONS, GREEK

_PASS = frozenset({"vec", "hat", "tilde", "widehat", "widetilde", "overrightarrow", "underline",
                   "displaystyle", "ensuremath", "boxed", "fbox"})  # fmt: skip
_STARTS = frozenset({"num", "sym", "open"})
_CALLABLE = frozenset("fghFGH")


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
                if self.saw("num") and at_mixed_number(self, result):
                    result = read_mixed(self, result)
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
            or name in GREEK
            or name in FUNCTIONS
            or name in _PASS
        )

    def _opens_modulus(self, ahead: int) -> bool:
        return ahead == 1 and self.next.text == "(" and self.peek(1).text == "mod"

    # -- powers and postfixes ----------------------------------------------------------------

    def power(self) -> Node:
        """An atom with its postfixes and exponent."""
        self.deeper()
        base = self.postfixed(self.atom())
        while self.saw("op", "^"):
            self.take()
            if self.degree_sign():
                base = self._degrees(base)
            elif self._primes():
                break
            else:
                base = Pow(scalar(base), self.exponent())
            base = self.postfixed(base)
        self.depth -= 1
        return base

    def degree_sign(self) -> bool:
        """Pass over a degree sign after ``^``."""
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

    def exponent(self) -> Node:
        """What stands after ``^``: right to left."""
        if self.accept("op", "-"):
            return negate(self.exponent())
        self.accept("op", "+")
        self.deeper()
        inner = self.atom()
        if self.saw("op", "^"):
            self.take()
            inner = Pow(scalar(inner), self.exponent())
        self.depth -= 1
        return scalar(inner)

    def postfixed(self, base: Node) -> Node:
        """A base with its factorials, degree signs, inner percent signs."""
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
                base = read_endless(self, base)
            else:
                return base

    def _percent_inside(self) -> bool:
        """A percent sign within an expression; one at its end belongs to the whole answer."""
        after = self.peek(1)
        return after.kind == "close" or (after.kind == "op" and after.text in "+-*/^")

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
            return read_repeating(self, token.text)
        return Num(token.value, token.exact)

    def _name(self, name: str) -> Node:
        if self.saw("op", "_"):
            self.take()
            start = self.at
            index = self.group_text()
            if name in ("C", "A", "P") and self.saw("op", "^"):
                return read_indexed_count(self, name, start)
            return Sym(f"{name}_{index}")
        while self.saw("op", "'"):
            self.take()
            name += "'"
        if name in ("e", "i"):
            return Const(name)
        if name in ("C", "P") and self.saw("open", "("):
            return read_call(self, name)
        if name[0] in _CALLABLE and self.saw("open", "(") and not self.next.space:
            return read_call(self, name)
        return Sym(name)

    def group_text(self) -> str:
        """The text of a braced group or of one token, not parsed."""
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
            return Div(self.argument(), self.argument())
        if name == "sqrt":
            return read_root(self)
        if name == "cbrt":
            return Fn("root", (self.argument(), number(3)))
        if name == "binom":
            return Fn("binom", (self.argument(), self.argument()))
        if name == "pi":
            return Const("pi")
        if name == "infty":
            return Const("inf")
        if name in ("lfloor", "lceil"):
            inner = self.sum()
            self.expect("cmd", "rfloor", "rceil")
            return Fn("floor" if name == "lfloor" else "ceil", (scalar(inner),))
        if name in FUNCTIONS:
            return read_function(self, name)
        if name in GREEK:
            return self._name(name)
        if name in _PASS:
            return self.atom()
        if name == "overline":
            return Fn("overline", (self.argument(),))
        return self.special(name)

    def argument(self) -> Node:
        """One argument of a command: a group or a single token (one digit of a number)."""
        # "\frac12" takes one digit each: split the number token.
        token = self.next
        if token.kind == "num" and token.text.isdigit() and len(token.text) > 1:
            self.tokens[self.at] = Token("num", token.text[1:], Fraction(token.text[1:]))
            return Num(Fraction(token.text[0]))
        self.deeper()
        inner = self.atom()
        self.depth -= 1
        return scalar(inner)

    def whole_argument(self) -> Node:
        """One argument, a number taken whole."""
        self.deeper()
        inner = self.atom()
        self.depth -= 1
        return inner


def _times(left: Node, right: Node) -> Node:
    return Mul((scalar(left), scalar(right)))
