"""Whether two scalars are equal, in process: exact forms to accept, enclosures to reject.

Three-valued: ``None`` means that this stage cannot tell. Bounded by the limits, no deadline.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from butwait.transforms.verify.ball import Unknown, apart, enclose
from butwait.transforms.verify.budget import budget, spend
from butwait.transforms.verify.exact import Exact
from butwait.transforms.verify.forms import (
    Form,
    TooBig,
    Undefined,
    as_rational,
    gathered,
    generators,
    never_zero,
    rigid,
)
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.logs import logs_cancel
from butwait.transforms.verify.modular import residues_differ
from butwait.transforms.verify.normal import Field
from butwait.transforms.verify.tree import (
    Const,
    Mul,
    Node,
    Num,
    contains,
    plain_value,
    symbols,
)

# What it costs to look at all the points, in products of terms.
_PROBE_STEPS = 20
# Probe points: mixed signs, all positive, whole numbers, small; fixed, so verdicts repeat.
_POINTS = (
    (1.3710937, 2.2197265, 0.7314453, 3.1181640, 1.9013671, 0.4384765),
    (-0.8291015, 1.6103515, -2.3056640, 0.5537109, -1.4208984, 2.7919921),
    (0.3173828, -0.6416015, 1.2119140, -1.8779296, 0.8212890, -0.2568359),
    (4.0, 3.0, 5.0, 2.0, 7.0, 6.0),
    (7.0, 2.0, 3.0, 11.0, 4.0, 5.0),
    (0.1416015, 0.8730468, 0.3681640, 0.6254882, 0.5073242, 0.2836914),
    (-7.3740234, 12.9072265, -23.1513671, 37.4091796, -11.8291015, 19.2470703),
    (-1.2822265, -2.7119140, -0.5927734, -3.3876953, -1.7314453, -0.9482421),
    (113.7197265, -57.2451171, 71.3388671, -141.9013671, 88.1611328, -97.6123046),
)


def equal_scalars(a: Node, b: Node, limits: Limits) -> bool | None:
    """True when shown equal, False when shown different, None when neither."""
    return decide_scalars(a, b, limits)[0]


def decide_scalars(a: Node, b: Node, limits: Limits) -> tuple[bool | None, str]:
    """Whether two scalars are equal, and the rule that says so.

    Args:
        a: A scalar without plus-minus.
        b: The same.
        limits: Bounds of the exact stage.

    Returns:
        The answer (None: not known) with ``integer``, ``rational``, ``exact`` (normal forms),
        ``numeric`` (enclosures or residues; only ever different), ``infinity``, ``undefined``.
    """
    plain = plain_value(a), plain_value(b)
    if plain[0] is not None and plain[1] is not None:
        return _compare_numbers(*plain)
    infinite = _infinity(a), _infinity(b)
    if infinite != (0, 0):
        return infinite[0] == infinite[1], "infinity"
    try:
        left, right = exact_form(a, limits), exact_form(b, limits)
    except Undefined:
        return False, "undefined"
    if left is not None and right is not None:
        numbers = as_rational(left), as_rational(right)
        if numbers[0] is not None and numbers[1] is not None:
            return _compare_numbers(*numbers)
        known = _compare_forms(left, right, limits)
        if known is not None:
            return known, "exact"
    if a == b:
        return True, "exact"
    return (False, "numeric") if shown_different(a, b) else (None, "undecided")


def _compare_numbers(a: Fraction | None, b: Fraction | None) -> tuple[bool, str]:
    assert a is not None and b is not None
    return a == b, "integer" if a.denominator == b.denominator == 1 else "rational"


class ExactStage:
    """The scalar oracle of the bounded stages; remembers the rule of its last decision.

    Args:
        limits: Bounds of the exact stage.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.rule = "exact"

    def equal(self, a: Node, b: Node) -> bool | None:
        """True when shown equal, False when shown different, None when neither."""
        result, self.rule = decide_scalars(a, b, self.limits)
        return result


