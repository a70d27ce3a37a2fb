"""Names of the scalar grammar: variables with index and primes, function calls, named points."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.functions import read_call, read_indexed_count
from butwait.transforms.verify.tree import Const, Fn, Mul, Node, Num, Pow, Sym, scalar

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

_RELATIONS = frozenset({"=", "<", ">", "le", "ge", "ne"})
_CALLABLE = frozenset("fghFGH")
# Functions only where their value is named; products of letters elsewhere.
_NAMED_FUNCTIONS = frozenset("pqrstuvyPQRSTUV")


def read_name(p: Scalars, name: str) -> Node:
    """A name with its index, primes and star; a function of it; a named point."""
    if p.saw("op", "_"):
        p.take()
        start = p.at
        index = p.group_text()
        if name in ("C", "A", "P") and p.saw("op", "^"):
            return read_indexed_count(p, name, start)
        return Sym(f"{name}_{index}")
    while p.saw("op", "'"):
        p.take()
        name += "'"
    if name in ("e", "i"):
        return Const(name)
    if _conjugate_mark(p):
        name += "*"
    if len(name) == 1 and name.isupper() and p.saw("open", "(") and _relation_inside(p):
        return Sym(name + _bracket_text(p))
    if len(name) == 1 and name.isupper() and p.saw("open", "(") and _lists_inside(p):
        return read_call(p, name)
    if name[0] in _CALLABLE and p.saw("open", "(") and not p.next.space:
        return read_call(p, name)
    if name == "zeta" and p.saw("open", "("):
        return _zeta(scalar(p.atom()))
    if name.rstrip("'") in _NAMED_FUNCTIONS and p.saw("open", "(") and _names_a_value(p):
        return Fn("call", (Sym(name), scalar(p.atom())))
    return Sym(name)


def _zeta(argument: Node) -> Node:
    """Riemann's function: at even numbers a rational multiple of a power of pi."""
    n = int(argument.value) if isinstance(argument, Num) else 0
    if n < 2 or n % 2 or n > 40 or not isinstance(argument, Num) or argument.value != n:
        return Fn("call", (Sym("zeta"), argument))
    numbers = [Fraction(1)]
    for m in range(1, n + 1):
        terms = (math.comb(m + 1, k) * numbers[k] for k in range(m))
        numbers.append(-sum(terms, Fraction(0)) / (m + 1))
    scale = abs(numbers[n]) * Fraction(2 ** (n - 1), math.factorial(n))
    return Mul((Num(scale, False), Pow(Const("pi"), Num(Fraction(n), False))))


def _names_a_value(p: Scalars) -> bool:
    """Whether ``(x) =`` or ``(-1) =`` follows: the letter before it is a function."""
    at = 2 if p.peek(1).text == "-" else 1
    inside, close, after = p.peek(at), p.peek(at + 1), p.peek(at + 2)
    return inside.kind in ("sym", "num") and close.text == ")" and after.text == "="


def _lists_inside(p: Scalars) -> bool:
    """Whether the bracket that opens here holds a comma of its own."""
    depth = 0
    for token in p.tokens[p.at : p.at + 80]:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth == 0:
            return False
        if depth == 1 and token.text == "," and token.kind == "op":
            return True
    return False


def _relation_inside(p: Scalars) -> bool:
    """``P(X = 2)``: an event in brackets makes the whole a name."""
    depth = 0
    for token in p.tokens[p.at : p.at + 80]:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth == 0:
            return False
        if depth == 1 and token.kind == "op" and token.text in _RELATIONS:
            return True
    return False


def _bracket_text(p: Scalars) -> str:
    """The text of a bracket as written, not parsed; its end has been seen."""
    parts: list[str] = []
    depth = 1
    while depth:
        token = p.take()
        depth += {"open": int(bool(parts)), "close": -1}.get(token.kind, 0)
        parts.append(token.text)
    return "".join(parts)


def _conjugate_mark(p: Scalars) -> bool:
    """Pass over a star that marks a name, as in ``z^*``."""
    if not p.saw("op", "^"):
        return False
    braces = p.peek(1).text == "{"
    star, after = p.peek(2 if braces else 1), p.peek(4 if braces else 2)
    if star.text != "*" or (after.kind not in ("end", "close") and after.text not in "=,;<>"):
        return False
    for _ in range(4 if braces else 2):
        p.take()
    return True
