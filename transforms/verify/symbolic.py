"""Exact symbolic comparison with sympy, for worker processes only.

Objects are built from the tree with constructors, never from text. High-precision evaluation may
only reject; equality comes from simplification to zero, a minimal polynomial, or an exact
trigonometric argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sympy as sp

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
_WHOLE_NAMES = frozenset("nkmNKM")


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
            diff = build(a, flags) - build(b, flags)
            if any(step(diff) == 0 for step in _simplifiers()):
                return True
        return None


def _assumptions(a: Node, b: Node) -> list[dict[str, dict[str, bool]]]:
    names = symbols(a) | symbols(b)
    if contains(a, "i") or contains(b, "i"):
        return [{name: {"real": True} for name in names}]
    sets: list[dict[str, bool]] = [{"real": True}, {"positive": True}]
    out = [dict.fromkeys(names, flags) for flags in sets]
    if names and names <= _WHOLE_NAMES:
        out.append({key: {"integer": True, "positive": True} for key in names})
    return out


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
        return sp.limit(body, symbol, ends[0])
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
    if node.name not in _FUNCTIONS:
        raise Unreadable(f"function {node.name!r}")
    if node.name in ("fact", "fact2", "binom", "perm"):
        for arg in args:
            if arg.is_number and not abs(sp.N(arg, 5)) < 3_000:
                raise Unreadable("count too big")
    return _FUNCTIONS[node.name](*args)
