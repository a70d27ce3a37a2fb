"""Square roots of sums taken apart: ``sqrt(7 - 4 sqrt 3) = 2 - sqrt 3``."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.forms import ONE_DEN, UNIT, Form, as_rational

if TYPE_CHECKING:
    from butwait.transforms.verify.exact import Exact

_HALF = Fraction(1, 2)


def denested(x: Exact, base: Form) -> Form | None:
    """The root of ``a + b sqrt(c)`` when it is a sum of two simple roots, or None.

    With ``d = sqrt(a^2 - b^2 c)`` rational, the root is ``sqrt((a+d)/2) +- sqrt((a-d)/2)``.
    """
    if base.den != ONE_DEN or len(base.num) != 2:
        return None
    terms = dict(base.num)
    a = terms.pop(UNIT, None)
    ((mono, scale),) = terms.items() if a is not None and len(terms) == 1 else ((UNIT, _HALF),)
    if a is None or a <= 0 or not all(g[0] == "p" for g, _ in mono):
        return None
    surd = Form(frozenset({(mono, scale)}), ONE_DEN)
    square = as_rational(x.mul(surd, surd))
    if square is None or square >= a * a:
        return None
    d = _rational_root(a * a - square)
    if d is None:
        return None
    first = x.rational_power((a + d) / 2, _HALF)
    second = x.rational_power((a - d) / 2, _HALF)
    return x.add(first, second) if scale > 0 else x.sub(first, second)


def _rational_root(value: Fraction) -> Fraction | None:
    up, down = math.isqrt(value.numerator), math.isqrt(value.denominator)
    exact = up * up == value.numerator and down * down == value.denominator
    return Fraction(up, down) if exact else None
