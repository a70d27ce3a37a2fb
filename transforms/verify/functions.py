"""Named functions and roots of the scalar grammar: base, power and how far an argument reaches.

An argument without brackets takes the juxtaposed factors up to a sign, an explicit product sign,
a bracket or another function.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Chain,
    Const,
    Div,
    Fn,
    Matrix,
    Mul,
    Node,
    Num,
    Pow,
    Seq,
    Sym,
    Unreadable,
    negate,
    number,
    scalar,
    symbols,
)
from butwait.transforms.verify.vocabulary import FUNCTIONS

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

_TRIG = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"})
_INVERSE = {"sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sinh": "asinh",
            "cosh": "acosh", "tanh": "atanh"}  # fmt: skip
_ONE = number(1)


def read_fraction(p: Scalars) -> Node:
    """A quotient; ``\\frac{dy}{dx}`` is a derivative, a name of its own."""
    above, below = p.argument(), p.argument()
    bottom = _differential(below, 1)
    if bottom is None:
        return Div(above, below)
    top = _differential(above, 0)
    if top is None or top[1] != bottom[1]:
        raise Unreadable("a derivative of an expression")
    # The variable of y' is x where nothing else is said.
    variable = "" if bottom[0] == "x" else f" by {bottom[0]}"
    return Sym(top[0] + "'" * top[1] + variable)


def _differential(node: Node, place: int) -> tuple[str, int] | None:
    """Name and order of ``dy``, ``d^2 y`` (the power at place 0) or ``dx^2`` (at place 1)."""
    if not isinstance(node, Mul) or len(node.items) != 2:
        return None
    parts, order = list(node.items), 1
    raised = parts[place]
    if isinstance(raised, Pow) and isinstance(raised.exp, Num) and 2 <= raised.exp.value <= 9:
        parts[place], order = raised.base, int(raised.exp.value)
    sign, name = parts
    return (name.name, order) if sign == Sym("d") and isinstance(name, Sym) else None


def read_root(p: Scalars, name: str) -> Node:
    """The root after ``\\sqrt``, with its degree in square brackets."""
    degree: Node | None = None
    if p.saw("open", "["):
        degree = scalar(p.atom())
    # "√12" and a sloppy "\\sqrt12" both mean the whole number.
    inner = scalar(p.whole_argument())
    return Fn("root", (inner, degree or number(2)))


def read_function(p: Scalars, name: str) -> Node:
    """A named function with its base, power and argument.

    Args:
        p: Stands after the name.
        name: One of ``FUNCTIONS``.
    """
    base: Node | None = None
    power: Node | None = None
    while p.saw("op", "_", "^"):
        if p.take().text == "_":
            base = _log_base(p)
        elif p.degree_sign():
            raise Unreadable("degrees of a function")
        else:
            power = p.exponent()
    argument = _function_argument(p, name)
    if name in ("gcd", "lcm", "max", "min"):
        items = argument.items if isinstance(argument, Seq) else (argument,)
        return _extreme(name, tuple(scalar(item) for item in items))
    if isinstance(argument, Matrix) and name == "det":
        return Fn("det", tuple(scalar(x) for row in argument.rows for x in row))
    return _apply(name, scalar(argument), base, power)


def _log_base(p: Scalars) -> Node:
    if p.saw("num") and p.next.text != "10":
        return p.argument()
    return scalar(p.whole_argument())


def _function_argument(p: Scalars, name: str) -> Node:
    p.deeper()
    if p.saw("open", "(", "[", "{"):
        braces = p.saw("open", "{")
        inner = p.postfixed(p.atom())
        if not braces or name not in _TRIG | {"ln", "log", "lg"}:
            p.depth -= 1
            return inner
    else:
        sign = p.accept("op", "-")
        inner = p.power()
        inner = negate(scalar(inner)) if sign else inner
    while p.starts_factor() and not (
        (p.saw("cmd") and p.next.text in FUNCTIONS) or p.saw("open", "(", "[")
    ):
        inner = Mul((scalar(inner), scalar(p.power())))
    while p.accept("op", "/"):
        inner = Div(scalar(inner), scalar(p.power()))
    p.depth -= 1
    return inner


def _apply(name: str, argument: Node, base: Node | None, power: Node | None) -> Node:
    if name == "lg":
        name, base = "log", base or number(10)
    if name == "cis":
        turned = Mul((Const("i"), Fn("sin", (argument,))))
        value: Node = Add((Fn("cos", (argument,)), turned))
    elif name == "exp":
        value = Pow(Const("e"), argument)
    elif name in ("ln", "log"):
        value = Fn("log", (argument,) if base is None else (argument, base))
        if name == "log" and base is None:
            value = Fn("log", (argument, Sym("log base")))
    elif power == number(-1) or power == Num(Fraction(-1)):
        if name not in _INVERSE:
            raise Unreadable("inverse function")
        return _apply(_INVERSE[name], argument, None, None)
    elif name in ("asinh", "acosh", "atanh"):
        value = _area_function(name, argument)
    else:
        value = Fn({"arcsin": "asin"}.get(name, name), (argument,))
    return value if power is None else Pow(value, power)


def read_bars(p: Scalars, left: str) -> Node:
    """What stands between bars: an absolute value, or the determinant of a matrix."""
    p.deeper()
    # Within sized bars a plain bar opens; within plain ones it closes.
    outer, p.bars = p.bars, int(left == "|")
    inner = p.sum()
    p.expect("op", "|", "right|")
    p.bars = outer
    p.depth -= 1
    if isinstance(inner, Matrix):
        return Fn("det", tuple(cell for row in inner.rows for cell in row))
    return Fn("abs", (scalar(inner),))


def with_degrees(p: Scalars, base: Node) -> Node:
    """A value in degrees, with minutes of arc after it."""
    value: Node = Mul((scalar(base), Const("deg")))
    while p.saw("num") and p.peek(1).text == "'":
        part = p.take().value
        p.take()
        size = 3_600 if p.accept("op", "'") else 60
        value = Add((value, Mul((Num(part / size, False), Const("deg")))))
    return value


def _area_function(name: str, x: Node) -> Node:
    """Inverse hyperbolic functions by their logarithms."""
    if name == "atanh":
        quotient = Div(Add((_ONE, x)), Add((_ONE, negate(x))))
        return Mul((number(Fraction(1, 2)), Fn("log", (quotient,))))
    inside = Add((Pow(x, number(2)), number(1 if name == "asinh" else -1)))
    return Fn("log", (Add((x, Fn("root", (inside, number(2))))),))


def _extreme(name: str, items: tuple[Node, ...]) -> Node:
    """``max(a, b)`` with a variable as ``(a + b + |a - b|) / 2``; others by their name."""
    if name in ("max", "min") and len(items) == 2 and any(map(symbols, items)):
        gap: Node = Fn("abs", (Add((items[0], negate(items[1]))),))
        gap = gap if name == "max" else negate(gap)
        return Div(Add((*items, gap)), number(2))
    return Fn(name, items)


def read_angle(p: Scalars, name: str) -> Node:
    """``\\angle ABC`` as one name: the letters of an angle are no product."""
    letters = ""
    while p.saw("sym") and p.next.text.isupper() and len(letters) < 3:
        letters += p.take().text
    if not letters:
        return p.atom()
    return Sym(f"angle {letters}")


def read_count(p: Scalars, name: str) -> Node:
    """A binomial or a count of permutations; several lower numbers make a multinomial."""
    total = p.argument()
    chosen = p.whole_argument() if p.saw("open") else p.argument()
    if not isinstance(chosen, Seq):
        return Fn(name, (total, scalar(chosen)))
    parts: Node = number(1)
    for item in chosen.items:
        parts = Mul((parts, Fn("fact", (scalar(item),))))
    return Div(Fn("fact", (total,)), parts)


def read_indexed_count(p: Scalars, name: str, start: int) -> Node:
    """``C_n^k`` as a binomial; the index starts at token ``start``."""
    end = p.at
    p.at = start
    total = scalar(p.atom())
    p.at = end
    p.expect("op", "^")
    return Fn("binom" if name == "C" else "perm", (total, scalar(p.atom())))


def read_call(p: Scalars, name: str) -> Node:
    """``f(x)``, ``C(n, k)`` as a binomial, ``M(1, 2)`` as a named point."""
    inner = p.atom()
    args = inner.items if isinstance(inner, Seq) else (inner,)
    if len(args) > 1 and not (_are_counts(args) if name in "CP" else _is_function(name)):
        # A point with its name, such as M(-4, 3).
        return Chain((Sym(name), inner), ("=",))
    if len(args) == 2 and name in ("C", "P"):
        return Fn("binom" if name == "C" else "perm", (scalar(args[0]), scalar(args[1])))
    if not _is_function(name):
        return Mul((Sym(name), scalar(inner)))
    if name == "Gamma" and len(args) == 1:
        return Fn("fact", (Add((scalar(inner), number(-1))),))
    return Fn("call", (Sym(name), *(scalar(item) for item in args)))


def _is_function(name: str) -> bool:
    return name.rstrip("'") in _FUNCTION_NAMES


def _are_counts(args: tuple[Node, ...]) -> bool:
    """Whether ``(n, k)`` may be the arguments of a count: whole numbers or names."""
    if len(args) != 2:
        return False
    known = [arg.value for arg in args if isinstance(arg, Num)]
    if len(known) == 2 and known[0] < known[1]:
        return False
    return all(value.denominator == 1 and value >= 0 for value in known) and all(
        isinstance(arg, SCALARS) for arg in args
    )


_FUNCTION_NAMES = frozenset({*"fghFGH", "Gamma", "phi", "varphi", "sigma", "tau"})
