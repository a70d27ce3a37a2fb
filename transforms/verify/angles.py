"""Angles of exact forms: multiples and sums expanded, arctangents of rationals taken apart.

Every arctangent of a rational is a whole-number combination of arctangents that belong to
Gaussian primes and of quarter turns, in one way only (Stoermer, 1899): equal sums get equal forms.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.forms import ONE_DEN, PI, Form, generators

if TYPE_CHECKING:
    from butwait.transforms.verify.exact import Exact

_MOST_MULTIPLE = 8
_MOST_TERMS = 3
_MOST_NORM = 10**8
_QUARTER = Fraction(1, 4)


def expanded(x: Exact, name: str, argument: Form) -> Form | None:
    """Sine or cosine of a sum or a whole multiple of angles with variables, multiplied out.

    Returns:
        A polynomial in sines and cosines of simpler angles, or None where there is no such angle.
    """
    if argument.den != ONE_DEN or not any(g[0] == "v" for g in generators(argument)):
        return None
    terms = sorted(argument.num, key=repr)
    if len(terms) > _MOST_TERMS:
        return None
    if len(terms) > 1:
        first = Form(frozenset(terms[:1]), ONE_DEN)
        rest = Form(frozenset(terms[1:]), ONE_DEN)
        return _of_sum(x, name, first, rest)
    ((mono, scale),) = terms
    if scale.denominator != 1 or not 1 < scale <= _MOST_MULTIPLE:
        return None
    one = Form(frozenset({(mono, Fraction(1))}), ONE_DEN)
    return _of_sum(x, name, Form(frozenset({(mono, scale - 1)}), ONE_DEN), one)


def _of_sum(x: Exact, name: str, a: Form, b: Form) -> Form:
    from butwait.transforms.verify.trig import trig

    sines = trig(x, "sin", a), trig(x, "sin", b)
    cosines = trig(x, "cos", a), trig(x, "cos", b)
    if name == "sin":
        return x.add(x.mul(sines[0], cosines[1]), x.mul(cosines[0], sines[1]))
    return x.sub(x.mul(cosines[0], cosines[1]), x.mul(sines[0], sines[1]))


def arctangent(x: Exact, value: Fraction) -> Form | None:
    """The arctangent of a rational over Gaussian primes; None when its norm is too large."""
    real, imaginary = value.denominator, value.numerator
    norm = real * real + imaginary * imaginary
    if norm > _MOST_NORM:
        return None
    total, near = x.rational(0), 0.0
    for prime in _odd_primes(norm):
        a, b = _two_squares(prime)
        # How often a + bi divides, against its conjugate.
        times = _divides(real, imaginary, a, b) - _divides(real, imaginary, a, -b)
        if times:
            angle = x.atom(("f", "atan", x.rational(Fraction(b, a))))
            total = x.add(total, x.mul(angle, x.rational(times)))
            near += times * math.atan2(b, a)
    # What is left is a power of 1 + i and of i: a multiple of an eighth of a turn.
    eighths = round((math.atan(value) - near) / (math.pi / 4))
    return x.add(total, x.mul(x.atom(PI), x.rational(eighths * _QUARTER)))


def _odd_primes(norm: int) -> list[int]:
    while norm % 2 == 0:
        norm //= 2
    found, p = [], 3
    while p * p <= norm:
        if norm % p == 0:
            found.append(p)
            while norm % p == 0:
                norm //= p
        p += 2
    return [*found, norm] if norm > 1 else found


def _two_squares(prime: int) -> tuple[int, int]:
    """``a > b > 0`` with ``a^2 + b^2`` the prime (which is one more than a multiple of four)."""
    for b in range(1, math.isqrt(prime // 2) + 1):
        a = math.isqrt(prime - b * b)
        if a * a + b * b == prime:
            return a, b
    raise ValueError(prime)


def _divides(real: int, imaginary: int, a: int, b: int) -> int:
    """How often ``a + bi`` divides ``real + imaginary i``."""
    norm, times = a * a + b * b, 0
    while True:
        up, across = real * a + imaginary * b, imaginary * a - real * b
        if up % norm or across % norm:
            return times
        real, imaginary, times = up // norm, across // norm, times + 1
