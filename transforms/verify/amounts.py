"""Amounts: units, percent, ratios, clock times; given a way to compare two scalars.

Three-valued like ``decide``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from butwait.transforms.verify.readings import (
    degree_unit,
    hundredth,
    lettered,
    quotient,
    terms,
)
from butwait.transforms.verify.settle import Settled
from butwait.transforms.verify.tree import SCALARS, Clock, Mul, Node, Percent, Unit

Equal = Callable[[Node, Node], bool | None]
_HALF_DAY = 12


def every(parts: Sequence[bool | None]) -> bool | None:
    """Three-valued "and"."""
    if any(part is False for part in parts):
        return False
    return None if any(part is None for part in parts) else True


def either(*parts: bool | None) -> bool | None:
    """Three-valued "or"."""
    if any(part is True for part in parts):
        return True
    return None if any(part is None for part in parts) else False


def same_units(a: Node, b: Node, equal: Equal) -> bool | None:
    """A unit on one side only is ignored; on both it must be of one kind, and is converted."""
    a, b = lettered(a, b), lettered(b, a)
    a, b = degree_unit(a, b), degree_unit(b, a)
    if isinstance(a, Unit) and isinstance(b, Unit):
        if a.dims != b.dims:
            return False
        return equal(Mul((a.value, a.factor)), Mul((b.value, b.factor)))
    unit, bare = (a, b) if isinstance(a, Unit) else (b, a)
    assert isinstance(unit, Unit)
    if not isinstance(bare, SCALARS):
        return False
    plain = equal(unit.value, bare)
    if unit.dims == (("radian", 1),) and plain is not True:
        return either(plain, equal(Mul((unit.value, unit.factor)), bare))
    return plain


def same_percents(gold: Node, other: Node, equal: Equal) -> bool | None:
    """A percent sign divides by a hundred; it may be missing where the gold answer has it."""
    if isinstance(gold, Percent) and isinstance(other, Percent):
        return equal(gold.value, other.value)
    if isinstance(gold, Percent):
        if not isinstance(other, SCALARS):
            return False
        # A gold with a percent sign has said what the number counts.
        return either(equal(gold.value, other), equal(hundredth(gold), other))
    assert isinstance(other, Percent)
    return equal(gold, hundredth(other)) if isinstance(gold, SCALARS) else False


def same_ratios(a: Settled, b: Settled, plain: Equal) -> bool | None:
    """Ratios in proportion, a ratio of two terms as its quotient, times of day."""
    if isinstance(a, Clock) and isinstance(b, Clock):
        return _same_time(a, b)
    one, two = terms(a), terms(b)
    if one is None or two is None:
        return False
    if len(one) == 1 or len(two) == 1:
        if len(one) + len(two) != 3:
            return False
        return plain(quotient(one), quotient(two))
    if len(one) != len(two):
        return False
    return every([plain(Mul((one[0], y)), Mul((two[0], x))) for x, y in
                  zip(one[1:], two[1:], strict=True)])  # fmt: skip


def _same_time(a: Clock, b: Clock) -> bool:
    if a.half and b.half and a.half != b.half:
        return False
    if (a.half or b.half) and not (a.half and b.half):
        # "16:30" is "4:30 p.m."; "4:30" leaves the half of the day out.
        half = a.half or b.half
        bare, marked = (b, a) if a.half else (a, b)
        if bare.hour > _HALF_DAY:
            return half == "p" and (bare.hour - _HALF_DAY, bare.minute) == (
                marked.hour,
                marked.minute,
            )
    return (a.hour, a.minute) == (b.hour, b.minute)
