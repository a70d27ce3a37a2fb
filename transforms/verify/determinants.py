"""Determinants of exact forms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from butwait.transforms.verify.forms import Form, TooBig

if TYPE_CHECKING:
    from butwait.transforms.verify.exact import Exact


def determinant(x: Exact, cells: list[Form]) -> Form:
    """The determinant of the cells of a square matrix, up to four by four."""
    n = math.isqrt(len(cells))
    if n > 4:
        raise TooBig
    return _minor(x, [cells[k * n : k * n + n] for k in range(n)])


def _minor(x: Exact, rows: list[list[Form]]) -> Form:
    if len(rows) == 1:
        return rows[0][0]
    total = x.rational(0)
    for k, cell in enumerate(rows[0]):
        rest = [row[:k] + row[k + 1 :] for row in rows[1:]]
        part = x.mul(cell, _minor(x, rest))
        total = x.add(total, x.neg(part) if k % 2 else part)
    return total
