"""Matrix environments of the answer grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from butwait.transforms.verify.tree import Fn, Matrix, Node, Unreadable, scalar

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

_MATRICES = frozenset({"matrix", "pmatrix", "bmatrix", "smallmatrix", "array", "Bmatrix"})


def read_environment(p: Scalars) -> Node:
    """A matrix, or the determinant of a ``vmatrix``; stands after ``\\begin``."""
    name = p.group_text()
    if name == "array" and p.saw("open", "{"):
        p.group_text()
    rows: list[list[Node]] = [[]]
    while not p.accept("cmd", "end"):
        if p.accept("op", "\\\\"):
            rows.append([])
        elif not p.accept("op", "&") and not p.accept("cmd", "hline"):
            rows[-1].append(_cell(p))
    if p.group_text() != name:
        raise Unreadable("environment")
    filled = tuple(tuple(row) for row in rows if row)
    if not filled or len({len(row) for row in filled}) > 1:
        raise Unreadable("ragged matrix")
    if name == "vmatrix" and len(filled) == len(filled[0]):
        return Fn("det", tuple(x for row in filled for x in row))
    if name not in _MATRICES:
        raise Unreadable(f"environment {name!r}")
    return Matrix(filled)


def _cell(p: Scalars) -> Node:
    if p.next.kind == "end":
        raise Unreadable("open environment")
    return scalar(p.sum())
