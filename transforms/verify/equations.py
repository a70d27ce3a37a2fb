"""Equations up to a constant factor, inequalities up to a positive one.

Works on exact forms of left side minus right side with denominators cleared. Leaves out: equal
solution sets of equations that are not proportional.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from butwait.transforms.verify.exact import Exact
from butwait.transforms.verify.forms import (
    ONE_DEN,
    Form,
    Generator,
    Monomial,
    Poly,
    TooBig,
    Undefined,
    as_rational,
    is_constant,
)
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.normal import Field
from butwait.transforms.verify.tree import SCALARS, Chain, Node, symbols

_ONE = Fraction(1)
_MOST_DEGREE = 30
Sides = tuple[Node, Node]


def same_equation(a: Sides, b: Sides, limits: Limits) -> bool | None:
    """Whether one equation, as (left, right), is a constant multiple of another."""
    if not _has_variable(*a) or not _has_variable(*b):
        return a == b
    try:
        one, two = _cleared(*a, limits), _cleared(*b, limits)
        if _proportion(one, two, limits) is not None:
            return True
        return _constant_multiple(one, two, limits)
    except (TooBig, RecursionError):
        return None
    except Undefined:
        return False


def same_inequality(
    a: Chain, b: Chain, limits: Limits, plain: Callable[[Node, Node], bool | None]
) -> bool | None:
    """Whether two inequalities are the same up to a positive factor and direction."""
    if len(a.items) != len(b.items):
        return False
    if len(a.items) == 2 and _has_variable(*a.items) and _has_variable(*b.items):
        return _same_single(a, b, limits)
    turned = Chain(tuple(reversed(b.items)), tuple(_FLIP[r] for r in reversed(b.relations)))
    for other in (b, turned):
        if a.relations == other.relations:
            parts = [plain(x, y) for x, y in zip(a.items, other.items, strict=True)]
            if all(part is True for part in parts):
                return True
    return False


def _has_variable(left: Node, right: Node) -> bool:
    """Whether both sides are scalars with a variable on one of them at least."""
    if not isinstance(left, SCALARS) or not isinstance(right, SCALARS):
        return False
    return bool(symbols(left) | symbols(right))


def _same_single(a: Chain, b: Chain, limits: Limits) -> bool | None:
    try:
        exact = Exact(limits)
        one = exact.sub(exact.form(a.items[0]), exact.form(a.items[1]))
        two = exact.sub(exact.form(b.items[0]), exact.form(b.items[1]))
        factor = _proportion(one, two, limits)
    except (TooBig, RecursionError):
        return None
    except Undefined:
        return False
    if factor is None:
        return False
    relation = b.relations[0] if factor > 0 else _FLIP[b.relations[0]]
    return a.relations[0] == relation


def _cleared(left: Node, right: Node, limits: Limits) -> Form:
    """Numerator of left minus right, with no negative powers and no common monomial."""
    exact = Exact(limits)
    if not isinstance(left, SCALARS) or not isinstance(right, SCALARS):
        raise Undefined
    form = _without_excluded_roots(exact.sub(exact.form(left), exact.form(right)))
    lowest: dict[Generator, Fraction] = {}
    for mono, _ in form.num:
        for generator, power in mono:
            lowest.setdefault(generator, power)
    for generator in lowest:
        if generator[0] == "v":
            lowest[generator] = min(dict(mono).get(generator, Fraction(0)) for mono, _ in form.num)
    num: Poly = {}
    for mono, scale in form.num:
        num[_shifted(mono, lowest)] = scale
    return Form(frozenset(num.items()), frozenset({(frozenset(), _ONE)}))


def _without_excluded_roots(form: Form) -> Form:
    """The form without the roots of its numerator where its denominator is zero, too.

    ``(x^2 - 1)/(x - 1) = 0`` has one root. Forms of several variables stay as they are.
    """
    above, below = _one_variable(form.num), _one_variable(form.den)
    if above is None or below is None or above[0] != below[0] or len(below[1]) < 2:
        return form
    top = above[1]
    while len(common := _common_divisor(top, below[1])) > 1:
        top = _divided(top, common)[0]
    name: Generator = ("v", above[0])
    terms = {
        frozenset({(name, Fraction(k))} if k else ()): scale for k, scale in enumerate(top) if scale
    }
    return Form(frozenset(terms.items()), form.den)


def _one_variable(
    poly: frozenset[tuple[Monomial, Fraction]],
) -> tuple[str, list[Fraction]] | None:
    """Name and coefficients, lowest first, of a polynomial in one variable; None for others."""
    names = {g for mono, _ in poly for g, _ in mono}
    if len(names) != 1 or not poly:
        return None
    ((kind, name, *_),) = names
    powers = {sum((e for _, e in mono), Fraction(0)): scale for mono, scale in poly}
    if kind != "v" or any(e.denominator != 1 or not 0 <= e <= _MOST_DEGREE for e in powers):
        return None
    return str(name), [powers.get(Fraction(k), Fraction(0)) for k in range(int(max(powers)) + 1)]


def _divided(a: list[Fraction], b: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
    """Quotient and remainder of two polynomials."""
    rest, out = list(a), [Fraction(0)] * max(len(a) - len(b) + 1, 1)
    while len(rest) >= len(b):
        shift = len(rest) - len(b)
        out[shift] = rest[-1] / b[-1]
        rest = [x - out[shift] * (b[k - shift] if k >= shift else 0) for k, x in enumerate(rest)]
        while rest and not rest[-1]:
            rest.pop()
    return out, rest


def _common_divisor(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    while b:
        a, b = b, _divided(a, b)[1]
    return a


def _shifted(mono: Monomial, lowest: dict[Generator, Fraction]) -> Monomial:
    powers = dict(mono)
    for generator, power in lowest.items():
        if generator[0] == "v" and power < 0:
            powers[generator] = powers.get(generator, Fraction(0)) - power
    return frozenset((g, e) for g, e in powers.items() if e)


def _proportion(one: Form, two: Form, limits: Limits) -> Fraction | None:
    """The rational ``c`` with ``one = c * two``, or None."""
    if not one.num or not two.num:
        return _ONE if one.num == two.num else None
    if one.den == two.den and {m for m, _ in one.num} == {m for m, _ in two.num}:
        first, second = dict(one.num), dict(two.num)
        ratios = {first[m] / second[m] for m in first}
        if len(ratios) == 1:
            return ratios.pop()
    return as_rational(Field(limits).div(one, two))


def _constant_multiple(one: Form, two: Form, limits: Limits) -> bool:
    """Whether the forms differ by a constant factor, which may be irrational."""
    if one.den != two.den:
        return False
    first, second = _coefficients(one), _coefficients(two)
    if first.keys() != second.keys() or len(first) < 2:
        return False
    field = Field(limits)
    lead = next(iter(first))
    return all(
        field.equal(field.mul(first[key], second[lead]), field.mul(second[key], first[lead]))
        for key in first
    )


def _coefficients(form: Form) -> dict[Monomial, Form]:
    """The constant factor of each product of variables."""
    found: dict[Monomial, set[tuple[Monomial, Fraction]]] = {}
    for mono, scale in form.num:
        key = frozenset((g, e) for g, e in mono if not is_constant(g))
        found.setdefault(key, set()).add((mono - key, scale))
    return {key: Form(frozenset(terms), ONE_DEN) for key, terms in found.items()}


_FLIP = {"<": ">", ">": "<", "le": "ge", "ge": "le", "=": "=", "ne": "ne"}
