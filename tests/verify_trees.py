"""Random scalar expressions: their LaTeX in several styles, and their values worked out here.

The values come from ``fractions`` and mpmath alone, never from the verifier's code, so that the two
can be compared. Leaves out: every shape around scalars (``verify_grammar``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import comb, factorial
from random import Random
from typing import Any

from mpmath import mp, mpf

VARIABLES = ("x", "y", "t", "m", "n")
_RATIONAL = frozenset({"num", "neg", "add", "sub", "mul", "div", "pow", "abs", "fact", "binom"})
_ONE_PLACE = ("sin", "cos", "tan", "ln", "arctan", "abs", "sqrt", "cbrt", "exp")


@dataclass(frozen=True, slots=True)
class Tree:
    """An operation with its arguments; ``num`` has a value, ``var`` and ``const`` a name."""

    op: str
    args: tuple[Tree, ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


def num(value: Fraction | int) -> Tree:
    """A number."""
    return Tree("num", value=Fraction(value))


def node(op: str, *args: Tree) -> Tree:
    """An operation."""
    return Tree(op, args)


def rational_tree(rng: Random, depth: int = 3) -> Tree:
    """Arithmetic on numbers only, with small powers, factorials and binomials."""
    if depth == 0 or rng.random() < 0.15:
        return num(_number(rng))
    op = rng.choice(
        ["add", "sub", "mul", "div", "neg", "pow", "abs", "fact", "binom", "add", "mul"]
    )
    if op == "pow":
        return node("pow", rational_tree(rng, depth - 1), num(rng.randint(-3, 4)))
    if op == "fact":
        return node("fact", num(rng.randint(0, 7)))
    if op == "binom":
        top = rng.randint(0, 9)
        return node("binom", num(top), num(rng.randint(0, top)))
    if op in ("neg", "abs"):
        return node(op, rational_tree(rng, depth - 1))
    return node(op, rational_tree(rng, depth - 1), rational_tree(rng, depth - 1))


def scalar_tree(rng: Random, depth: int = 3, names: tuple[str, ...] = VARIABLES[:2]) -> Tree:
    """An expression in real variables; without names, a constant."""
    if depth == 0 or rng.random() < 0.15:
        return _leaf(rng, names)
    pick = rng.random()
    if pick < 0.55:
        op = rng.choice(["add", "sub", "mul", "div"])
        return node(op, scalar_tree(rng, depth - 1, names), scalar_tree(rng, depth - 1, names))
    if pick < 0.7:
        exponent = rng.choice([2, 2, 3, -1, -2, 4, Fraction(1, 2), Fraction(1, 3)])
        return node("pow", scalar_tree(rng, depth - 1, names), num(exponent))
    op = "neg" if pick < 0.78 else rng.choice(_ONE_PLACE)
    return node(op, scalar_tree(rng, depth - 1, names))


def _leaf(rng: Random, names: tuple[str, ...]) -> Tree:
    pick = rng.random()
    if names and pick < 0.5:
        return Tree("var", name=rng.choice(names))
    return Tree("const", name=rng.choice(["pi", "e"])) if pick < 0.6 else num(_number(rng))


def _number(rng: Random) -> Fraction | int:
    pick = rng.random()
    if pick < 0.65:
        return rng.randint(0, 12)
    if pick < 0.75:
        return rng.randint(13, 20_000)
    return Fraction(rng.randint(1, 30), rng.choice([2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 25, 100]))


# -- values ---------------------------------------------------------------------------------------


def fraction_of(tree: Tree) -> Fraction:
    """The value of a rational tree.

    Raises:
        ZeroDivisionError: It has none.
    """
    if tree.op == "num":
        return tree.value
    a, *rest = map(fraction_of, tree.args)
    if tree.op == "pow" and a == 0 and rest[0] == 0:
        raise ZeroDivisionError("zero to the power zero")
    return Fraction(_EXACT[tree.op](a, *rest))


_EXACT: dict[str, Callable[..., Fraction | int]] = {
    "neg": lambda a: -a, "add": lambda a, b: a + b, "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "pow": lambda a, b: a ** int(b),
    "abs": abs, "fact": lambda a: factorial(int(a)), "binom": lambda a, b: comb(int(a), int(b)),
}  # fmt: skip


class NoValue(Exception):
    """The expression has no real value at this point, or one beyond all sense."""


def value_at(tree: Tree, point: Mapping[str, Any]) -> Any:
    """The real value at a point to 40 digits.

    Raises:
        NoValue: It is not real, or not finite.
    """
    if tree.op == "num":
        return mpf(tree.value.numerator) / tree.value.denominator
    if tree.op == "var":
        return point[tree.name]
    if tree.op == "const":
        return mp.pi if tree.name == "pi" else mp.e
    args = [value_at(arg, point) for arg in tree.args]
    try:
        value = _REAL[tree.op](*args)
    except (ZeroDivisionError, ValueError, OverflowError) as reason:
        raise NoValue from reason
    if not isinstance(value, type(mpf(1))) or not abs(value) < mpf(10) ** 300:
        raise NoValue
    return value


# Smaller than this a divisor is zero that rounding hides, such as the tangent of pi.
_ZERO = mpf(10) ** -30


def _quotient(a: Any, b: Any) -> Any:
    if abs(b) < _ZERO:
        raise NoValue
    return a / b


def _real_power(a: Any, b: Any) -> Any:
    if abs(a) < _ZERO and b <= 0:
        raise NoValue
    if a < 0 and b != int(b):
        raise NoValue
    if abs(b) > 2_000:
        raise NoValue
    return a**b


def _real_log(a: Any) -> Any:
    if a <= 0:
        raise NoValue
    return mp.log(a)


def _real_root(a: Any) -> Any:
    if a < 0:
        raise NoValue
    return mp.sqrt(a)


def _exp(a: Any) -> Any:
    if abs(a) > 600:
        raise NoValue
    return mp.exp(a)


def _tan(a: Any) -> Any:
    if abs(mp.cos(a)) < mpf(10) ** -12:
        raise NoValue
    return mp.tan(a)


_REAL: dict[str, Callable[..., Any]] = {
    "neg": lambda a: -a, "add": lambda a, b: a + b, "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b, "div": _quotient, "pow": _real_power, "abs": abs,
    "sin": mp.sin, "cos": mp.cos, "tan": _tan, "ln": _real_log, "arctan": mp.atan,
    "sqrt": _real_root, "exp": _exp, "fact": lambda a: mp.factorial(int(a)),
    "cbrt": lambda a: mp.sign(a) * mp.cbrt(abs(a)),
    "binom": lambda a, b: mp.binomial(int(a), int(b)),
}  # fmt: skip


_PRECISION = threading.Lock()


def values_differ(a: Tree, b: Tree, rng: Random, points: int) -> tuple[bool | None, str]:
    """Whether two expressions differ at random points, and where; None when nothing can be said.

    Args:
        a: One expression.
        b: Another.
        rng: Draws the points.
        points: How many.
    """
    seen = None
    # The precision belongs to the whole process: threads take turns.
    with _PRECISION, mp.workdps(40):
        for _ in range(points):
            point = {name: mpf(round(rng.uniform(-4, 4), 6)) for name in VARIABLES}
            try:
                one, two = value_at(a, point), value_at(b, point)
            except NoValue:
                continue
            if 0 < max(abs(one), abs(two)) < mpf(10) ** -10:
                continue  # the cube root of a rounded zero has lost two thirds of its digits
            seen = False
            if abs(one - two) > mpf(10) ** -20 * (1 + abs(one) + abs(two)):
                return True, f"{point}: {mp.nstr(one, 12)} and {mp.nstr(two, 12)}"
    return seen, ""


# -- LaTeX ----------------------------------------------------------------------------------------

_SUM, _PRODUCT, _CALL, _POWER, _ATOM = range(5)


def latex_of(tree: Tree, rng: Random) -> str:
    """The expression in LaTeX; the generator chooses fractions, product signs and brackets."""
    return _write(tree, rng)[0]


def _write(tree: Tree, rng: Random) -> tuple[str, int]:
    """Text and how tightly it binds."""
    if tree.op == "num":
        return _write_number(tree.value, rng)
    if tree.op == "var":
        return tree.name, _ATOM
    if tree.op == "const":
        return ("\\pi" if tree.name == "pi" else "e"), _ATOM
    if tree.op in ("add", "sub"):
        left, right = _at(tree.args[0], rng, _SUM), _at(tree.args[1], rng, _PRODUCT)
        return f"{left} {'+' if tree.op == 'add' else '-'} {right}", _SUM
    if tree.op == "neg":
        return f"-{_at(tree.args[0], rng, _PRODUCT)}", _SUM
    if tree.op == "mul":
        return _write_product(tree, rng), _PRODUCT
    if tree.op == "div":
        return _write_quotient(tree, rng)
    if tree.op == "pow":
        exponent = _write(tree.args[1], rng)[0]
        return f"{_at(tree.args[0], rng, _ATOM)}^{{{exponent}}}", _POWER
    return _write_function(tree, rng)


def _write_number(value: Fraction, rng: Random) -> tuple[str, int]:
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size.denominator == 1:
        digits = str(size)
        if len(digits) > 4 and rng.random() < 0.3:
            digits = f"{int(size):,}".replace(",", rng.choice(["{,}", "\\,", ",\\!"]))
        return sign + digits, (_SUM if sign else _ATOM)
    if 10_000 % size.denominator == 0 and rng.random() < 0.5:
        text = f"{int(size * 10_000):05d}"
        return f"{sign}{text[:-4]}.{text[-4:].rstrip('0')}", (_SUM if sign else _ATOM)
    command = rng.choice(["\\frac", "\\dfrac", "\\tfrac"])
    return f"{sign}{command}{{{size.numerator}}}{{{size.denominator}}}", _SUM if sign else _CALL


def _write_product(tree: Tree, rng: Random) -> str:
    left, right = _at(tree.args[0], rng, _PRODUCT), _at(tree.args[1], rng, _CALL)
    sign = rng.choice([" \\cdot ", " \\times ", "*", " "])
    # Beside a number or a function, juxtaposition means something else or nothing clear.
    if sign == " " and (right[0].isdigit() or right[0] in "\\.(" or "\\" in left or "/" in left):
        sign = " \\cdot "
    return f"{left}{sign}{right}"


def _write_quotient(tree: Tree, rng: Random) -> tuple[str, int]:
    if rng.random() < 0.25:
        return f"{_at(tree.args[0], rng, _ATOM)}/{_at(tree.args[1], rng, _ATOM)}", _PRODUCT
    command = rng.choice(["\\frac", "\\dfrac", "\\tfrac", "\\cfrac"])
    return f"{command}{{{_write(tree.args[0], rng)[0]}}}{{{_write(tree.args[1], rng)[0]}}}", _CALL


def _write_function(tree: Tree, rng: Random) -> tuple[str, int]:
    inner = _write(tree.args[0], rng)[0]
    if tree.op == "fact":
        return f"{_at(tree.args[0], rng, _ATOM)}!", _POWER
    if tree.op == "binom":
        return f"\\binom{{{inner}}}{{{_write(tree.args[1], rng)[0]}}}", _CALL
    if tree.op == "abs":
        return rng.choice([f"\\left|{inner}\\right|", f"|{inner}|"][: 1 if "|" in inner else 2]), (
            _ATOM
        )
    if tree.op in ("sqrt", "cbrt"):
        return f"\\sqrt{'[3]' if tree.op == 'cbrt' else ''}{{{inner}}}", _ATOM
    if tree.op == "exp":
        return f"e^{{{inner}}}", _POWER
    return f"\\{tree.op}{_bracketed(inner, rng)}", _CALL


def _at(tree: Tree, rng: Random, least: int) -> str:
    text, binding = _write(tree, rng)
    return text if binding >= least else _bracketed(text, rng)


def _bracketed(text: str, rng: Random) -> str:
    return rng.choice([f"({text})", f"\\left({text}\\right)"])


# -- the same value written otherwise, and another value ------------------------------------------


def rewritten(tree: Tree, rng: Random, times: int = 2) -> Tree:
    """An expression of the same value wherever both have one."""
    for _ in range(times):
        tree = _change_one(tree, rng, _same_value)
    return tree


def altered(tree: Tree, rng: Random) -> Tree:
    """The expression with one part changed; its value is nearly always another."""
    return _change_one(tree, rng, _other_value)


def _change_one(tree: Tree, rng: Random, change: Callable[[Tree, Random], Tree]) -> Tree:
    if tree.args and rng.random() < 0.6:
        k = rng.randrange(len(tree.args))
        # The arguments of a count and an exponent stay numbers.
        if tree.op not in ("fact", "binom") and not (tree.op == "pow" and k == 1):
            args = list(tree.args)
            args[k] = _change_one(args[k], rng, change)
            return Tree(tree.op, tuple(args), tree.value, tree.name)
    return change(tree, rng)


def _same_value(tree: Tree, rng: Random) -> Tree:
    k = num(rng.randint(2, 9))
    plain = [
        node("sub", node("add", tree, k), k),
        node("div", node("mul", tree, k), k),
        node("neg", node("neg", tree)),
        node("add", node("div", tree, num(2)), node("div", tree, num(2))),
    ]
    return rng.choice(plain + _identities(tree))


def _identities(tree: Tree) -> list[Tree]:
    args = tree.args
    if tree.op in ("add", "mul"):
        return [node(tree.op, args[1], args[0])] * 3
    if tree.op == "sub":
        return [node("neg", node("sub", args[1], args[0]))] * 2
    if tree.op == "div":
        return [node("mul", args[0], node("pow", args[1], num(-1)))]
    if tree.op == "pow" and args[1].value == 2:
        return [node("mul", args[0], args[0])] * 2
    if tree.op == "abs":
        return [node("sqrt", node("pow", args[0], num(2)))] * 2
    if tree.op == "tan":
        return [node("div", node("sin", *args), node("cos", *args))] * 2
    if tree.op == "cos":
        half = node("pow", node("sin", node("div", args[0], num(2))), num(2))
        return [node("sub", num(1), node("mul", num(2), half))] * 2
    if tree.op == "sqrt":
        return [node("div", node("sqrt", node("mul", num(9), args[0])), num(3))] * 2
    if tree.op == "num" and tree.value.denominator == 1 and tree.value > 1:
        return [node("add", num(tree.value - 1), num(1))]
    return []


def _other_value(tree: Tree, rng: Random) -> Tree:
    if tree.op == "num":
        step = rng.choice([Fraction(1), Fraction(-1), Fraction(1, 10), Fraction(1, 10**9)])
        return num(abs(tree.value + step))
    if tree.op in ("sin", "cos"):
        return node("cos" if tree.op == "sin" else "sin", *tree.args)
    if tree.op in ("add", "sub"):
        return node("sub" if tree.op == "add" else "add", *tree.args)
    return rng.choice([node("neg", tree), node("add", tree, num(1)), node("mul", tree, num(2))])


def is_rational(tree: Tree) -> bool:
    """Whether ``fraction_of`` may be asked."""
    return tree.op in _RATIONAL and all(map(is_rational, tree.args))
