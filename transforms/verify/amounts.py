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
from butwait.transforms.verify.tree import SCALARS, Clock, Mul, Node, Num, Percent, Unit, number
from butwait.transforms.verify.units import SIDE_MARK

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
        if not _same_dims(a, b):
            return equal(a.value, b.value) if _is_money_of(a, b) or _is_money_of(b, a) else False
        return equal(Mul((a.value, a.factor)), Mul((b.value, b.factor)))
    unit, bare = (a, b) if isinstance(a, Unit) else (b, a)
    assert isinstance(unit, Unit)
    if not isinstance(bare, SCALARS):
        return False
    plain = equal(unit.value, bare)
    if unit.dims == (("radian", 1),) and plain is not True:
        return either(plain, equal(Mul((unit.value, unit.factor)), bare))
    return plain


def _same_dims(a: Unit, b: Unit) -> bool:
    """Whether two units measure the same; the side of one of them may be missing."""
    one, two = dict(a.dims), dict(b.dims)
    sides = [{key for key in dims if key.startswith(SIDE_MARK)} for dims in (one, two)]
    if sides[0] and sides[1] and sides[0] != sides[1]:
        return False
    one = {key: power for key, power in one.items() if key not in sides[0]}
    two = {key: power for key, power in two.items() if key not in sides[1]}
    if one == two or not one or not two:
        return True
    if {"pound", "sterling"} == {*one, *two} and len(one) == len(two) == 1:
        # "5 pounds" of money; ounces and tons are of weight only.
        return a.factor == b.factor
    return False


def _is_money_of(rate: Unit, money: Unit) -> bool:
    """Whether one is an amount of money and the other the same currency per something."""
    one, two = dict(rate.dims), dict(money.dims)
    plain = len(two) == 1 and two.keys() <= _MONEY and money.factor == number(1)
    whole = isinstance(rate.factor, Num) and 1 / rate.factor.value in _PERIODS
    return plain and whole and two.items() <= one.items() and min(one.values()) < 0


# A piece, a second, minute, hour, day, week, a month's twelfth of a year.
_PERIODS = frozenset({1, 60, 3_600, 86_400, 604_800, 12})
_MONEY = frozenset({"dollar", "euro", "yuan", "yen", "rupee", "sterling", "penny"})


def same_percents(gold: Node, other: Node, equal: Equal, *, optional: bool) -> bool | None:
    """A percent sign divides by a hundred; where ``optional``, only the gold may have it."""
    if isinstance(gold, Percent) and isinstance(other, Percent):
        return equal(gold.value, other.value)
    if isinstance(gold, Percent):
        if not isinstance(other, SCALARS):
            return False
        value = equal(hundredth(gold), other)
        # A gold with a percent sign has said what the number counts.
        return either(equal(gold.value, other), value) if optional else value
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
    places = [(i, j) for i in range(len(one)) for j in range(i) if i - j == 1 or j == 0]
    return every([plain(Mul((one[j], two[i])), Mul((two[j], one[i]))) for i, j in places])


def _same_time(a: Clock, b: Clock) -> bool:
    """Two times of day; without its half, "4:30" is either and "16:30" is one."""
    if not a.half and not b.half:
        return (a.hour % 24, a.minute) == (b.hour % 24, b.minute)
    return a.minute == b.minute and bool(_hours(a) & _hours(b))


def _hours(clock: Clock) -> set[int]:
    """The hours of the day that a time may mean."""
    if clock.half:
        return {clock.hour % _HALF_DAY + (_HALF_DAY if clock.half == "p" else 0)}
    if 1 <= clock.hour <= _HALF_DAY:
        return {clock.hour % _HALF_DAY, clock.hour % _HALF_DAY + _HALF_DAY}
    return {clock.hour % 24}
