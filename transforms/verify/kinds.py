"""What a settled answer is, where its node type alone does not say so."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from butwait.transforms.verify.halflines import ORDERS
from butwait.transforms.verify.settle import Settled
from butwait.transforms.verify.tree import (
    Chain,
    Choice,
    Family,
    Fn,
    Matrix,
    Mul,
    Node,
    Num,
    Residue,
    Seq,
    Span,
    Sym,
)


def are_orders(a: Node, b: Node) -> bool:
    """Whether both are chains of order relations."""
    if not isinstance(a, Chain) or not isinstance(b, Chain):
        return False
    return not {"=", "in", "equiv", "approx"} & {*a.relations, *b.relations}


def has_class(node: Settled) -> bool:
    """Whether a node is a residue class or a collection with one."""
    return isinstance(node, Residue) or (
        isinstance(node, Seq)
        and node.kind != "tuple"
        and bool(node.items)
        and all(isinstance(item, Residue | Family) for item in node.items)
        and any(isinstance(item, Residue) for item in node.items)
    )


def has_family(node: Settled) -> bool:
    """Whether a node is a family or a collection with one."""
    return isinstance(node, Family) or (
        isinstance(node, Seq)
        and node.kind != "tuple"
        and any(isinstance(item, Family) for item in node.items)
    )


def as_matrix(node: Settled) -> Settled:
    """``[[1, 2], [3, 4]]`` as a matrix."""
    if not isinstance(node, Seq) or node.kind != "tuple":
        return node
    rows = [_row(item) for item in node.items]
    known = tuple(row for row in rows if row)
    if len(known) < len(rows) or len({len(row) for row in known}) != 1:
        return node
    return Matrix(known)


def _row(item: Node) -> tuple[Node, ...]:
    if isinstance(item, Span) and item.low_closed and item.high_closed:
        return item.low, item.high
    return item.items if isinstance(item, Seq) and item.kind == "tuple" else ()


def same_numbers(one: list[Node], two: list[Node]) -> bool | None:
    """Whether two long collections hold the same written numbers; None when they hold more."""
    known = [[x.value for x in side if isinstance(x, Num)] for side in (one, two)]
    if len(known[0]) < len(one) or len(known[1]) < len(two):
        return True if Counter(one) == Counter(two) else None
    first: Counter[Fraction] = Counter(known[0])
    return first == Counter(known[1])


def several_choices(node: Settled) -> list[str]:
    """The letters of ``AC`` or ``A, C``: several options of one question; else nothing."""
    items: list[Node] = list(node.items) if isinstance(node, Mul) else []
    while items and isinstance(items[0], Mul):
        items[:1] = items[0].items
    if isinstance(node, Seq) and node.kind == "list":
        items = list(node.items)
    names = [
        x.letter
        if isinstance(x, Choice) and x.body is None
        else x.name
        if isinstance(x, Sym)
        else ""
        for x in items
    ]
    known = len(names) > 1 and all(len(name) == 1 and "A" <= name <= "J" for name in names)
    return sorted(names) if known and len(set(names)) == len(names) else []


def _option_letter(item: Node) -> str:
    if isinstance(item, Choice) and item.body is None:
        return item.letter
    return item.name if isinstance(item, Sym) else ""


def as_point(node: Settled, other: Settled) -> Settled:
    """``P(17, 0)`` as a point where the other side is a tuple: else it counts permutations."""
    if isinstance(node, Fn) and node.name == "perm" and isinstance(other, Seq):
        return Seq("tuple", node.args) if other.kind == "tuple" else node
    return node


def has_orders(node: Node) -> bool:
    """Whether a list holds inequalities."""
    return isinstance(node, Seq) and any(
        isinstance(item, Chain) and set(item.relations) <= ORDERS for item in node.items
    )
