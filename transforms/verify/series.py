"""Sums, products, integrals and limits of the scalar grammar, and finite ones multiplied out.

Trees: ``Fn("sum" | "prod" | "integral", (body, variable, low, high))`` and ``Fn("limit", (body,
variable, point))``. Leaves out: their closed forms (``symbolic``).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.tree import (
    BINDERS,
    Add,
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
    symbols,
)

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

SERIES = frozenset({"sum", "prod", "int", "lim"})
_MOST_TERMS = 1_000
_FEW_TERMS = 30


def read_series(p: Scalars, name: str) -> Node:
    """What follows ``\\sum``, ``\\prod``, ``\\int`` or ``\\lim``."""
    if name == "lim":
        return _read_limit(p)
    if name == "int":
        return _read_integral(p)
    variable, low, high = _read_range(p)
    body = scalar(p.product())
    return Fn(name, (body, variable, low, high))


def _read_range(p: Scalars) -> tuple[Node, Node, Node]:
    bounds: dict[str, list[Node]] = {}
    while p.saw("op", "_", "^"):
        mark = p.take().text
        if mark == "^":
            bounds[mark] = [scalar(p.whole_argument())]
            continue
        p.expect("open", "{")
        variable = scalar(p.atom())
        p.expect("op", "=")
        bounds[mark] = [variable, scalar(p.sum())]
        p.expect("close", "}")
    if set(bounds) != {"_", "^"} or not isinstance(bounds["_"][0], Sym):
        raise Unreadable("a sum without both bounds")
    return bounds["_"][0], bounds["_"][1], bounds["^"][0]


def _read_integral(p: Scalars) -> Node:
    bounds: dict[str, Node] = {}
    while p.saw("op", "_", "^"):
        mark = p.take().text
        sign = p.accept("op", "-")
        value = scalar(p.argument())
        bounds[mark] = Mul((number(-1), value)) if sign else value
    if set(bounds) != {"_", "^"}:
        raise Unreadable("an integral without both bounds")
    # The differential ends the integrand: cut the tokens there, so that "dx" is no product.
    end = _differential(p)
    variable = Sym(p.tokens[end + 1].text)
    del p.tokens[end]
    p.tokens[end].kind, p.tokens[end].text = "cmd", "differential"
    body: Node = number(1) if p.saw("cmd", "differential") else scalar(p.sum())
    p.expect("cmd", "differential")
    return Fn("integral", (body, variable, bounds["_"], bounds["^"]))


def _differential(p: Scalars) -> int:
    """Index of the ``d`` of ``dx``."""
    for k in range(p.at, len(p.tokens) - 1):
        here, after = p.tokens[k], p.tokens[k + 1]
        if here.kind == "sym" and here.text == "d" and after.kind == "sym":
            return k
    raise Unreadable("an integral without a differential")


def _read_limit(p: Scalars) -> Node:
    p.expect("op", "_")
    p.expect("open", "{")
    variable = scalar(p.atom())
    p.expect("op", "to")
    point = scalar(p.sum())
    p.expect("close", "}")
    if not isinstance(variable, Sym):
        raise Unreadable("a limit without a variable")
    return Fn("limit", (scalar(p.product()), variable, point))


def terms(node: Fn) -> Iterator[Node] | None:
    """The terms of a finite sum or product with whole bounds, or None."""
    body, variable, low, high = node.args
    if not isinstance(variable, Sym) or not isinstance(low, Num) or not isinstance(high, Num):
        return None
    if low.value.denominator != 1 or high.value.denominator != 1:
        return None
    first, last = int(low.value), int(high.value)
    if last - first >= _MOST_TERMS:
        return None
    return (substitute(body, variable.name, number(k)) for k in range(first, last + 1))


def geometric(node: Fn) -> Node | None:
    """The closed form of a long sum of powers ``b^k`` over ``k``, or None."""
    if node.name != "sum":
        return None
    body, variable, low, high = node.args
    if not isinstance(body, Pow) or body.exp != variable or not isinstance(variable, Sym):
        return None
    base = body.base
    if variable.name in symbols(base) or base == Num(Fraction(1)):
        return None
    if isinstance(low, Num) and isinstance(high, Num) and high.value - low.value < _FEW_TERMS:
        return None
    above = Add((Pow(base, Add((high, number(1)))), negate(Pow(base, low))))
    return Div(above, Add((base, number(-1))))


def substitute(node: Node, name: str, value: Node) -> Node:
    """A scalar with a value in the place of a variable; bound variables keep theirs."""
    if isinstance(node, Sym):
        return value if node.name == name else node
    if isinstance(node, Add | Mul):
        return type(node)(tuple(substitute(item, name, value) for item in node.items))
    if isinstance(node, Div):
        return Div(substitute(node.num, name, value), substitute(node.den, name, value))
    if isinstance(node, Pow):
        return Pow(substitute(node.base, name, value), substitute(node.exp, name, value))
    if isinstance(node, PlusMinus):
        return PlusMinus(substitute(node.item, name, value), node.sign)
    if isinstance(node, Fn):
        if node.name in BINDERS and node.args[1] == Sym(name):
            kept = node.args[:2]
            return Fn(node.name, kept + tuple(substitute(x, name, value) for x in node.args[2:]))
        return Fn(node.name, tuple(substitute(arg, name, value) for arg in node.args))
    return node
