"""Unions of real intervals in one canonical order.

Ends may be any constant; where two ends cannot be put in order (symbols), the pieces stay as they
were written, which can only make two equal sets look undecided, never two sets equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cmp_to_key

from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.scalars import order
from butwait.transforms.verify.tree import Const, Mul, Node, number

Piece = tuple[Node, Node, bool, bool]
PLUS: Node = Const("inf")
MINUS: Node = Mul((number(-1), PLUS))


@dataclass(frozen=True, slots=True)
class Region:
    """Disjoint pieces from left to right (low, high, low closed, high closed)."""

    pieces: tuple[Piece, ...]


LINE = Region(((MINUS, PLUS, False, False),))


class _Unordered(Exception):
    pass


def _compare(a: Node, b: Node, limits: Limits) -> int:
    result = order(a, b, limits)
    if result is None:
        raise _Unordered
    return result


def merge(pieces: list[Piece], limits: Limits) -> Region | None:
    """The union of pieces, sorted and joined where they touch; None beyond 50 pieces."""
    if len(pieces) > 50:
        return None
    try:
        return Region(tuple(_merge_ordered(pieces, limits)))
    except _Unordered:
        return Region(tuple(pieces))


def _merge_ordered(pieces: list[Piece], limits: Limits) -> list[Piece]:
    kept = []
    for piece in pieces:
        side = _compare(piece[0], piece[1], limits)
        if side < 0 or (side == 0 and piece[2] and piece[3]):
            kept.append(piece)

    def by_start(a: Piece, b: Piece) -> int:
        return _compare(a[0], b[0], limits) or (b[2] - a[2])

    out: list[Piece] = []
    for piece in sorted(kept, key=cmp_to_key(by_start)):
        if out:
            low, high, low_closed, high_closed = out[-1]
            gap = _compare(piece[0], high, limits)
            if gap < 0 or (gap == 0 and (piece[2] or high_closed)):
                reach = _compare(piece[1], high, limits)
                if reach > 0:
                    high, high_closed = piece[1], piece[3]
                elif reach == 0:
                    high_closed = high_closed or piece[3]
                out[-1] = (low, high, low_closed, high_closed)
                continue
        out.append(piece)
    return out


def complement(region: Region, limits: Limits) -> Region | None:
    """Everything on the line outside the region; None when its ends have no order."""
    start, open_start = MINUS, False
    pieces: list[Piece] = []
    try:
        for low, high, low_closed, high_closed in _merge_ordered(list(region.pieces), limits):
            pieces.append((start, low, open_start, not low_closed))
            start, open_start = high, not high_closed
    except _Unordered:
        return None
    pieces.append((start, PLUS, open_start, False))
    return merge(pieces, limits)


def intersect(a: Region, b: Region, limits: Limits) -> Region | None:
    """What two regions share; None when their ends have no order."""
    out: list[Piece] = []
    try:
        for one in a.pieces:
            for two in b.pieces:
                out.append(_overlap(one, two, limits))
        return Region(tuple(_merge_ordered(out, limits)))
    except _Unordered:
        return None


def _overlap(a: Piece, b: Piece, limits: Limits) -> Piece:
    left = _compare(a[0], b[0], limits)
    low, low_closed = (a[0], a[2]) if left > 0 else (b[0], b[2])
    if left == 0:
        low_closed = a[2] and b[2]
    right = _compare(a[1], b[1], limits)
    high, high_closed = (a[1], a[3]) if right < 0 else (b[1], b[3])
    if right == 0:
        high_closed = a[3] and b[3]
    return low, high, low_closed, high_closed


def ray(relation: str, end: Node) -> Region | None:
    """Where ``x relation end`` holds."""
    if relation in ("<", "le"):
        return Region(((MINUS, end, False, relation == "le"),))
    if relation in (">", "ge"):
        return Region(((end, PLUS, relation == "ge", False),))
    if relation == "ne":
        return Region(((MINUS, end, False, False), (end, PLUS, False, False)))
    return None
