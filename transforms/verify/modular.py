"""Huge whole-number expressions modulo a few primes: different residues prove different values.

Powers are reduced by Euler's theorem and never written out. Agreement proves nothing.
"""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.tree import Add, Div, Fn, Mul, Node, Num, Pow

# Moduli whose totient chains are short to compute; chosen once, at random among seven-digit primes.
_PRIMES = (1_000_003, 2_750_159, 7_368_787)
_CAP = 1_000
# Factored by trial division: a million steps at most.
_MOST_MODULUS = 10**12


class NoResidue(Exception):
    """The expression has no residue here (not whole, or the divisor is not invertible)."""


def residues_differ(a: Node, b: Node) -> bool:
    """Whether some prime shows that two constant expressions have different values."""
    for prime in _PRIMES:
        try:
            if _residue(a, prime) != _residue(b, prime):
                return True
        except (NoResidue, RecursionError):
            continue
    return False


def remainder(value: Node, modulus: Node) -> int | None:
    """A whole-number expression modulo a number of up to twelve digits, or None."""
    if not isinstance(modulus, Num) or modulus.value.denominator != 1:
        return None
    if not 0 < modulus.value <= _MOST_MODULUS:
        return None
    try:
        return _residue(value, int(modulus.value))
    except (NoResidue, RecursionError):
        return None


def _residue(node: Node, m: int) -> int:
    if isinstance(node, Num):
        return _fraction(node.value, m)
    if isinstance(node, Add):
        return sum(_residue(item, m) for item in node.items) % m
    if isinstance(node, Mul):
        result = 1
        for item in node.items:
            result = result * _residue(item, m) % m
        return result
    if isinstance(node, Div):
        return _residue(node.num, m) * _inverse(_residue(node.den, m), m) % m
    if isinstance(node, Pow):
        return _power(node, m)
    if isinstance(node, Fn) and node.name == "fact" and isinstance(node.args[0], Num):
        return _factorial(node.args[0].value, m)
    raise NoResidue


def _power(node: Pow, m: int) -> int:
    base = _residue(node.base, m)
    if isinstance(node.exp, Num) and node.exp.value.denominator == 1 and node.exp.value < 0:
        return pow(_inverse(base, m), -int(node.exp.value), m)
    if not _whole(node.exp):
        raise NoResidue
    size = _capped(node.exp, _CAP)
    if size < _CAP:
        return pow(base, size, m)
    # Euler's theorem for any base, since the exponent is beyond every prime power in m.
    phi = _totient(m)
    return pow(base, _residue(node.exp, phi) + phi, m)


def _capped(node: Node, cap: int) -> int:
    """The value of a whole-number expression, or ``cap`` when it is at least that."""
    if isinstance(node, Num):
        return min(int(node.value), cap)
    if isinstance(node, Add):
        return min(sum(_capped(item, cap) for item in node.items), cap)
    if isinstance(node, Mul):
        parts = [_capped(item, cap) for item in node.items]
        return 0 if 0 in parts else min(math.prod(parts), cap)
    if isinstance(node, Pow):
        base, exp = _capped(node.base, cap), _capped(node.exp, cap)
        if base < 2 or exp == 0:
            return base if exp else 1
        return min(base**exp, cap) if exp < 64 else cap
    assert isinstance(node, Fn)
    inner = _capped(node.args[0], 30)
    return min(math.factorial(inner), cap)


def _whole(node: Node) -> bool:
    """Whether the expression is built from whole numbers without division or subtraction."""
    if isinstance(node, Num):
        return node.value.denominator == 1 and node.value >= 0
    if isinstance(node, Add | Mul):
        return all(_whole(item) for item in node.items)
    if isinstance(node, Pow):
        return _whole(node.base) and _whole(node.exp)
    return isinstance(node, Fn) and node.name == "fact" and _whole(node.args[0])


def _factorial(value: Fraction, m: int) -> int:
    if value.denominator != 1 or value < 0:
        raise NoResidue
    if value >= m:
        return 0
    if value > 5_000:
        raise NoResidue
    result = 1
    for k in range(2, int(value) + 1):
        result = result * k % m
    return result


def _fraction(value: Fraction, m: int) -> int:
    return value.numerator % m * _inverse(value.denominator % m, m) % m


def _inverse(value: int, m: int) -> int:
    if m == 1:
        return 0
    if math.gcd(value, m) != 1:
        raise NoResidue
    return pow(value, -1, m)


def _totient(m: int) -> int:
    result, rest, p = m, m, 2
    while p * p <= rest:
        if rest % p == 0:
            while rest % p == 0:
                rest //= p
            result -= result // p
        p += 1
    return result - result // rest if rest > 1 else result
