"""Conditions that stand after a list of values: a modulus, "k in Z"; and names of number sets."""

from __future__ import annotations

from fractions import Fraction
from math import gcd
from typing import TYPE_CHECKING

from butwait.transforms.verify.braces import family_of
from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Chain,
    Const,
    Fn,
    Mul,
    NamedSet,
    Node,
    Num,
    Residue,
    Seq,
    Span,
    Sym,
    Unreadable,
    number,
    scalar,
    symbols,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_INFINITY = Const("inf")
_MINUS_INFINITY = Mul((number(-1), _INFINITY))


def with_condition(node: Seq) -> Node:
    """A list whose last item is a condition on the others, as one answer."""
    last = node.items[-1]
    rest = node.items[:-1]
    if isinstance(last, Residue):
        common = _common_class(node) if node.joiner == "and" else None
        if common is not None:
            return common
        classes = _classes(rest, last)
        return Seq("list", classes, "or") if classes else node
    if isinstance(last, Chain) and last.relations == ("in",):
        members = [_member(item, last) for item in rest]
        known = tuple(member for member in members if member is not None)
        if len(known) == len(members):
            return known[0] if len(known) == 1 else Seq("list", known, node.joiner)
    return node


def _common_class(node: Seq) -> Node | None:
    """``x = 2 (mod 3) and x = 3 (mod 5)`` as the one class that meets both."""
    found = [_numbers(item) for item in node.items if isinstance(item, Residue)]
    known = [pair for pair in found if pair is not None]
    names = {item.name for item in node.items if isinstance(item, Residue)}
    if len(known) < len(node.items) or len({m for _, m in known}) < len(known) or len(names) > 1:
        return None
    value, modulus = known[0]
    for other, m in known[1:]:
        shared = gcd(modulus, m)
        if (other - value) % shared or modulus * m > _MOST_MODULUS:
            return NamedSet("empty") if (other - value) % shared else None
        step = (other - value) // shared * pow(modulus // shared, -1, m // shared)
        value, modulus = value + modulus * (step % (m // shared)), modulus // shared * m
    return Residue(number(value % modulus), number(modulus), *names)


def _numbers(item: Residue) -> tuple[int, int] | None:
    values = [x.value for x in (item.value, item.modulus) if isinstance(x, Num)]
    if len(values) < 2 or any(x.denominator != 1 for x in values) or values[1] < 1:
        return None
    return int(values[0]), int(values[1])


_MOST_MODULUS = 10**12


def _classes(items: Sequence[Node], last: Residue) -> tuple[Node, ...]:
    """``n = 1, 4 (mod 5)``: the modulus belongs to every value before it."""
    out: list[Node] = []
    for item in items:
        if isinstance(item, Chain) and item.relations == ("equiv",):
            item = item.items[1]
        if not isinstance(item, SCALARS):
            return ()
        out.append(Residue(item, last.modulus, last.name))
    return (*out, last)


def _member(item: Node, condition: Chain) -> Node | None:
    """An item over all values of the parameter that the condition names."""
    name = condition.items[0]
    if not isinstance(name, Sym):
        return None
    if isinstance(item, Chain) and item.relations == ("=",):
        left, right = item.items
        family = family_of(right, condition)
        if family is None or name.name not in symbols(right):
            return None
        return Chain((left, family), ("=",))
    family = family_of(item, condition)
    value = family.value if family is not None else None
    ends = (value.low, value.high) if isinstance(value, Span) else (item,)
    known = value is not None and any(name.name in symbols(end) for end in ends)
    return family if known else None


def congruence(node: Chain, modulus: Node | None) -> Node:
    """``a x = b (mod m)`` as the class of x; without a modulus the chain as it is.

    Raises:
        Unreadable: Several congruences in one chain, or a left side that is no multiple of a name.
    """
    if len(node.items) != 2:
        raise Unreadable("chain of congruences")
    left, right = node.items
    if modulus is None and isinstance(right, Fn) and right.name == "mod":
        right, modulus = right.args
    if modulus is None:
        return node
    if isinstance(left, Sym):
        return Residue(scalar(right), modulus, left.name)
    return _solved(left, right, modulus)


def _solved(left: Node, right: Node, modulus: Node) -> Node:
    """``2x + 1 = 7 (mod 10)`` as ``x = 3 (mod 5)``."""
    if not isinstance(modulus, Num) or not isinstance(right, Num):
        raise Unreadable("congruence")
    slope, offset = _line(left)
    known = [slope, right.value - offset, modulus.value]
    if not slope or any(x.denominator != 1 for x in known) or known[2] < 1:
        raise Unreadable("congruence")
    a, b, m = (int(x) for x in known)
    shared = gcd(a, m)
    if b % shared:
        return NamedSet("empty")
    m //= shared
    value = b // shared * pow(a // shared, -1, m) % m if m > 1 else 0
    return Residue(number(value), number(m), *symbols(left))


def _line(node: Node) -> tuple[Fraction, Fraction]:
    """Slope and offset of ``a x + b`` with written numbers and one name.

    Raises:
        Unreadable: Anything else.
    """
    if isinstance(node, Sym):
        return Fraction(1), Fraction(0)
    if isinstance(node, Num):
        return Fraction(0), node.value
    if isinstance(node, Mul) and len(node.items) == 2 and isinstance(node.items[0], Num):
        slope, offset = _line(node.items[1])
        return slope * node.items[0].value, offset * node.items[0].value
    if isinstance(node, Add) and len(symbols(node)) == 1:
        parts = [_line(item) for item in node.items]
        return sum((p[0] for p in parts), Fraction(0)), sum((p[1] for p in parts), Fraction(0))
    raise Unreadable("congruence")


def named_set(letter: str, mark: str) -> Node:
    """``\\mathbb{R}^+`` and its like: an interval, or a set under one name."""
    mark = mark.replace("geq", "ge").replace("leq", "le").replace(" ", "")
    if letter == "R":
        ends = _HALF_LINES.get(mark)
        if ends is not None:
            return Span(*ends)
    return NamedSet(_SAME_SETS.get(letter + mark, letter + mark))


_HALF_LINES: dict[str, tuple[Node, Node, bool, bool]] = {
    "+": (number(0), _INFINITY, False, False),
    ">0": (number(0), _INFINITY, False, False),
    "++": (number(0), _INFINITY, False, False),
    "ge0": (number(0), _INFINITY, True, False),
    "-": (_MINUS_INFINITY, number(0), False, False),
    "<0": (_MINUS_INFINITY, number(0), False, False),
    "le0": (_MINUS_INFINITY, number(0), False, True),
}
_SAME_SETS = {
    "Z>0": "Z+", "N*": "Z+", "N+": "Z+", "N>0": "Z+", "Zge1": "Z+", "Nge1": "Z+", "Zge0": "N0",
    "N_0": "N0", "Nge0": "N0", "Z-": "Z-", "Z<0": "Z-", "Z*": "Z*",
}  # fmt: skip
