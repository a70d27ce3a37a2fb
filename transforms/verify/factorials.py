"""Factorials and binomials of expressions: ``(n+2)!`` as ``(n+2)(n+1) n!``."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.forms import ONE_DEN, UNIT, Form, generators

if TYPE_CHECKING:
    from butwait.transforms.verify.exact import Exact

_MOST_STEPS = 20


def symbolic_count(x: Exact, name: str, args: list[Form]) -> Form | None:
    """A factorial or binomial of an expression with variables, or None for any other.

    Both sides of a comparison are taken apart in the same way; where ``n - k`` is below zero the
    binomial is zero and this form has no value, which only ever loses an equality.
    """
    if not any(g[0] == "v" for arg in args for g in generators(arg)):
        return None
    if name == "fact":
        return _factorial(x, args[0])
    if name not in ("binom", "perm") or len(args) != 2:
        return None
    total, chosen = args
    rest = _factorial(x, x.sub(total, chosen))
    above = _factorial(x, total)
    below = rest if name == "perm" else _product(x, rest, _factorial(x, chosen))
    return None if above is None or below is None else x.div(above, below)


def _product(x: Exact, a: Form | None, b: Form | None) -> Form | None:
    return None if a is None or b is None else x.mul(a, b)


def _factorial(x: Exact, argument: Form) -> Form | None:
    if argument.den != ONE_DEN:
        return None
    offset = dict(argument.num).get(UNIT, Fraction(0))
    steps = math.floor(offset)
    if not any(g[0] == "v" for g in generators(argument)):
        small = offset.denominator == 1 and 0 <= offset <= _MOST_STEPS and len(argument.num) < 2
        return x.rational(math.factorial(steps)) if small else None
    if abs(steps) > _MOST_STEPS:
        return None
    base = x.sub(argument, x.rational(steps))
    result = x.atom(("f", "fact", base))
    for k in range(1, steps + 1):
        result = x.mul(result, x.add(base, x.rational(k)))
    for k in range(0, steps, -1):
        result = x.div(result, x.add(base, x.rational(k)))
    return result
