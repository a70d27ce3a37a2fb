"""Trigonometry of exact forms: known angles, reduction to the first octants, inverse functions.

What has no exact rule stays an opaque generator.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from butwait.transforms.verify.angles import arctangent, expanded
from butwait.transforms.verify.forms import PI, Form, as_rational, as_term, sign_key

if TYPE_CHECKING:
    from butwait.transforms.verify.exact import Exact

_HALF = Fraction(1, 2)


def any_trig(x: Exact, name: str, argument: Form) -> Form:
    """One of the six functions of an angle."""
    if name in ("sin", "cos"):
        return trig(x, name, argument)
    sine, cosine = trig(x, "sin", argument), trig(x, "cos", argument)
    if name == "tan":
        return x.div(sine, cosine)
    if name == "cot":
        return x.div(cosine, sine)
    return x.inverse(cosine if name == "sec" else sine)


def trig(x: Exact, name: str, argument: Form) -> Form:
    """Sine or cosine, exact at multiples of 15 degrees, reduced to the first octants."""
    turn = _turns(argument)
    if turn is not None:
        return _trig_at(x, turn if name == "sin" else _HALF - turn)
    inner = _inner_inverse(argument)
    if inner is not None:
        return _trig_of_inverse(x, name, *inner)
    negative = sign_key(argument) < 0
    if negative:
        argument = x.neg(argument)
    form = expanded(x, name, argument)
    if form is None:
        form = x.atom(("f", name, argument))
    return x.neg(form) if negative and name == "sin" else form


def _turns(argument: Form) -> Fraction | None:
    """The rational ``q`` of an argument ``q * pi``."""
    if not argument.num:
        return Fraction(0)
    term = as_term(argument)
    if term is not None and term[0] == frozenset({(PI, Fraction(1))}):
        return term[1]
    return None


def _trig_at(x: Exact, turn: Fraction) -> Form:
    """Sine of ``turn * pi``."""
    turn %= 2
    sign = 1
    if turn >= 1:
        turn, sign = turn - 1, -1
    if turn > _HALF:
        turn = 1 - turn
    value = _sine_table(x, turn)
    if value is None:
        angle = x.mul(x.atom(PI), x.rational(turn))
        value = x.atom(("f", "sin", angle))
    return value if sign > 0 else x.neg(value)


def _sine_table(x: Exact, turn: Fraction) -> Form | None:
    if turn == 0:
        return x.rational(0)
    if turn == _HALF:
        return x.rational(1)
    if turn == Fraction(1, 6):
        return x.rational(_HALF)
    row = _SINES.get(turn)
    if row is None:
        return None
    result = x.rational(0)
    for scale, square in row:
        part = x.mul(x.rational(scale), x.rational_power(Fraction(square), _HALF))
        result = x.add(result, part)
    return result


def _trig_of_inverse(x: Exact, name: str, outer: str, value: Form) -> Form:
    one = x.rational(1)
    other = x.root_power(x.sub(one, x.power(value, 2)), _HALF)
    if outer == "atan":
        root = x.root_power(x.add(one, x.power(value, 2)), _HALF)
        return x.div(value if name == "sin" else one, root)
    same = (outer == "asin") == (name == "sin")
    return value if same else other


def inverse_trig(x: Exact, name: str, argument: Form) -> Form:
    """An inverse function, exact where the angle is a known part of a turn."""
    if name in ("acos", "acot"):
        # Both are a quarter turn without the other function.
        other = inverse_trig(x, "asin" if name == "acos" else "atan", argument)
        return x.sub(x.mul(x.atom(PI), x.rational(_HALF)), other)
    value = as_rational(argument)
    if name == "atan" and value is not None:
        known = arctangent(x, value)
        if known is not None:
            return known
    if name == "asin" and value is not None and abs(value) < 1:
        side = as_rational(x.rational_power(1 - value * value, _HALF))
        if side:
            return inverse_trig(x, "atan", x.rational(value / side))
    if name == "atan" and value is not None and abs(value) > 1:
        quarter = x.mul(x.atom(PI), x.rational(_HALF if value > 0 else -_HALF))
        return x.sub(quarter, inverse_trig(x, "atan", x.rational(1 / value)))
    negative = sign_key(argument) < 0
    inner = x.neg(argument) if negative else argument
    square = as_rational(x.power(inner, 2)) if len(inner.num) <= 1 else None
    turn = _INVERSE_TABLES[name].get(square) if square is not None else None
    if turn is None:
        form = x.atom(("f", name, inner))
        return x.neg(form) if negative else form
    if negative:
        turn = -turn
    return x.mul(x.atom(PI), x.rational(turn))


def _inner_inverse(argument: Form) -> tuple[str, Form] | None:
    term = as_term(argument)
    if term is None or term[1] != 1 or len(term[0]) != 1:
        return None
    ((generator, power),) = term[0]
    if power == 1 and generator[0] == "f" and generator[1] in _INVERSE_TABLES:
        value = generator[2]
        return (str(generator[1]), value) if isinstance(value, Form) else None
    return None


_SINES = {
    Fraction(1, 12): ((Fraction(1, 4), 6), (Fraction(-1, 4), 2)),
    Fraction(1, 4): ((_HALF, 2),),
    Fraction(1, 3): ((_HALF, 3),),
    Fraction(5, 12): ((Fraction(1, 4), 6), (Fraction(1, 4), 2)),
    Fraction(1, 10): ((Fraction(1, 4), 5), (Fraction(-1, 4), 1)),
    Fraction(3, 10): ((Fraction(1, 4), 5), (Fraction(1, 4), 1)),
}
INVERSE = frozenset({"asin", "acos", "atan", "acot"})
_QUARTERS = {Fraction(0): Fraction(0), Fraction(1, 4): Fraction(1, 6), _HALF: Fraction(1, 4),
             Fraction(3, 4): Fraction(1, 3), Fraction(1): _HALF}  # fmt: skip
_INVERSE_TABLES: dict[str, dict[Fraction, Fraction]] = {
    "asin": _QUARTERS,
    "atan": {Fraction(0): Fraction(0), Fraction(1, 3): Fraction(1, 6), Fraction(1): Fraction(1, 4),
             Fraction(3): Fraction(1, 3)},
}  # fmt: skip
