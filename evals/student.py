"""Quantiles of Student's t distribution, for intervals from few problems."""

from __future__ import annotations

from functools import cache
from math import atan, cos, pi, sin, sqrt
from statistics import NormalDist

_NORMAL_FROM = 2000
"""Degrees of freedom from which the normal quantile differs by less than 1 in 1,000."""


def t_cumulative(t: float, df: int) -> float:
    """Return the chance that a t variable is at most t.

    Args:
        t: Any real number.
        df: Degrees of freedom, at least 1.

    Source: Abramowitz and Stegun, 26.7.3 and 26.7.4 (finite sums for whole degrees of freedom).

    >>> round(t_cumulative(2.045, 29), 4)
    0.975
    """
    angle = atan(t / sqrt(df))
    cosine = cos(angle)
    term = cosine if df % 2 else 1.0
    total = 0.0
    for j in range(1 if df % 2 else 0, df - 1, 2):
        total += term
        term *= cosine**2 * (j + 1) / (j + 2)
    central = sin(angle) * total
    if df % 2:
        central = 2 / pi * (angle + central)
    return 0.5 + central / 2


@cache
def t_quantile(p: float, df: int) -> float:
    """Return the t below which a share p of Student's distribution lies.

    Args:
        p: In (0, 1).
        df: Degrees of freedom, at least 1.

    Raises:
        ValueError: p or df out of range.

    >>> round(t_quantile(0.975, 29), 3)
    2.045
    """
    if not 0 < p < 1 or df < 1:
        raise ValueError(f"p must lie in (0, 1) and df be at least 1, not {p} and {df}")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    if df >= _NORMAL_FROM:
        return NormalDist().inv_cdf(p)
    low, high = 0.0, 1.0
    while t_cumulative(high, df) < p:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cumulative(middle, df) < p else (low, middle)
    return (low + high) / 2
