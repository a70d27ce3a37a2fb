"""Whole-number combinations of logarithms: equal to zero exactly when a product is one.

``2 log(1 + sqrt 2) = log(3 + 2 sqrt 2)`` because the arguments, shown positive, multiply out to
the same number.
"""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.forms import (
    ONE_DEN,
    Form,
    TooBig,
    Undefined,
    as_term,
    holds_variable,
)
from butwait.transforms.verify.normal import Field

_MOST_POWER = 40


def logs_cancel(field: Field, difference: Form) -> bool:
    """Whether a difference of two values is a combination of logarithms of one.

    Args:
        field: Arithmetic with its budget.
        difference: Left minus right. Arguments of ``("f", "log", ...)`` may be any constant form;
            the caller has checked that both sides are defined.

    Returns:
        True when shown to be zero; False says nothing.
    """
    if difference.den != ONE_DEN or not difference.num:
        return False
    found: list[tuple[Form, Fraction]] = []
    for mono, scale in difference.num:
        if len(mono) != 1:
            return False
        ((generator, power),) = mono
        if power != 1:
            return False
        if generator[0] == "log" and isinstance(generator[1], tuple):
            found.append((field.atom(generator[1]), scale))
        elif generator[0] == "f" and generator[1] == "log" and isinstance(generator[2], Form):
            found.append((generator[2], scale))
        else:
            return False
    if not all(_one_sided(form) for form, _ in found):
        return False
    whole = math.lcm(*(scale.denominator for _, scale in found))
    powers = [(form, int(scale * whole)) for form, scale in found]
    if max(abs(n) for _, n in powers) > _MOST_POWER:
        return False
    try:
        above = below = field.rational(1)
        for form, n in powers:
            if n > 0:
                above = field.mul(above, field.power(form, n))
            else:
                below = field.mul(below, field.power(form, -n))
        return field.equal(above, below)
    except (TooBig, Undefined):
        return False


def _one_sided(form: Form) -> bool:
    """Whether the logarithm of a form ends where its variables do.

    ``log(x^2)`` goes on below zero where ``2 log x`` does not: two functions.
    """
    names = {g for m, _ in (*form.num, *form.den) for g, _ in m if holds_variable(g)}
    if not names:
        return True
    term = as_term(form)
    return (
        term is not None
        and term[1] > 0
        and all(
            (g[0] == "v" and e.numerator % 2 == 1) or g[:2] == ("f", "abs")
            for g, e in term[0]
            if g in names
        )
    )
