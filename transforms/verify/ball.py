"""Numbers with an error radius: enough to show that two values differ, never that they agree.

Double precision with first-order error bounds, doubled. Anything out of range or near a branch
point is ``Unknown``.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from fractions import Fraction

from butwait.transforms.verify.tree import (
    Add,
    Const,
    Div,
    Fn,
    Mul,
    Node,
    Num,
    Pow,
    Sym,
)

Ball = tuple[complex, float]
_EPS = 2.0**-50
_TINY = 1e-300
_HUGE = 1e280
# Whole numbers up to here add without rounding.
_EXACT = 2.0**50


class Unknown(Exception):
    """No enclosure at this point."""


def enclose(node: Node, point: Mapping[str, float], *, real: bool) -> Ball:
    """A disc that holds the value of a scalar.

    Args:
        node: A scalar without plus-minus.
        point: Value of each variable.
        real: Refuse values off the real line (variables are real).

    Raises:
        Unknown: Overflow, a branch point, a function without a rule, or not real.
    """
    try:
        return _Evaluator(point, real).value(node)
    except (OverflowError, ZeroDivisionError, ValueError, RecursionError):
        raise Unknown from None


def apart(a: Ball, b: Ball) -> bool:
    """Whether two discs have no point in common."""
    return abs(a[0] - b[0]) > 2 * (a[1] + b[1]) + _TINY


class _Evaluator:
    def __init__(self, point: Mapping[str, float], real: bool) -> None:
        self.point = point
        self.real = real

    def value(self, node: Node) -> Ball:
        if isinstance(node, Num):
            near = float(node.value)
            if node.value.denominator == 1 and abs(near) < _EXACT:
                return complex(near), 0.0
            return self._checked(complex(near), abs(near) * _EPS + 5e-324)
        if isinstance(node, Sym):
            if node.name not in self.point:
                raise Unknown
            return complex(self.point[node.name]), 0.0
        if isinstance(node, Const):
            return self._constant(node.name)
        if isinstance(node, Add):
            return self._sum([self.value(item) for item in node.items])
        if isinstance(node, Mul):
            result = self.value(node.items[0])
            for item in node.items[1:]:
                result = self._times(result, self.value(item))
            return result
        if isinstance(node, Div):
            return self._over(self.value(node.num), self.value(node.den))
        if isinstance(node, Pow):
            exact = _rational_exponent(node.exp)
            return self._power(self.value(node.base), self.value(node.exp), exact)
        if isinstance(node, Fn):
            return self._function(node)
        raise Unknown

    def _checked(self, z: complex, r: float) -> Ball:
        if not abs(z) < _HUGE or not r < _HUGE:
            raise Unknown
        if self.real and abs(z.imag) > r:
            raise Unknown
        return (complex(z.real) if self.real else z), r + abs(z) * _EPS

    def _constant(self, name: str) -> Ball:
        known = {"pi": math.pi, "e": math.e, "deg": math.pi / 180, "i": 1j}
        if name not in known:
            raise Unknown
        value = complex(known[name])
        return value, abs(value) * _EPS

    def _sum(self, parts: list[Ball]) -> Ball:
        z = sum((part[0] for part in parts), 0j)
        if abs(z) < _EXACT and all(not r and x == round(x.real) for x, r in parts):
            return z, 0.0
        size = sum(abs(part[0]) for part in parts)
        return self._checked(z, sum(part[1] for part in parts) + size * _EPS)

    def _times(self, a: Ball, b: Ball) -> Ball:
        return self._checked(a[0] * b[0], abs(a[0]) * b[1] + abs(b[0]) * a[1] + a[1] * b[1])

    def _over(self, a: Ball, b: Ball) -> Ball:
        room = abs(b[0]) - b[1]
        if room <= 0:
            raise Unknown
        z = a[0] / b[0]
        return self._checked(z, (a[1] + abs(z) * b[1]) / room)

    def _power(self, base: Ball, exp: Ball, exact: Fraction | None) -> Ball:
        if exact is not None and exact.denominator == 1 and abs(exact) < 10_000:
            return self._whole_power(base, int(exact))
        z = base[0]
        whole = exp[0].real
        if exact is None and exp == (complex(whole), 0.0) and whole.is_integer() and (
            abs(whole) < 1_000
        ):  # fmt: skip
            return self._whole_power(base, int(whole))
        if exact is not None and exact.denominator == 1 and z.imag == 0 and z.real < 0:
            # Too large a power to multiply out: its size, with the sign of its parity.
            size, r = self._power((-z, base[1]), exp, exact)
            return self._checked(-size if exact.numerator % 2 else size, r)
        if exact is not None and exact.denominator % 2 and z.imag == 0 and z.real < 0:
            size, r = self._power((-z, base[1]), exp, exact)
            return self._checked(-size if exact.numerator % 2 else size, r)
        return self._exp(self._times(exp, self._log(base)))

    def _whole_power(self, base: Ball, n: int) -> Ball:
        if n < 0:
            return self._over((1 + 0j, 0.0), self._whole_power(base, -n))
        if n == 0:
            return 1 + 0j, 0.0
        reach = abs(base[0]) + base[1]
        slope = n * reach ** (n - 1) * base[1]
        return self._checked(base[0] ** n, slope + abs(base[0]) ** n * n * _EPS)

    def _log(self, a: Ball) -> Ball:
        room = abs(a[0]) - a[1]
        if room <= 0:
            raise Unknown
        if a[0].real < 0 and abs(a[0].imag) <= a[1] and (self.real or a[0].imag):
            raise Unknown
        z = cmath.log(a[0])
        return self._checked(z, a[1] / room + (1 + abs(z)) * _EPS)

    def _exp(self, a: Ball) -> Ball:
        if a[0].real > 640:
            raise Unknown
        z = cmath.exp(a[0])
        spread = math.expm1(min(a[1], 1.0)) + (1 + abs(a[0])) * _EPS
        # An underflow is off by less than the smallest normal number.
        return self._checked(z, abs(z) * spread + _TINY)

    def _function(self, node: Fn) -> Ball:
        name = node.name
        args = [self.value(arg) for arg in node.args]
        first = args[0]
        if name == "root":
            degree = node.args[1]
            if not isinstance(degree, Num) or not degree.value:
                raise Unknown
            power = 1 / degree.value
            near = float(power)
            return self._power(first, (complex(near), near * _EPS), power)
        if name == "log":
            top = self._log(first)
            return top if len(args) == 1 else self._over(top, self._log(args[1]))
        if name == "abs":
            return self._checked(complex(abs(first[0])), first[1])
        if name in _SMOOTH:
            return self._smooth(name, first)
        if name in ("cot", "sec", "csc"):
            lower = {"cot": "tan", "sec": "cos", "csc": "sin"}[name]
            return self._over((1 + 0j, 0.0), self._smooth(lower, first))
        if name in ("fact", "binom", "perm", "floor", "ceil", "max", "min", "gcd", "lcm"):
            return self._stepped(name, args)
        raise Unknown

    def _smooth(self, name: str, a: Ball) -> Ball:
        if name == "tan":
            return self._over(self._smooth("sin", a), self._smooth("cos", a))
        function, slope = _SMOOTH[name]
        if name in ("asin", "acos"):
            if a[0].imag or abs(a[0].real) + a[1] >= 1:
                raise Unknown
            bound = 1 / math.sqrt(1 - (abs(a[0].real) + a[1]) ** 2)
        elif name in ("atan", "acot"):
            if a[0].imag or (name == "acot" and abs(a[0].real) <= a[1]):
                raise Unknown
            bound = 1.0
        else:
            reach = a[0].imag if name in ("sin", "cos") else a[0].real
            bound = slope * math.cosh(abs(reach) + a[1])
        return self._checked(function(a[0]), bound * a[1] + (1 + abs(a[0])) * _EPS * bound)

    def _stepped(self, name: str, args: list[Ball]) -> Ball:
        if any(z.imag for z, _ in args):
            raise Unknown
        reals = [z.real for z, _ in args]
        radius = max(r for _, r in args)
        if name in ("max", "min"):
            return self._checked(complex(max(reals) if name == "max" else min(reals)), radius)
        if name in ("floor", "ceil"):
            step = math.floor if name == "floor" else math.ceil
            if step(reals[0] - radius) != step(reals[0] + radius):
                raise Unknown
            return complex(step(reals[0])), 0.0
        if any(x != round(x) or x > 170 or x < 0 for x in reals):
            raise Unknown
        whole = [round(x) for x in reals]
        if name in ("gcd", "lcm"):
            return complex(math.gcd(*whole) if name == "gcd" else math.lcm(*whole)), 0.0
        if name == "fact":
            value = math.factorial(whole[0])
        else:
            value = math.comb(*whole[:2]) if name == "binom" else math.perm(*whole[:2])
        return self._checked(complex(value), radius * abs(value) * 400)


def _rational_exponent(node: Node) -> Fraction | None:
    """An exponent that is a number, a quotient of numbers or a small power such as ``10^9``."""
    if isinstance(node, Num):
        return node.value
    if isinstance(node, Div) and isinstance(node.num, Num) and isinstance(node.den, Num):
        return node.num.value / node.den.value if node.den.value else None
    if isinstance(node, Pow) and isinstance(node.base, Num) and isinstance(node.exp, Num):
        small = abs(node.base.value) < 1_000 and node.exp.value.denominator == 1
        if small and 0 < node.exp.value <= 30:
            return node.base.value ** int(node.exp.value)
    return None


_SMOOTH = {
    "sin": (cmath.sin, 1.0),
    "cos": (cmath.cos, 1.0),
    "tan": (cmath.tan, 1.0),
    "sinh": (cmath.sinh, 1.0),
    "cosh": (cmath.cosh, 1.0),
    "asin": (cmath.asin, 1.0),
    "acos": (cmath.acos, 1.0),
    "atan": (cmath.atan, 1.0),
    "acot": (lambda z: cmath.atan(1 / z), 1.0),
}
