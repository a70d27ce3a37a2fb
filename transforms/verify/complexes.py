"""Real part, imaginary part, conjugate and modulus of exact forms without variables."""

from __future__ import annotations

from butwait.transforms.verify.forms import IMAGINARY, ONE_DEN, Form, Generator
from butwait.transforms.verify.normal import Field

# Generators of these kinds are real numbers when they hold no variable and no imaginary unit.
_REAL_KINDS = frozenset({"p", "c", "log"})
_REAL_FUNCTIONS = frozenset({"sin", "cos", "tan", "asin", "atan", "abs", "fact"})


def parts(field: Field, form: Form) -> tuple[Form, Form] | None:
    """Real and imaginary part of a constant; None where some part is not known to be real."""
    if form.den != ONE_DEN or not all(_is_real(g) for m, _ in form.num for g, _ in m):
        return None
    real = Form(frozenset((m, c) for m, c in form.num if IMAGINARY not in dict(m)), ONE_DEN)
    turned = Form(form.num - real.num, ONE_DEN)
    return real, field.mul(turned, field.neg(field.atom(IMAGINARY)))


def conjugate(field: Field, form: Form) -> Form | None:
    """The conjugate of a constant, or None."""
    known = parts(field, form)
    if known is None:
        return None
    real, imaginary = known
    return field.sub(real, field.mul(imaginary, field.atom(IMAGINARY)))


def _is_real(generator: Generator) -> bool:
    if generator == IMAGINARY:
        return True
    if generator[0] == "f":
        inner = generator[2]
        return (
            generator[1] in _REAL_FUNCTIONS
            and isinstance(inner, Form)
            and not any(g == IMAGINARY or not _is_real(g) for m, _ in inner.num for g, _ in m)
        )
    return generator[0] in _REAL_KINDS
