"""Whole-number functions of answers: factorials, binomials, remainders, rounding; bounded."""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.forms import Undefined

_TERMS_OF_A_FUNCTION = 2_000
_MOST_STIRLING = 200


def count(name: str, values: list[Fraction]) -> Fraction | None:
    """The value of a whole-number function at rationals; None without a rule or when too big.

    Raises:
        Undefined: A remainder modulo zero.
    """
    if name in ("floor", "ceil"):
        return Fraction(math.floor(values[0]) if name == "floor" else math.ceil(values[0]))
    if name in ("max", "min"):
        return max(values) if name == "max" else min(values)
    if any(v.denominator != 1 for v in values):
        return None
    whole = [int(v) for v in values]
    if name == "mod":
        if not whole[1]:
            raise Undefined
        return Fraction(whole[0] % whole[1])
    if name in ("gcd", "lcm"):
        return Fraction(math.gcd(*whole) if name == "gcd" else math.lcm(*whole))
    return _combine(name, whole)


def _combine(name: str, whole: list[int]) -> Fraction | None:
    n = whole[0]
    if n < 0:
        return None
    if name in ("fact", "fact2"):
        if n > _TERMS_OF_A_FUNCTION:
            return None
        return Fraction(math.factorial(n) if name == "fact" else math.prod(range(n, 0, -2)))
    if name == "subfact" and n <= _TERMS_OF_A_FUNCTION:
        before, here = 1, 0
        for k in range(2, n + 1):
            before, here = here, (k - 1) * (before + here)
        return Fraction(here if n else 1)
    if name in ("subsets", "cycles"):
        return _stirling(name, n, whole[1])
    if name in ("binom", "perm"):
        k = whole[1]
        if k < 0 or min(k, abs(n - k)) > _TERMS_OF_A_FUNCTION or n.bit_length() > 64:
            return None
        return Fraction(math.comb(n, k) if name == "binom" else math.perm(n, k))
    return None


def _stirling(name: str, n: int, k: int) -> Fraction | None:
    """Stirling numbers: partitions into ``k`` subsets, or permutations with ``k`` cycles."""
    if not 0 <= k <= n <= _MOST_STIRLING:
        return Fraction(0) if k > n else None
    row = [1] + [0] * k
    for m in range(1, n + 1):
        for j in range(min(m, k), 0, -1):
            row[j] = row[j - 1] + (j if name == "subsets" else m - 1) * row[j]
        row[0] = 0
    return Fraction(row[k])