def exact_form(node: Node, limits: Limits) -> Form | None:
    """The exact normal form, or None beyond the limits.

    Raises:
        Undefined: The scalar has no value.
    """
    form, cost = _formed(_Same(node), limits)
    if not spend(cost):
        return None
    if isinstance(form, Undefined):
        # A new one each time: a remembered exception would gather the frames of all its raises.
        raise Undefined(*form.args)
    return form


class _Same:
    """A tree as a key: the same object, whose parts need not be compared."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.node is other.node

    def __hash__(self) -> int:
        return id(self.node)


@lru_cache(maxsize=256)
def _formed(key: _Same, limits: Limits) -> tuple[Form | Undefined | None, int]:
    """The form of a tree (None: too big) and the steps that it took, whoever asks for it again."""
    exact = Exact(limits)
    with budget(limits.terms * 2):
        form: Form | Undefined | None
        try:
            form = exact.form(key.node)
        except Undefined as reason:
            form = Undefined(*reason.args)
        except (TooBig, RecursionError, OverflowError):
            form = None
    return form, 1 + limits.terms - exact.left


def _compare_forms(left: Form, right: Form, limits: Limits) -> bool | None:
    try:
        field = Field(limits)
        if field.equal(left, right) or gathered(left) == gathered(right):
            return True
        if any(g[0] in ("log", "f") for g in generators(left)) and logs_cancel(
            field, field.sub(left, right)
        ):
            return True
    except (TooBig, Undefined, RecursionError):
        return None
    if rigid(left) and rigid(right):
        return False
    for one, other in ((left, right), (right, left)):
        if not one.num and never_zero(other):
            return False
    return None


def shown_different(a: Node, b: Node) -> bool:
    """Whether enclosures or residues show that the values differ somewhere."""
    if not spend(_PROBE_STEPS):
        return False
    names = sorted(symbols(a) | symbols(b))
    real = bool(names) and not (contains(a, "i") or contains(b, "i"))
    for values in _POINTS if names else ((),):
        point = {name: values[k % 6] + k // 6 for k, name in enumerate(names)}
        try:
            if apart(enclose(a, point, real=real), enclose(b, point, real=real)):
                return True
        except Unknown:
            continue
    if names:
        return _depends_alone(a, symbols(a) - symbols(b), real=real) or _depends_alone(
            b, symbols(b) - symbols(a), real=real
        )
    return residues_differ(a, b)


def _depends_alone(node: Node, own: set[str], *, real: bool) -> bool:
    """Whether the value changes with a variable that the other side does not have."""
    if not own:
        return False
    others = sorted(symbols(node) - own)
    fixed = {name: _POINTS[1][k % 6] + k // 6 for k, name in enumerate(others)}
    seen = []
    for values in _POINTS:
        point = fixed | {name: values[k % 6] + k // 6 for k, name in enumerate(sorted(own))}
        try:
            seen.append(enclose(node, point, real=real))
        except Unknown:
            continue
    return any(apart(seen[0], other) for other in seen[1:])


def order(a: Node, b: Node, limits: Limits) -> int | None:
    """-1, 0 or 1 as constant ``a`` is below, equal to or above ``b``; None when unknown."""
    signs = _infinity(a), _infinity(b)
    if signs != (0, 0):
        return (signs[0] > signs[1]) - (signs[0] < signs[1])
    try:
        x, y = exact_form(a, limits), exact_form(b, limits)
        if x is not None and y is not None:
            left, right = as_rational(x), as_rational(y)
            if left is not None and right is not None:
                return (left > right) - (left < right)
            if Field(limits).equal(x, y):
                return 0
        one, two = enclose(a, {}, real=True), enclose(b, {}, real=True)
    except (Unknown, Undefined, TooBig):
        return None
    if not apart(one, two):
        return None
    return 1 if one[0].real > two[0].real else -1


def _infinity(node: Node) -> int:
    if node == Const("inf"):
        return 1
    if isinstance(node, Mul) and len(node.items) == 2 and isinstance(node.items[0], Num):
        scale = node.items[0].value
        inner = _infinity(node.items[1])
        return inner if scale > 0 else -inner
    return 0
