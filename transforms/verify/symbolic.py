"""Exact symbolic comparison with sympy, for worker processes only.

Objects are built from the tree with constructors, never from text. High-precision evaluation may
only reject; equality comes from simplification to zero, a minimal polynomial, or an exact
trigonometric argument.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import sympy as sp

from butwait.transforms.verify.ball import Unknown, enclose
from butwait.transforms.verify.forms import WHOLE_NAMES, is_complex_name
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.scalars import equal_scalars
from butwait.transforms.verify.tree import (
    BINDERS,
    Add,
    Const,
    Div,
    Fn,
    Mul,
    Node,
    Num,
    Pow,
    Sym,
    Unreadable,
    contains,
    symbols,
)

_CONSTANTS = {"pi": sp.pi, "e": sp.E, "i": sp.I, "inf": sp.oo, "deg": sp.pi / 180}
_FUNCTIONS: dict[str, Any] = {
    "sin": sp.sin, "cos": sp.cos, "tan": sp.tan, "cot": sp.cot, "sec": sp.sec, "csc": sp.csc,
    "asin": sp.asin, "acos": sp.acos, "atan": sp.atan, "acot": sp.acot, "sinh": sp.sinh,
    "cosh": sp.cosh, "tanh": sp.tanh, "abs": sp.Abs, "fact": sp.factorial,
    "fact2": sp.factorial2, "binom": sp.binomial, "floor": sp.floor, "ceil": sp.ceiling,
    "re": sp.re, "im": sp.im, "arg": sp.arg, "overline": sp.conjugate,
    "perm": sp.ff, "mod": sp.Mod, "gcd": sp.gcd, "lcm": sp.lcm, "max": sp.Max, "min": sp.Min,
}  # fmt: skip
_MOST_BITS = 50_000
_BELOW_ZERO = (-0.37, -1.83, -7.41, -63.7)
Flags = dict[str, dict[str, bool]]


class Symbolic:
    """The scalar oracle of a worker: the exact stage first, then sympy.

    Args:
        limits: Bounds of the exact stage and of numbers that sympy may see.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def equal(self, a: Node, b: Node) -> bool | None:
        """True when shown equal, False when shown different, None when neither."""
        known = equal_scalars(a, b, self.limits)
        if known is not None:
            return known
        try:
            return self._equal(a, b)
        except (Unreadable, ArithmeticError, ValueError, TypeError, NotImplementedError,
                AttributeError, RecursionError, KeyError, IndexError):  # fmt: skip
            return None

    def _equal(self, a: Node, b: Node) -> bool | None:
        assume = _assumptions(a, b)
        diff = build(a, assume[0]) - build(b, assume[0])
        if diff.is_zero:
            return True
        if not diff.free_symbols:
            return _constant_is_zero(diff)
        for flags in assume:
            if _proven(a, b, flags) and (flags in assume[:1] or _holds_below_zero(a, b, flags)):
                return True
        return None


def _assumptions(a: Node, b: Node) -> list[dict[str, dict[str, bool]]]:
    """What may be assumed of the variables, the weakest first."""
    names = symbols(a) | symbols(b)
    real: dict[str, dict[str, bool]] = {
        name: {} if is_complex_name(name) else {"real": True} for name in names
    }
    if contains(a, "i") or contains(b, "i") or any(map(is_complex_name, names)):
        return [real]
    out = [real, {name: {"positive": True} for name in names}]
    if names and names <= WHOLE_NAMES:
        out.append({key: {"integer": True, "positive": True} for key in names})
    return out


def _proven(a: Node, b: Node, flags: Flags) -> bool:
    diff = build(a, flags) - build(b, flags)
    return any(step(diff) == 0 for step in _simplifiers())


def _holds_below_zero(a: Node, b: Node, flags: Flags) -> bool:
    """Whether what was proven of positive variables is true of each below zero, too.

    A variable that neither side can take below zero is positive by what was written: the proof
    stands. Whole numbers that count something need no proof below zero.
    """
    if any("integer" in known for known in flags.values()):
        return True
    return all(
        not _reaches_below_zero(a, b, name) or _proven(a, b, {**flags, name: {"negative": True}})
        for name in flags
    )


def _reaches_below_zero(a: Node, b: Node, name: str) -> bool:
    names = symbols(a) | symbols(b)
    for value in _BELOW_ZERO:
        point = {other: 1.3 + k for k, other in enumerate(sorted(names))} | {name: value}
        for node in (a, b):
            with contextlib.suppress(Unknown):
                enclose(node, point, real=True)
                return True
    return False


def _simplifiers() -> Iterator[Callable[[Any], Any]]:
    yield lambda d: sp.expand(d)
    yield lambda d: sp.cancel(sp.together(d))
    yield lambda d: sp.expand(sp.expand_trig(d))
    yield lambda d: sp.expand_log(d)
    yield lambda d: sp.powsimp(sp.expand_power_base(sp.powdenest(d)))
    yield lambda d: sp.expand(sp.expand_func(sp.combsimp(d)))
    yield lambda d: sp.simplify(d.rewrite(sp.exp)) if d.has(sp.sin, sp.cos, sp.tan) else d
    yield lambda d: sp.simplify(d)


