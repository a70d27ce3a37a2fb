"""Dots between written numbers: lists and sums of arithmetic and geometric progressions.

Dots whose rule is not plain from the numbers around them stay dots.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Div,
    Family,
    Mul,
    NamedSet,
    Node,
    Num,
    Sym,
    Unreadable,
    negate,
    number,
    plain_value,
    symbols,
)

DOTS = Sym("\\ldots")
_MOST_ITEMS = 1_000
_MOST_SUMMED = 10**12
_MOST_TURNS = 4_000


def written_out(items: tuple[Node, ...]) -> tuple[Node, ...]:
    """``1, 2, ..., 6`` with its dots replaced by the terms of an arithmetic progression.

    Where the terms around the dots are no such progression, the dots stay.
    """
    if DOTS not in items:
        return items
    at = items.index(DOTS)
    head, tail = items[:at], items[at + 1 :]
    if not head or not tail or DOTS in tail:
        return items
    known = [x.value for x in (*head, *tail) if isinstance(x, Num)]
    if len(known) != len(head) + len(tail):
        return items
    step = known[1] - known[0] if len(head) > 1 else Fraction(1)
    if not step:
        return items
    size = (known[len(head)] - known[0]) / step
    if size.denominator != 1 or not len(head) <= size < _MOST_ITEMS:
        return items
    whole = [known[0] + k * step for k in range(int(size) + 1)]
    if whole[: len(head)] != known[: len(head)]:
        return items
    rest = [known[len(head)] + k * step for k in range(len(tail))]
    if rest != known[len(head) :]:
        return items
    return tuple(number(x) for x in [*whole, *rest[1:]])


def endless(items: tuple[Node, ...]) -> Node | None:
    """``..., -1, 0, 1, ...`` and ``2, 4, 6, ...`` as the set that they begin; None for others."""
    if DOTS not in items or items[-1] != DOTS:
        return None
    both = items[0] == DOTS
    known = [plain_value(x) for x in items[1 if both else 0 : -1]]
    found = [x for x in known if x is not None]
    if len(found) < max(len(known), 3):
        return None
    step = found[1] - found[0]
    if not step or any(b - a != step for a, b in itertools.pairwise(found)):
        return None
    if both:
        whole = abs(step) == 1 and found[0].denominator == 1
        return NamedSet("Z") if whole else _line(found[0], step, "Z")
    if step == 1 and found[0] in (0, 1):
        return NamedSet("Z+" if found[0] else "N0")
    return _line(found[0], step, "N0")


def _line(start: Fraction, step: Fraction, domain: str) -> Family:
    value = Add((number(start), Mul((number(step), Sym("k")))))
    return Family(value, "k", domain)


def summed(items: list[Node]) -> list[Node]:
    """The terms of ``1 + 2 + ... + n`` as one term, its closed form.

    Raises:
        Unreadable: The terms around the dots are no plain progression.
    """
    at = items.index(DOTS)
    head = [plain_value(x) for x in items[:at]]
    known = [x for x in head if x is not None]
    if at + 2 != len(items) or not known or len(known) < len(head):
        raise Unreadable("dots")
    last = items[-1]
    if not isinstance(last, SCALARS):
        raise Unreadable("dots")
    end = plain_value(last)
    if end is None and (not symbols(last) or len(known) < 2):
        raise Unreadable("dots")
    found = _arithmetic(known, last, end) or _geometric(known, last, end)
    if found is None:
        raise Unreadable("dots")
    return [found, number(0)]


def _arithmetic(head: list[Fraction], last: Node, end: Fraction | None) -> Node | None:
    step = head[1] - head[0] if len(head) > 1 else Fraction(1)
    if not step or any(b - a != step for a, b in itertools.pairwise(head)):
        return None
    if end is None and len(head) < 3 and step != 1:
        return None
    if end is not None:
        steps = (end - head[0]) / step
        if steps.denominator != 1 or not len(head) <= steps < _MOST_SUMMED:
            return None
        return number((head[0] + end) * (steps + 1) / 2)
    count = Add((Div(Add((last, number(-head[0]))), number(step)), number(1)))
    return Div(Mul((Add((number(head[0]), last)), count)), number(2))


def _geometric(head: list[Fraction], last: Node, end: Fraction | None) -> Node | None:
    if len(head) < 3 or not all(head):
        return None
    ratio = head[1] / head[0]
    if ratio in (1, -1) or any(b / a != ratio for a, b in itertools.pairwise(head)):
        return None
    if end is not None and not _reaches(head[-1], end, ratio):
        return None
    above = Add((Mul((last, number(ratio))), negate(number(head[0]))))
    return Div(above, number(ratio - 1))


def _reaches(start: Fraction, end: Fraction, ratio: Fraction) -> bool:
    """Whether a progression comes to a value."""
    for _ in range(_MOST_TURNS):
        start *= ratio
        if start == end:
            return True
        if (abs(start) > abs(end)) == (abs(ratio) > 1):
            return False
    return False
