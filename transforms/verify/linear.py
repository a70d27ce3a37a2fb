"""Arithmetic of written matrices and of sets in products, done while reading.

``2A``, ``A + B``, ``AB``, ``A^n``, ``A^{-1}``, ``A^T`` with written matrices become one matrix of
unevaluated cells. Leaves out: named matrices.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Div,
    Fn,
    Matrix,
    Mul,
    Node,
    Num,
    Seq,
    Unreadable,
    children,
    negate,
    number,
    plain_value,
    scalar,
    symbols,
)

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

Rows = tuple[tuple[Node, ...], ...]
_MOST_CELLS = 100
_MOST_PAIRS = 400
_MOST_POWER = 12
_MOST_PARTS = 4_000


def times(left: Node, right: Node) -> Node:
    """The product of two scalars, of a scalar with a matrix, of matrices, or of sets.

    Raises:
        Unreadable: Shapes that have no product.
    """
    if isinstance(left, SCALARS) and isinstance(right, SCALARS):
        # Flat, so that a long product is not a deep tree.
        return Mul((*left.items, right) if isinstance(left, Mul) else (left, right))
    if isinstance(left, Matrix) and isinstance(right, Matrix):
        return Matrix(_product(left.rows, right.rows))
    if isinstance(left, SCALARS) and isinstance(right, Matrix):
        return _scaled(left, right)
    if isinstance(left, Matrix) and isinstance(right, SCALARS):
        return _scaled(right, left)
    if isinstance(left, SCALARS) and not symbols(left) and _is_vector(right):
        assert isinstance(right, Seq)
        return Seq("tuple", tuple(Mul((left, item)) for item in right.items))
    if _is_set(left) and _is_set(right):
        return _pairs(left, right)
    raise Unreadable("a product of shapes")


def opposite(node: Node) -> Node:
    """Minus a scalar, a matrix or a tuple."""
    if isinstance(node, Matrix):
        return _scaled(number(-1), node)
    if isinstance(node, Seq) and node.kind == "tuple":
        return Seq("tuple", tuple(negate(scalar(item)) for item in node.items))
    return negate(scalar(node))


def plus(items: list[Node]) -> Node:
    """The sum of scalars or of matrices of one size."""
    if all(isinstance(item, SCALARS) for item in items):
        return Add(tuple(items))
    total = items[0]
    for item in items[1:]:
        if not isinstance(total, Matrix) or not isinstance(item, Matrix):
            raise Unreadable("a sum of shapes")
        if [len(row) for row in total.rows] != [len(row) for row in item.rows]:
            raise Unreadable("matrices of two sizes")
        total = Matrix(
            tuple(
                tuple(Add((a, b)) for a, b in zip(one, two, strict=True))
                for one, two in zip(total.rows, item.rows, strict=True)
            )
        )
    return total


def raised(base: Matrix, exponent: Node) -> Matrix:
    """A square matrix to a whole power (-1 for the inverse).

    Raises:
        Unreadable: Another power, or no square matrix.
    """
    rows = base.rows
    if len(rows) != len(rows[0]):
        raise Unreadable("power of a matrix that is not square")
    while (
        isinstance(exponent, Mul) and len(exponent.items) == 2 and exponent.items[0] == number(-1)
    ):
        inner = exponent.items[1]
        exponent = number(-inner.value) if isinstance(inner, Num) else inner
    if not isinstance(exponent, Num) or exponent.value.denominator != 1:
        raise Unreadable("power of a matrix")
    n = int(exponent.value)
    if n < 0:
        rows, n = _inverse(rows), -n
    if not 1 <= n <= _MOST_POWER:
        raise Unreadable("power of a matrix")
    result = rows
    for _ in range(n - 1):
        result = _product(result, rows)
    return Matrix(result)


def is_transpose(p: Scalars) -> bool:
    """Pass over ``T``, ``t`` or ``\\top`` as an exponent."""
    braces = p.saw("open", "{") and p.peek(2).text == "}"
    if p.peek(1 if braces else 0).text not in ("T", "t", "top", "intercal"):
        return False
    for _ in range(3 if braces else 1):
        p.take()
    return True


def transposed(node: Matrix) -> Matrix:
    """Rows as columns."""
    return Matrix(tuple(zip(*node.rows, strict=True)))


def _scaled(factor: Node, node: Matrix) -> Matrix:
    return Matrix(tuple(tuple(Mul((factor, cell)) for cell in row) for row in node.rows))


def _product(left: Rows, right: Rows) -> Rows:
    if len(left[0]) != len(right) or len(left) * len(right[0]) * len(right) > _MOST_CELLS:
        raise Unreadable("matrices that have no product")
    room = _MOST_PARTS
    for row in (*left, *right):
        for cell in row:
            room -= _parts(cell, room)
    columns = list(zip(*right, strict=True))
    return tuple(tuple(_dot(row, column) for column in columns) for row in left)


def _parts(cell: Node, most: int) -> int:
    """How many nodes a cell has; cells of products hold whole rows and columns.

    Raises:
        Unreadable: More than ``most``.
    """
    count, stack = 0, [cell]
    while stack:
        count += 1
        if count > most:
            raise Unreadable("a product of matrices that grows too large")
        stack.extend(children(stack.pop()))
    return count


def _dot(row: tuple[Node, ...], column: tuple[Node, ...]) -> Node:
    numbers = [(plain_value(a), plain_value(b)) for a, b in zip(row, column, strict=True)]
    known = [a * b for a, b in numbers if a is not None and b is not None]
    if len(known) == len(numbers):
        return number(sum(known, Fraction(0)))
    parts = tuple(Mul((a, b)) for a, b in zip(row, column, strict=True))
    return parts[0] if len(parts) == 1 else Add(parts)


def _inverse(rows: Rows) -> Rows:
    n = len(rows)
    if n > 3:
        raise Unreadable("inverse of a large matrix")
    whole = _determinant(rows)
    if n == 1:
        return ((Div(number(1), whole),),)
    return tuple(
        tuple(Div(_cofactor(rows, column, row), whole) for column in range(n)) for row in range(n)
    )


def _cofactor(rows: Rows, row: int, column: int) -> Node:
    kept = tuple(
        tuple(cell for k, cell in enumerate(line) if k != column)
        for j, line in enumerate(rows)
        if j != row
    )
    minor = _determinant(kept)
    return negate(minor) if (row + column) % 2 else minor


def _determinant(rows: Rows) -> Node:
    return Fn("det", tuple(cell for row in rows for cell in row))


def _is_vector(node: Node) -> bool:
    """Whether a node is a tuple of scalars."""
    plain = isinstance(node, Seq) and node.kind == "tuple"
    return plain and isinstance(node, Seq) and all(isinstance(x, SCALARS) for x in node.items)


def _is_set(node: Node) -> bool:
    return isinstance(node, Seq) and node.kind == "set"


def _pairs(left: Node, right: Node) -> Node:
    assert isinstance(left, Seq) and isinstance(right, Seq)
    if len(left.items) * len(right.items) > _MOST_PAIRS:
        raise Unreadable("too many pairs")
    return Seq("set", tuple(Seq("tuple", (a, b)) for a in left.items for b in right.items))