def _constant_is_zero(diff: Any) -> bool | None:
    near = sp.N(diff, 40, maxn=400)
    if near.is_number and near._prec != 1 and abs(near) > sp.Float(10) ** -35:
        return False
    if _tangent_is_zero(diff, near):
        return True
    if sp.expand(sp.sqrtdenest(diff)) == 0:
        return True
    if diff.is_algebraic and sp.count_ops(diff) < 60:
        x = sp.Symbol("x")
        return bool(sp.minimal_polynomial(diff, x) == x)
    for step in (sp.radsimp, sp.expand_log, sp.logcombine, sp.trigsimp, sp.simplify):
        if step(diff) == 0:
            return True
    return None


def _tangent_is_zero(diff: Any, near: Any) -> bool:
    """A sum of inverse tangents within half a turn of zero, whose tangent is zero, is zero."""
    if not diff.has(sp.atan, sp.acot) or abs(near) > 1:
        return False
    return bool(sp.simplify(sp.expand_trig(sp.tan(diff))) == 0)


def build(node: Node, flags: dict[str, dict[str, bool]]) -> Any:
    """A sympy object for a scalar.

    Args:
        node: A scalar without plus-minus.
        flags: Assumptions of each variable.

    Raises:
        Unreadable: A number or power too big to be worth building.
    """
    if isinstance(node, Num):
        return sp.Rational(node.value.numerator, node.value.denominator)
    if isinstance(node, Sym):
        return sp.Symbol(node.name, **flags.get(node.name, {}))
    if isinstance(node, Const):
        return _CONSTANTS[node.name]
    if isinstance(node, Add):
        return sp.Add(*(build(item, flags) for item in node.items))
    if isinstance(node, Mul):
        return sp.Mul(*(build(item, flags) for item in node.items))
    if isinstance(node, Div):
        return build(node.num, flags) / build(node.den, flags)
    if isinstance(node, Pow):
        return _power(build(node.base, flags), build(node.exp, flags))
    if isinstance(node, Fn):
        return _call(node, flags)
    raise Unreadable("not a scalar")


def _power(base: Any, exp: Any) -> Any:
    if exp.is_Rational and base.is_Rational:
        size = max(abs(base.p).bit_length(), base.q.bit_length())
        if abs(exp.p) * size > _MOST_BITS or exp.q > 1_000:
            raise Unreadable("power too big")
    if exp.is_number and not exp.is_Rational and base.is_number:
        size = abs(sp.N(exp, 5))
        if not size < 2_000:
            raise Unreadable("power too big")
    if base.is_negative and exp.is_Rational and exp.q % 2:
        return (-1) ** exp.p * (-base) ** exp
    return base**exp


def _series(node: Fn, flags: dict[str, dict[str, bool]]) -> Any:
    """A sum, product, integral or limit; sympy is asked for its closed form."""
    bound = node.args[1]
    assert isinstance(bound, Sym)
    whole = node.name in ("sum", "prod")
    # One symbol for the bound variable, whatever a variable of that name is outside.
    inner = {**flags, bound.name: {"integer": True} if whole else {"real": True}}
    symbol = build(bound, inner)
    body = build(node.args[0], inner)
    ends = [build(arg, flags) for arg in node.args[2:]]
    if node.name == "limit":
        # From both sides: a limit that is not the same from both does not exist (ValueError).
        return sp.limit(body, symbol, ends[0], "+-" if ends[0].is_finite else "+")
    known: dict[str, Any] = {"sum": sp.summation, "prod": sp.product, "integral": sp.integrate}
    return known[node.name](body, (symbol, *ends))


def _call(node: Fn, flags: dict[str, dict[str, bool]]) -> Any:
    args = [build(arg, flags) for arg in node.args]
    if node.name in BINDERS:
        return _series(node, flags)
    if node.name == "root":
        return _power(args[0], 1 / args[1])
    if node.name == "log":
        return sp.log(args[0]) / (sp.log(args[1]) if len(args) > 1 else 1)
    if node.name == "call":
        return sp.Function(str(args[0]))(*args[1:])
    if node.name in ("gcd", "lcm") and not all(arg.is_number for arg in args):
        # sympy's are those of polynomials: the gcd of two names is not one.
        return sp.Function(node.name)(*sorted(args, key=sp.default_sort_key))
    if node.name == "overline" and args[0].is_real and args[0].free_symbols:
        return sp.Function("overline")(*args)
    if node.name not in _FUNCTIONS:
        raise Unreadable(f"function {node.name!r}")
    if node.name in ("fact", "fact2", "binom", "perm"):
        for arg in args:
            if arg.is_number and not abs(sp.N(arg, 5)) < 3_000:
                raise Unreadable("count too big")
    return _FUNCTIONS[node.name](*args)
