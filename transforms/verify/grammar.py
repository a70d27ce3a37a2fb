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
    read_angle,
    read_bars,
    read_count,
    read_fraction,
    read_function,
    read_root,
    with_degrees,
)
from butwait.transforms.verify.lexer import Token
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.linear import (
    is_transpose,
    opposite,
    plus,
    raised,
    times,
    transposed,
)
from butwait.transforms.verify.names import read_name
from butwait.transforms.verify.numerals import whole_number
from butwait.transforms.verify.progressions import DOTS, summed
from butwait.transforms.verify.series import SERIES, read_series
from butwait.transforms.verify.tree import (
    Const,
    Div,
    Fn,
    Matrix,
    Mul,
    NamedSet,
    Node,
    Num,
    PlusMinus,
    Pow,
    Seq,
    SetOp,
    Span,
    Unreadable,
    negate,
    number,
    scalar,
)
from butwait.transforms.verify.vocabulary import FUNCTIONS, GREEK

_PASS = frozenset({"vec", "hat", "tilde", "widehat", "widetilde", "overrightarrow", "underline",
                   "displaystyle", "ensuremath", "boxed", "fbox"})  # fmt: skip
_STARTS = frozenset({"num", "sym", "open"})


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
        token = self.tokens[self.at]
        return token.kind == kind and (not texts or token.text in texts)

    def accept(self, kind: str, *texts: str) -> bool:
        """Pass over the next token if it is one of these."""
        token = self.tokens[self.at]
        if token.kind != kind or (texts and token.text not in texts):
            return False
        self.take()
        return True

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
            # "1 + 2 + ... + n"
            dots = self.peek(1).text == "ldots" and self.peek(2).text == "+"
            items.append(DOTS if dots else self._signed())
            self.at += 2 if dots else 0
        self.depth -= 1
        return items[0] if len(items) == 1 else plus(summed(items) if DOTS in items else items)

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
        if both and isinstance(term, Seq) and term.kind == "tuple":
            return Seq("list", (term, opposite(term)), "or")
        if both:
            return PlusMinus(scalar(term), both * sign)
        return opposite(term) if sign < 0 else term

    def product(self) -> Node:
        """Explicit and juxtaposed products and quotients, left to right."""
        result = self.power()
        while True:
            if self.accept("op", "*"):
                result = times(result, self._after_sign())
            elif self.accept("op", "/"):
                result = Div(scalar(result), scalar(self._factor()))
            elif self.accept("cmd", "mod"):
                result = Fn("mod", (scalar(result), scalar(self.power())))
            elif self.starts_factor() and not self._joins_sets(result):
                if self.saw("num") and at_mixed_number(self, result):
                    result = read_mixed(self, result)
                    continue
                result = self._juxtapose(result)
            else:
                return result

    def _joins_sets(self, left: Node) -> bool:
        """Whether a letter U stands for the union sign."""
        return self.saw("sym", "U") and isinstance(left, Span | Seq | NamedSet | SetOp)

    def _after_sign(self) -> Node:
        """A factor after a product sign, which may be a mixed number: ``2 * 3 1/4``."""
        factor = self._factor()
        written = isinstance(factor, Num) and factor.literal and factor.value.denominator == 1
        return self._juxtapose(factor) if written and self.saw("cmd", "frac") else factor

    def _factor(self) -> Node:
        if self.accept("op", "-"):
            return opposite(self._factor())
        self.accept("op", "+")
        return self.power()

    def _juxtapose(self, left: Node) -> Node:
        written = isinstance(left, Num) and left.literal and left.value.denominator == 1
        fraction = self.saw("cmd", "frac") or (self.next.text, self.peek(1).text) == ("{", "frac")
        right = self.power()
        degrees = isinstance(right, Mul) and len(right.items) == 2 and right.items[1] == _DEGREE
        if written and fraction and degrees and isinstance(right, Mul):
            return times(self._mixed(left, right.items[0]), _DEGREE)
        return self._mixed(left, right) if written and fraction else times(left, right)

    def _mixed(self, left: Node, right: Node) -> Node:
        """A whole number before a proper fraction, as their sum."""
        if isinstance(right, Div) and isinstance(left, Num):
            up, down = right.num, right.den
            if isinstance(up, Num) and isinstance(down, Num) and 0 <= up.value < down.value:
                return Num(left.value + up.value / down.value, False)
        return times(left, right)

    def starts_factor(self) -> bool:
        """Whether a juxtaposed factor may begin here."""
        token = self.next
        if token.kind == "open":
            return not self._opens_modulus()
        if token.kind in _STARTS:
            return True
        if token.kind == "op":
            return token.text == "left|" or (token.text == "|" and self.bars == 0)
        if token.kind != "cmd":
            return False
        name = token.text
        return (
            name in ("frac", "sqrt", "pi", "infty", "binom", "lfloor", "lceil", "overline", "cbrt")
            or name in GREEK
            or name in FUNCTIONS
            or name in _PASS
            or name in SERIES
            or name in ("perm", "begin")
        )

    def _opens_modulus(self) -> bool:
        return self.next.text == "(" and self.peek(1).text == "mod"

    # -- powers and postfixes ----------------------------------------------------------------

    def power(self) -> Node:
        """An atom with its postfixes and exponent."""
        self.deeper()
        base = self.postfixed(self.atom())
        while self.saw("op", "^"):
            self.take()
            if self.degree_sign():
                base = with_degrees(self, base)
            elif self.accept("cmd", "prime"):
                break
            elif isinstance(base, Matrix):
                base = transposed(base) if is_transpose(self) else raised(base, self.exponent())
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
            self.at += 3
            return True
        return False

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
                base = with_degrees(self, base)
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
            return read_name(self, token.text)
        if token.kind == "open":
            inner = self.bracket(token.text)
            # A number in brackets is a factor, not the whole part of a mixed number.
            plain = token.text == "(" and isinstance(inner, Num) and inner.literal
            return Num(inner.value, False) if plain and isinstance(inner, Num) else inner
        if token.kind == "cmd":
            return self._command(token.text)
        if token.kind == "op" and token.text in ("|", "left|"):
            return read_bars(self, token.text)
        if token.kind == "op" and token.text == "!" and self.saw("num"):
            return Fn("subfact", (scalar(self.atom()),))
        raise Unreadable(f"unexpected {token.text!r}")

    def _number(self, token: Token) -> Node:
        if self.saw("cmd", "overline", "dot") and "." in token.text:
            return read_repeating(self, token.text)
        return Num(token.value, token.exact)

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

    def _command(self, name: str) -> Node:
        if name == "frac":
            return read_fraction(self)
        if name in ("binom", "perm"):
            return read_count(self, name)
        if name in ("cbrt", "overline"):
            inner = self.argument()
            return Fn("root", (inner, number(3))) if name == "cbrt" else Fn("overline", (inner,))
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in ("lfloor", "lceil"):
            inner = scalar(self.sum())
            self.expect("cmd", "rfloor", "rceil")
            return Fn("floor" if name == "lfloor" else "ceil", (inner,))
        if name in GREEK:
            return read_name(self, name)
        if name in _PASS:
            return self.atom()
        reader = READERS.get(name)
        return self.special(name) if reader is None else reader(self, name)

    def argument(self) -> Node:
        """One argument of a command: a group or a single token (one digit of a number)."""
        # "\frac12" takes one digit each: split the number token.
        token = self.next
        if token.kind == "num" and token.text.isdigit() and len(token.text) > 1:
            rest = Fraction(whole_number(token.text[1:]))
            self.tokens[self.at] = Token("num", token.text[1:], rest)
            return Num(Fraction(token.text[0]))
        return scalar(self.whole_argument())

    def whole_argument(self) -> Node:
        """One argument, a number taken whole."""
        self.deeper()
        inner = self.atom()
        self.depth -= 1
        return inner


_DEGREE = Const("deg")
_CONSTANTS = {"pi": Const("pi"), "infty": Const("inf")}
READERS: dict[str, Callable[[Scalars, str], Node]] = {
    **dict.fromkeys(FUNCTIONS, read_function),
    **dict.fromkeys(SERIES, read_series),
    "sqrt": read_root,
    "angle": read_angle,
}
