"""Values with what stands around them: percent sign, currency, unit.

Leaves out: what units are worth (``units``).
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.tree import (
    Add,
    Div,
    Matrix,
    Mul,
    Node,
    Num,
    Percent,
    Seq,
    SetOp,
    Span,
    Unit,
    Unreadable,
    number,
    scalar,
)
from butwait.transforms.verify.units import CURRENCY_WORDS, read_unit

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

_ONE = Fraction(1)
_UNIT_TAIL = frozenset({"unit", "text"})
_DOLLAR_WORDS = ("dollars", "dollar", "USD", "usd")


def read_quantity(p: Scalars) -> Node:
    """A value, with percent sign, currency or unit."""
    sign = _dollars(p)
    if sign:
        return _money(p, sign, "dollars")
    if p.saw("unit") and p.next.text.lower() in CURRENCY_WORDS and p.peek(1).kind == "num":
        return _money(p, Num(_ONE, False), p.take().text)
    node = p.sum()
    if p.accept("cmd", "over"):
        node = Div(scalar(node), scalar(p.sum()))
    if p.accept("op", "%"):
        return _percent(node)
    if p.next.kind in _UNIT_TAIL and not isinstance(node, Seq | Span | Matrix | SetOp):
        node = _with_units(p, node)
    return node


def _dollars(p: Scalars) -> Node | None:
    # A minus may stand before the currency sign.
    if p.saw("op", "-") and p.peek(1).text == "$":
        p.take()
        p.take()
        return Num(_ONE * -1, False)
    return Num(_ONE, False) if p.accept("op", "$") else None


def _money(p: Scalars, sign: Node, currency: str) -> Node:
    value = scalar(p.sum())
    rest: list[tuple[str, int]] = []
    if p.next.kind in _UNIT_TAIL and p.next.text in (*_DOLLAR_WORDS, currency):
        p.take()
    if p.next.kind in _UNIT_TAIL or p.saw("op", "/"):
        rest = _unit_parts(p)
    return _unit([(currency, 1), *rest], Mul((sign, value)))


def _percent(node: Node) -> Node:
    """``100% - 30%``: the signs inside a sum have divided already."""
    if isinstance(node, Add):
        parts = [_signed_percent(item) for item in node.items[:-1]]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            return Percent(Add((*known, node.items[-1])))
    return Percent(scalar(node))


def _signed_percent(node: Node) -> Node | None:
    if isinstance(node, Div) and node.den == number(100):
        return node.num
    if isinstance(node, Mul) and len(node.items) == 2 and isinstance(node.items[0], Num):
        inner = _signed_percent(node.items[1])
        return None if inner is None else Mul((node.items[0], inner))
    return None


def _with_units(p: Scalars, node: Node) -> Node:
    total = _unit(_unit_parts(p), scalar(node))
    while p.saw("num") and isinstance(total, Unit):
        more = read_quantity(p)
        if not isinstance(more, Unit) or more.dims != total.dims:
            raise Unreadable("two units")
        both = Add((Mul((total.value, total.factor)), Mul((more.value, more.factor))))
        total = Unit(both, total.dims, Num(_ONE, False))
    return total


def put_together(items: list[Node]) -> Node | None:
    """``7 dollars and 8 cents`` as one amount: units of one kind, each smaller than the last."""
    units = [item for item in items if isinstance(item, Unit) and isinstance(item.factor, Num)]
    if len(units) < len(items) or len({unit.dims for unit in units}) > 1:
        return None
    sizes = [unit.factor.value for unit in units if isinstance(unit.factor, Num)]
    if any(a <= b for a, b in itertools.pairwise(sizes)):
        return None
    total = Add(tuple(Mul((unit.value, unit.factor)) for unit in units))
    return Unit(total, units[0].dims, Num(_ONE, False))


def _unit_parts(p: Scalars) -> list[tuple[str, int]]:
    parts: list[tuple[str, int]] = []
    sign = 1
    while True:
        if p.accept("op", "/"):
            sign = -1
        elif p.accept("op", "*", "-"):
            continue
        elif p.next.kind in _UNIT_TAIL or (sign < 0 and p.saw("sym")):
            for word in p.take().text.split():
                if word.lower() == "per":
                    sign = -1
                else:
                    parts.append((word, sign))
            _unit_power(p, parts)
        else:
            return parts


def _unit_power(p: Scalars, parts: list[tuple[str, int]]) -> None:
    if not p.saw("op", "^") or not parts:
        return
    p.take()
    negative = p.accept("op", "-")
    power = p.atom()
    if isinstance(power, Mul) and power.items[0] == number(-1):
        negative, power = True, power.items[1]
    if isinstance(power, Num) and power.value < 0:
        negative, power = True, number(-power.value)
    if not isinstance(power, Num) or not 1 <= power.value <= 9:
        raise Unreadable("power of a unit")
    word, sign = parts[-1]
    parts[-1] = (word, sign * int(power.value) * (-1 if negative else 1))


def _unit(parts: list[tuple[str, int]], value: Node) -> Node:
    dims, factor = read_unit(parts)
    return Unit(value, dims, factor) if dims else value
