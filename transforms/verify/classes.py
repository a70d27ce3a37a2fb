"""Residue classes, and families of values over the integers.

``3 (mod 5)``, ``3 or 8 (mod 10)`` and ``5k + 3 with k in Z`` are the same set. Leaves out: unions
of families that only together make another one.
"""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.exact import Exact
from butwait.transforms.verify.forms import Form, TooBig, Undefined, as_rational
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.modular import remainder
from butwait.transforms.verify.scalars import equal_scalars
from butwait.transforms.verify.series import substitute
from butwait.transforms.verify.tree import (
    Add,
    Family,
    Mul,
    Node,
    Num,
    Residue,
    Seq,
    Span,
    Sym,
    number,
    symbols,
)

_MOST_MODULUS = 10_000
_PARAMETER = Sym("the parameter")
_NO_SHIFT: Node = number(0)
Line = tuple[Form, Form]


def classes_of(node: Node, limits: Limits) -> tuple[int, frozenset[int]] | None:
    """A modulus and the residues that belong to a set of classes, or None for anything else."""
    items = node.items if isinstance(node, Seq) and node.kind != "tuple" else (node,)
    found: list[tuple[int, int]] = []
    for item in items:
        one = _class_of(item, limits)
        if one is None:
            return None
        found.append(one)
    modulus = math.lcm(*(m for _, m in found))
    if not 0 < modulus <= _MOST_MODULUS:
        return None
    return modulus, frozenset(r for value, m in found for r in range(value % m, modulus, m))


def _class_of(item: Node, limits: Limits) -> tuple[int, int] | None:
    if isinstance(item, Family):
        if item.domain != "Z":
            return None
        line = _line(item, limits)
        start, step = (as_rational(x) for x in line) if line else (None, None)
        if start is None or step is None or not step:
            return None
        if start.denominator != 1 or step.denominator != 1 or abs(step) > _MOST_MODULUS:
            return None
        return int(start), abs(int(step))
    if not isinstance(item, Residue):
        return None
    value = remainder(item.value, item.modulus)
    if value is None or not isinstance(item.modulus, Num):
        return None
    return value, int(item.modulus.value)


def _class_names(node: Node) -> set[str]:
    """The variables that are said to be in some class."""
    items = node.items if isinstance(node, Seq) else (node,)
    classes = [item for item in items if isinstance(item, Residue) and not symbols(item.value)]
    return {item.name for item in classes if item.name}


def same_classes(a: Node, b: Node, limits: Limits) -> bool | None:
    """Whether two sets of residue classes are the same; None when that cannot be told."""
    names = _class_names(a), _class_names(b)
    if names[0] and names[1] and names[0] != names[1]:
        return False
    one, two = classes_of(a, limits), classes_of(b, limits)
    if one is None or two is None:
        return None
    modulus = math.lcm(one[0], two[0])
    if modulus > _MOST_MODULUS**2 or modulus // one[0] * len(one[1]) > _MOST_MODULUS:
        return None
    spread = [
        {r for start in residues for r in range(start, modulus, m)} for m, residues in (one, two)
    ]
    return spread[0] == spread[1]


def same_family(a: Family, b: Family, limits: Limits) -> bool | None:
    """Whether two families give the same values.

    Lines over the integers are compared up to a shift and the sign of the step; anything else is
    only ever shown equal, with the parameter renamed.
    """
    if isinstance(a.value, Span) and isinstance(b.value, Span):
        return _same_spans(a, b, limits)
    if isinstance(a.value, Span) or isinstance(b.value, Span):
        return False
    if _from_zero(a).domain == _from_zero(b).domain and _alike(
        _from_zero(a), _from_zero(b), limits
    ):
        return True
    if a.domain != "Z" or b.domain != "Z":
        return None
    known = _shift(a, b, limits)
    if known is None:
        return None
    steps, shift = known
    if abs(steps) != 1:
        return False
    return None if shift is None else shift.denominator == 1


def _from_zero(family: Family) -> Family:
    """Over whole numbers from zero on, where it counted from one."""
    if family.domain != "Z+" or isinstance(family.value, Span):
        return family
    later = Add((Sym(family.parameter), number(1)))
    return Family(substitute(family.value, family.parameter, later), family.parameter, "N0")


def _alike(a: Family, b: Family, limits: Limits, shift: Node = _NO_SHIFT, sign: int = 1) -> bool:
    """Whether the values are the same for every parameter ``k`` and ``sign * k + shift``.

    The parameter gets a name that neither side has: one side's may be a variable of the other.
    """
    one = substitute(a.value, a.parameter, _PARAMETER)
    moved = Add((Mul((number(sign), _PARAMETER)), shift))
    return equal_scalars(one, substitute(b.value, b.parameter, moved), limits) is True


def _shift(a: Family, b: Family, limits: Limits) -> tuple[Fraction, Fraction | None] | None:
    """How many steps of ``b`` one of ``a`` is, and how far their starts are apart in steps."""
    one, two = _line(a, limits), _line(b, limits)
    if one is None or two is None:
        return None
    exact = Exact(limits)
    try:
        steps = as_rational(exact.div(one[1], two[1]))
        shift = as_rational(exact.div(exact.sub(one[0], two[0]), two[1]))
    except (TooBig, Undefined, RecursionError):
        return None
    return None if steps is None else (steps, shift)


def _same_spans(a: Family, b: Family, limits: Limits) -> bool | None:
    """Two intervals that move with their parameters: the same shift for both ends."""
    assert isinstance(a.value, Span) and isinstance(b.value, Span)
    ends = [(span.low_closed, span.high_closed) for span in (a.value, b.value)]
    if ends[0] != ends[1]:
        return False
    lows = Family(a.value.low, a.parameter, a.domain), Family(b.value.low, b.parameter, b.domain)
    highs = Family(a.value.high, a.parameter, a.domain), Family(b.value.high, b.parameter, b.domain)
    known = _shift(*lows, limits)
    if a.domain != "Z" or b.domain != "Z" or known is None or known[1] is None:
        return None
    steps, shift = known[0], known[1]
    if abs(steps) != 1 or shift.denominator != 1:
        return False
    return _alike(*highs, limits, number(shift), int(steps))


def _line(family: Family, limits: Limits) -> Line | None:
    """Start and step of ``a + b k``, or None when the value is no such line."""
    exact = Exact(limits)
    try:
        at = [exact.form(substitute(family.value, family.parameter, number(k))) for k in (0, 1, 2)]
        step = exact.sub(at[1], at[0])
        line = exact.add(at[0], exact.mul(step, exact.atom(("v", family.parameter))))
        if not exact.equal(exact.form(family.value), line):
            return None
    except (TooBig, Undefined, RecursionError):
        return None
    return (at[0], step) if step.num else None


def member_of(value: Node, family: Family, limits: Limits) -> bool | None:
    """A bare value that still holds the family's parameter, with "k in Z" left out."""
    return equal_scalars(value, family.value, limits)
