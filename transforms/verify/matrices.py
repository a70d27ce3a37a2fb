"""Environments of the answer grammar: matrices, piecewise values, systems of relations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from butwait.transforms.verify.tree import (
    SCALARS,
    Cases,
    Chain,
    Fn,
    Matrix,
    Node,
    Seq,
    Text,
    Unreadable,
    scalar,
)

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

_MATRICES = frozenset({"matrix", "pmatrix", "bmatrix", "smallmatrix", "array", "Bmatrix"})
_SYSTEMS = frozenset({"cases", "dcases", "aligned", "align", "align*", "gathered", "split"})
_SILENT_WORDS = ("if", "for", "with")


def read_environment(p: Scalars, items: Callable[[], Node]) -> Node:
    """A matrix, a determinant, cases or a system; stands after ``\\begin``.

    Args:
        p: The parser.
        items: Reads one whole answer, for the cells of cases and systems.
    """
    name = p.group_text()
    if name in ("array", "tabular") and p.saw("open", "{"):
        p.group_text()
    _drop_stops(p)
    aligned = name in _SYSTEMS and "cases" not in name
    rows: list[list[Node]] = [[]]
    while not p.accept("cmd", "end"):
        if p.accept("op", "\\\\"):
            rows.append([])
        elif not p.accept("op", "&", ",") and not p.accept("cmd", "hline"):
            rows[-1].append(_cell(p, items, aligned))
    if p.group_text() != name:
        raise Unreadable("environment")
    filled = tuple(tuple(row) for row in rows if row)
    if not filled or len({len(row) for row in filled}) > 1:
        raise Unreadable("ragged matrix")
    if name in _SYSTEMS or not all(isinstance(x, SCALARS) for row in filled for x in row):
        return _system(filled)
    if name == "vmatrix" and len(filled) == len(filled[0]):
        return Fn("det", tuple(x for row in filled for x in row))
    if name not in _MATRICES:
        raise Unreadable(f"environment {name!r}")
    return Matrix(tuple(tuple(scalar(x) for x in row) for row in filled))


def _cell(p: Scalars, items: Callable[[], Node], aligned: bool) -> Node:
    if p.next.kind == "end":
        raise Unreadable("open environment")
    while p.accept("cmd", *_SILENT_WORDS):
        pass
    if p.saw("text") and p.next.text.lower() in ("otherwise", "else", "if", "for", "when"):
        word = p.take().text.lower()
        if word in ("otherwise", "else"):
            return Text("otherwise")
    if aligned:
        _drop_marks(p)
    return items()


def _drop_stops(p: Scalars) -> None:
    """Take out the commas that end a cell: they join nothing."""
    k = p.at
    while k < len(p.tokens) - 1 and p.tokens[k].text != "end":
        here, after = p.tokens[k], p.tokens[k + 1]
        if here.kind == "op" and here.text in ",;" and after.text in ("&", "\\\\", "end"):
            del p.tokens[k]
        else:
            k += 1


def _drop_marks(p: Scalars) -> None:
    """Take the alignment marks out of this row."""
    k = p.at
    while k < len(p.tokens) and p.tokens[k].text not in ("\\\\", "end"):
        if p.tokens[k].text == "&":
            del p.tokens[k]
        else:
            k += 1


def _system(rows: tuple[tuple[Node, ...], ...]) -> Node:
    if len(rows[0]) == 2:
        if not all(isinstance(row[1], Chain | Text | Seq) for row in rows):
            raise Unreadable("cases without conditions")
        return Cases(tuple((row[0], row[1]) for row in rows))
    if len(rows[0]) > 1:
        raise Unreadable("a system in columns")
    items = tuple(row[0] for row in rows)
    return items[0] if len(items) == 1 else Seq("list", items, "and")
