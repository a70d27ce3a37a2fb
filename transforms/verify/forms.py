"""Normal forms as data, and what can be read off one without arithmetic.

A form is a quotient of polynomials over generators with rational exponents; ``normal`` computes
with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

Generator = tuple[object, ...]
Monomial = frozenset[tuple[Generator, Fraction]]
Poly = dict[Monomial, Fraction]

UNIT: Monomial = frozenset()
IMAGINARY: Generator = ("c", "i")
PI: Generator = ("c", "pi")
E: Generator = ("c", "e")
_ZERO = Fraction(0)
_ONE = Fraction(1)
_SMALL_PRIMES = [p for p in range(2, 1000) if all(p % q for q in range(2, math.isqrt(p) + 1))]


class Undefined(Exception):
    """Division by zero and the like: equal to nothing."""


class TooBig(Exception):
    """Beyond the limits of the exact stage."""


@dataclass(frozen=True, slots=True)
class Form:
    """``num / den``; ``den`` is 1 whenever it was a single term."""

    num: frozenset[tuple[Monomial, Fraction]]
    den: frozenset[tuple[Monomial, Fraction]]


ONE_DEN = frozenset({(UNIT, _ONE)})


def over_one(num: Poly) -> Form:
    """A polynomial as a form."""
    return Form(frozenset(num.items()), ONE_DEN)


def as_term(form: Form) -> tuple[Monomial, Fraction] | None:
    """Monomial and coefficient of a form with a single term, or None."""
    if form.den != ONE_DEN or len(form.num) > 1:
        return None
    return next(iter(form.num)) if form.num else (UNIT, _ZERO)


def as_rational(form: Form) -> Fraction | None:
    """The value of a rational constant, or None."""
    term = as_term(form)
    return term[1] if term is not None and not term[0] else None


def generators(form: Form) -> set[Generator]:
    """All generators at the top level of a form."""
    return {g for part in (form.num, form.den) for mono, _ in part for g, _ in mono}


def rigid(form: Form) -> bool:
    """Whether no other rigid form has the same value: radicals of primes, ``pi``, ``i`` only.

    Source: Besicovitch (1940), linear independence of fractional powers of integers.
    """
    if form.den != ONE_DEN:
        return False
    for mono, _ in form.num:
        for generator, exponent in mono:
            if generator[0] == "p":
                prime = generator[1]
                if not (0 < exponent < 1 and isinstance(prime, int) and prime < 990_000):
                    return False
            elif generator not in (PI, IMAGINARY) or exponent.denominator != 1:
                return False
    return True


def factor(value: Fraction) -> list[tuple[int, int]]:
    """Prime powers of a positive rational; a large cofactor without small primes stays whole."""
    out: list[tuple[int, int]] = []
    for part, sign in ((value.numerator, 1), (value.denominator, -1)):
        if part.bit_length() > 700:
            out.extend(_strip_small(part, sign))
            continue
        out.extend(_strip_small(part, sign))
    return out


def _strip_small(part: int, sign: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for prime in _SMALL_PRIMES:
        if prime * prime > part:
            break
        count = 0
        while part % prime == 0:
            part //= prime
            count += 1
        if count:
            found.append((prime, sign * count))
    if part > 1:
        root = math.isqrt(part)
        if root * root == part:
            found.append((root, 2 * sign))
        else:
            found.append((part, sign))
    return found


def mono_order(mono: Monomial) -> tuple[Fraction, str]:
    """A fixed total order of monomials."""
    return sum((e for _, e in mono), _ZERO), repr(sorted(map(repr, mono)))


def is_constant(generator: Generator) -> bool:
    """Whether a generator is a root of a prime, pi, e, i or a logarithm of such."""
    if generator[0] == "log":
        inner = generator[1]
        return isinstance(inner, tuple) and is_constant(inner)
    return generator[0] in ("p", "c")


def never_zero(form: Form) -> bool:
    """Whether a form is a single product of powers of primes, pi, e and i."""
    term = as_term(form)
    if term is None or not term[1]:
        return False
    return all(
        g[0] in ("p", "c") or (g[0] == "w" and g[1] in (PI, E) and _is_known(g[2]))
        for g, _ in term[0]
    )


def _is_known(mono: object) -> bool:
    return isinstance(mono, frozenset) and all(is_constant(g) for g, _ in mono)


def gathered(form: Form) -> Form:
    """A form whose huge powers of primes hold all of that prime: ``7 * 7^n`` as ``7^(n+1)``."""
    if not any(g[0] == "p" and abs(e) > 1 for m, _ in form.num for g, e in m):
        return form
    out: dict[Monomial, Fraction] = {}
    for mono, scale in form.num:
        powers = dict(mono)
        for generator, exponent in mono:
            prime = generator[1]
            if generator[0] != "p" or abs(exponent) <= 1 or not isinstance(prime, int):
                continue
            times, scale = _times_in(scale, prime)
            powers[generator] = exponent + times
        key = frozenset((g, e) for g, e in powers.items() if e)
        out[key] = out.get(key, _ZERO) + scale
    return Form(frozenset((m, c) for m, c in out.items() if c), form.den)


def _times_in(scale: Fraction, prime: int) -> tuple[int, Fraction]:
    """How often a prime divides a rational, and what is left."""
    times = 0
    while scale and scale.numerator % prime == 0:
        scale, times = scale / prime, times + 1
    while scale.denominator % prime == 0:
        scale, times = scale * prime, times - 1
    return times, scale


def sign_key(form: Form) -> Fraction:
    """Coefficient of a fixed term, for choosing between a form and its negative."""
    num = dict(form.num)
    return num[max(num, key=mono_order)] if num else _ZERO


# -- signs ----------------------------------------------------------------------------------------

# Letters that stand for complex numbers; every other variable is real.
WHOLE_NAMES = frozenset("nkmNKM")
_COMPLEX_NAMES = frozenset({"z", "w", "omega"})


def is_complex_name(name: str) -> bool:
    """Whether a variable of this name stands for complex numbers."""
    return name.partition("_")[0].rstrip("'*") in _COMPLEX_NAMES


def positive(generator: Generator) -> bool:
    """Whether a generator is known to be above zero."""
    if generator[0] == "w":
        base, power = generator[1], generator[2]
        if isinstance(power, frozenset) and any(g == IMAGINARY for g, _ in power):
            return False
        return isinstance(base, tuple) and (base in (PI, E) or base[0] == "p")
    return generator[0] == "p" or generator in (PI, E)


def flips(generator: Generator, power: Fraction) -> bool:
    """Whether a power of a generator may be real and below zero."""
    odd = power.numerator % 2 == 1 and power.denominator % 2 == 1
    return odd and generator != IMAGINARY and not positive(generator)


def below_zero(form: Form) -> bool:
    """Whether a form is one term with a negative coefficient."""
    term = as_term(form)
    return term is not None and term[1] < 0


def is_real_name(generator: Generator) -> bool:
    """Whether a generator is a variable that stands for real numbers."""
    return generator[0] == "v" and not is_complex_name(str(generator[1]))


def is_whole(form: Form) -> bool:
    """Whether a form is a whole-number combination of names that count something."""
    return form.den == ONE_DEN and all(
        scale.denominator == 1
        and all(g[0] == "v" and g[1] in WHOLE_NAMES and e.denominator == 1 and e > 0 for g, e in m)
        for m, scale in form.num
    )


def may_be_complex(part: object) -> bool:
    """Whether a form or a part of one holds the imaginary unit or the name of a complex number."""
    return _holds(part, lambda g: g == IMAGINARY or (g[0] == "v" and not is_real_name(g)))


def holds_variable(part: object) -> bool:
    """Whether a form, a generator or any part of them holds a variable."""
    return _holds(part, lambda g: g[0] == "v")


def _holds(part: object, wanted: Callable[[Generator], bool]) -> bool:
    if isinstance(part, Form):
        return _holds(part.num, wanted) or _holds(part.den, wanted)
    if isinstance(part, frozenset):
        return any(_holds(x, wanted) for x in part)
    if not isinstance(part, tuple) or not part:
        return False
    return wanted(part) or any(_holds(x, wanted) for x in part)
