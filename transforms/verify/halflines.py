"""Inequalities of one variable as regions: solved ones, linear ones, absolute values.

Leaves out: anything of higher degree.
"""

from __future__ import annotations

from fractions import Fraction

from butwait.transforms.verify.exact import Exact
from butwait.transforms.verify.forms import ONE_DEN, UNIT, TooBig, Undefined, as_rational
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.region import Region, intersect, merge, ray
from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Chain,
    Div,
    Fn,
    Mul,
    Node,
    Sym,
    number,
    symbols,
)

FLIP = {"<": ">", ">": "<", "le": "ge", "ge": "le", "=": "=", "ne": "ne"}
ORDERS = frozenset({"<", ">", "le", "ge", "ne"})


def chain_region(node: Chain, limits: Limits) -> Region | None:
    if len(node.items) == 2:
        left, right = node.items
        relation = node.relations[0]
        if isinstance(left, SCALARS) and isinstance(right, SCALARS):
            if isinstance(left, Sym) and left.name not in symbols(right):
                return ray(relation, right)
            if isinstance(right, Sym) and right.name not in symbols(left):
                return ray(FLIP[relation], left)
            return _absolute(node, limits) or _linear(node, limits) or _quadratic(node, limits)
        return None
    if len(node.items) == 3 and isinstance(node.items[1], Sym):
        low, _middle, high = node.items
        one, two = node.relations
        if "ne" in node.relations or not isinstance(low, SCALARS) or not isinstance(high, SCALARS):
            return None
        if one[0] != two[0] and {one, two} & {"<", "le"} and {one, two} & {">", "ge"}:
            return None
        first = ray(FLIP[one], low)
        second = ray(two, high)
        if first is None or second is None:
            return None
        both = intersect(first, second, limits)
        if both is None and one in ("<", "le"):
            return Region(((low, high, one == "le", two == "le"),))
        return both
    return None


def _absolute(node: Chain, limits: Limits) -> Region | None:
    """``|a x + b| < c`` and its like with rational numbers."""
    left, right = node.items
    relation = node.relations[0]
    if isinstance(right, Fn) and right.name == "abs":
        left, right, relation = right, left, FLIP[relation]
    if not isinstance(left, Fn) or left.name != "abs" or not isinstance(right, SCALARS):
        return None
    try:
        form = Exact(limits).form(right)
    except (TooBig, Undefined, RecursionError):
        return None
    bound = as_rational(form)
    if bound is None or bound <= 0:
        return None
    above = _linear(Chain((left.args[0], number(bound)), (relation,)), limits)
    below = _linear(Chain((left.args[0], number(-bound)), (FLIP[relation],)), limits)
    if above is None or below is None:
        return None
    if relation in ("<", "le"):
        return intersect(above, below, limits)
    return merge([*above.pieces, *below.pieces], limits) if relation in (">", "ge") else None


def _linear(node: Chain, limits: Limits) -> Region | None:
    """The half line of ``a x + b < 0`` with rational numbers."""
    left, right = node.items
    names = symbols(left) | symbols(right)
    if len(names) != 1 or node.relations[0] not in ORDERS:
        return None
    try:
        exact = Exact(limits)
        form = exact.sub(exact.form(left), exact.form(right))
    except (TooBig, Undefined, RecursionError):
        return None
    mono = frozenset({(("v", names.pop()), Fraction(1))})
    terms = dict(form.num)
    slope = terms.pop(mono, Fraction(0))
    offset = terms.pop(UNIT, Fraction(0))
    if terms or not slope or form.den != ONE_DEN:
        return None
    relation = node.relations[0] if slope > 0 else FLIP[node.relations[0]]
    return ray(relation, number(-offset / slope))


def _quadratic(node: Chain, limits: Limits) -> Region | None:
    """Where a quadratic with rational coefficients and two roots has a sign."""
    left, right = node.items
    names = symbols(left) | symbols(right)
    if len(names) != 1 or node.relations[0] not in ("<", "le", ">", "ge"):
        return None
    name = names.pop()
    roots = solutions(left, right, name, limits)
    if roots is None or len(roots) != 2:
        return None
    exact = Exact(limits)
    form = exact.sub(exact.form(left), exact.form(right))
    leading = dict(form.num)[frozenset({(("v", name), Fraction(2))})]
    relation = node.relations[0] if leading > 0 else FLIP[node.relations[0]]
    closed = relation in ("le", "ge")
    above, below = roots if leading > 0 else reversed(roots)
    if relation in ("<", "le"):
        return merge([(below, above, closed, closed)], limits)
    low, high = ray("le" if closed else "<", below), ray("ge" if closed else ">", above)
    assert low is not None and high is not None
    return merge([*low.pieces, *high.pieces], limits)


def whole_ends(low: Node, high: Node, limits: Limits) -> tuple[Fraction | None, Fraction | None]:
    """Both ends of an interval as rationals; None for an end that is none."""
    out: list[Fraction | None] = []
    for end in (low, high):
        try:
            out.append(as_rational(Exact(limits).form(end)))
        except (TooBig, Undefined, RecursionError):
            out.append(None)
    return out[0], out[1]


def solutions(left: Node, right: Node, name: str, limits: Limits) -> list[Node] | None:
    """The real roots of a linear or quadratic equation in one variable, or None.

    Args:
        left: Left side.
        right: Right side.
        name: The variable; the coefficients must be rational.
        limits: Bounds of the exact stage.
    """
    if not isinstance(left, SCALARS) or not isinstance(right, SCALARS):
        return None
    exact = Exact(limits)
    try:
        form = exact.sub(exact.form(left), exact.form(right))
    except (TooBig, Undefined, RecursionError):
        return None
    powers = {UNIT: 0} | {frozenset({(("v", name), Fraction(k))}): k for k in (1, 2)}
    scale = [Fraction(0)] * 3
    for mono, value in form.num:
        if mono not in powers or form.den != ONE_DEN:
            return None
        scale[powers[mono]] = value
    c, b, a = scale
    if not a:
        return [number(-c / b)] if b else None
    inside = b * b - 4 * a * c
    if inside < 0:
        return []
    if not inside:
        return [number(-b / (2 * a))]
    root = Fn("root", (number(inside), number(2)))
    ends = [Add((number(-b), root)), Add((number(-b), Mul((number(-1), root))))]
    return [Div(end, number(2 * a)) for end in ends]
