"""Scalar trees to exact normal forms: the field plus roots, logarithms, trigonometry, counting.

What has no exact rule here becomes an opaque generator, so equality stays sound; ``TooBig`` and
``Undefined`` are the only ways out.
"""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.counting import count
from butwait.transforms.verify.forms import (
    IMAGINARY,
    ONE_DEN,
    PI,
    E,
    Form,
    Generator,
    Monomial,
    TooBig,
    Undefined,
    as_rational,
    as_term,
    factor,
    generators,
    sign_key,
)
from butwait.transforms.verify.normal import Field
from butwait.transforms.verify.tree import (
    Add,
    Const,
    Div,
    Fn,
    Mul,
    Node,
    Num,
    PlusMinus,
    Pow,
    Sym,
)

_POSITIVE_CONSTANTS = frozenset({PI, E})
_HALF = Fraction(1, 2)


class Exact(Field):
    """Evaluates trees; one instance per comparison, because the budget is shared."""

    def form(self, node: Node) -> Form:
        """The normal form of a scalar.

        Raises:
            TooBig: A limit was reached.
            Undefined: Division by zero, logarithm of zero and the like.
        """
        if isinstance(node, Num):
            return self.rational(node.value)
        if isinstance(node, Sym):
            return self.atom(("v", node.name))
        if isinstance(node, Const):
            return self._constant(node.name)
        if isinstance(node, Add):
            return self._sum(node.items)
        if isinstance(node, Mul):
            result = self.form(node.items[0])
            for item in node.items[1:]:
                result = self.mul(result, self.form(item))
            return result
        if isinstance(node, Div):
            return self.div(self.form(node.num), self.form(node.den))
        if isinstance(node, Pow):
            return self.raise_to(self.form(node.base), self.form(node.exp))
        if isinstance(node, Fn):
            return self._function(node.name, [self.form(arg) for arg in node.args])
        if isinstance(node, PlusMinus):
            return self.mul(self.atom(("v", "plus-minus")), self.form(node.item))
        raise TooBig

    def _sum(self, items: tuple[Node, ...]) -> Form:
        result = self.form(items[0])
        for item in items[1:]:
            result = self.add(result, self.form(item))
        return result

    def _constant(self, name: str) -> Form:
        if name == "deg":
            return self.mul(self.atom(PI), self.rational(Fraction(1, 180)))
        if name == "inf":
            raise TooBig
        return self.atom(("c", name))

    # -- powers ------------------------------------------------------------------------------

    def raise_to(self, base: Form, exponent: Form) -> Form:
        """``base ** exponent`` with real odd roots."""
        value = as_rational(exponent)
        if value is not None:
            if value.denominator == 1:
                if abs(value.numerator).bit_length() > 4_000:
                    raise TooBig
                return self.power(base, int(value))
            return self._root_power(base, value)
        return self._general_power(base, exponent)

    def _root_power(self, base: Form, exponent: Fraction) -> Form:
        if base.den != ONE_DEN:
            upper = Form(base.num, ONE_DEN)
            lower = Form(base.den, ONE_DEN)
            return self.div(self._root_power(upper, exponent), self._root_power(lower, exponent))
        term = as_term(base)
        if term is not None and IMAGINARY not in dict(term[0]):
            return self._root_of_term(*term, exponent)
        content, rest = self._content(base)
        scale = self.rational_power(content, exponent)
        return self.mul(scale, self.mul(self.atom(("b", rest), exponent), self.rational(1)))

    def _content(self, base: Form) -> tuple[Fraction, Form]:
        scales = [abs(c) for _, c in base.num]
        up = math.gcd(*(c.numerator for c in scales))
        down = math.lcm(*(c.denominator for c in scales))
        content = Fraction(up, down)
        return content, Form(frozenset((m, c / content) for m, c in base.num), base.den)

    def _root_of_term(self, mono: Monomial, scale: Fraction, exponent: Fraction) -> Form:
        even = exponent.denominator % 2 == 0
        result = self.rational_power(scale, exponent)
        for generator, power in mono:
            if even and power.denominator == 1 and power % 2 == 0 and not _positive(generator):
                inner = ("f", "abs", self.atom(generator))
                part = self.atom(inner, power * exponent)
            else:
                part = self._term_power(frozenset({(generator, power)}), Fraction(1), exponent)
            result = self.mul(result, part)
        return result

    def _general_power(self, base: Form, exponent: Form) -> Form:
        term = as_term(base)
        if term is None:
            return self.atom(("w", base, exponent))
        mono, scale = term
        if scale <= 0:
            return self.atom(("w", base, exponent))
        result = self.rational(1)
        for prime, times in factor(scale) if scale != 1 else ():
            result = self.mul(result, self._symbolic(("p", prime), Fraction(times), exponent))
        for generator, power in mono:
            result = self.mul(result, self._symbolic(generator, power, exponent))
        return result

    def _symbolic(self, generator: Generator, power: Fraction, exponent: Form) -> Form:
        """``generator ** (power * exponent)``, the exponent split into its terms."""
        if exponent.den != ONE_DEN:
            return self.atom(("w", generator, exponent), power)
        result = self.rational(1)
        for mono, scale in exponent.num:
            part = power * scale
            if not mono:
                one = self._term_power(frozenset({(generator, Fraction(1))}), Fraction(1), part)
            elif generator == E:
                one = self._exponential(mono, part)
            else:
                one = self.atom(("w", generator, mono), part)
            result = self.mul(result, one)
        return result

    def _exponential(self, mono: Monomial, scale: Fraction) -> Form:
        if mono == frozenset({(IMAGINARY, Fraction(1)), (PI, Fraction(1))}):
            turn = self.mul(self.atom(PI), self.rational(scale))
            cosine, sine = self.trig("cos", turn), self.trig("sin", turn)
            return self.add(cosine, self.mul(self.atom(IMAGINARY), sine))
        if len(mono) == 1:
            ((generator, power),) = mono
            if generator[0] == "log" and power == 1:
                inner = generator[1]
                assert isinstance(inner, tuple)
                return self._term_power(frozenset({(inner, Fraction(1))}), Fraction(1), scale)
        return self.atom(("w", E, mono), scale)

    # -- functions ---------------------------------------------------------------------------

    def _function(self, name: str, args: list[Form]) -> Form:
        if name == "root":
            degree = as_rational(args[1])
            if not degree:
                raise TooBig
            return self.raise_to(args[0], self.rational(1 / degree))
        if name == "log":
            top = self.log(args[0])
            return top if len(args) == 1 else self.div(top, self.log(args[1]))
        if name in ("sin", "cos", "tan", "cot", "sec", "csc"):
            return self._trig_any(name, args[0])
        if name == "abs":
            return self._abs(args[0])
        if name in _INVERSE_TABLES:
            return self._inverse_trig(name, args[0])
        if name == "det":
            return self._determinant(args)
        numbers = [as_rational(arg) for arg in args]
        known = [x for x in numbers if x is not None]
        if len(known) == len(numbers):
            value = count(name, known)
            if value is not None:
                return self.rational(value)
        return self.atom(("f", name, *args))

    def log(self, argument: Form) -> Form:
        """Natural logarithm; products of positive constants are split."""
        term = as_term(argument)
        if term is None:
            return self.atom(("f", "log", argument))
        mono, scale = term
        if not scale:
            raise Undefined
        if scale < 0 or any(not _positive(g) and g[0] != "v" for g, _ in mono):
            return self.atom(("f", "log", argument))
        if len(mono) > 1 and any(g[0] == "v" for g, _ in mono):
            return self.atom(("f", "log", argument))
        result = self.rational(0)
        parts: list[tuple[Generator, Fraction]] = list(mono)
        parts += [(("p", p), Fraction(n)) for p, n in factor(scale)] if scale != 1 else []
        for generator, power in parts:
            if generator[0] == "v" and power.denominator == 1 and power % 2 == 0:
                return self.atom(("f", "log", argument))
            result = self.add(result, self.mul(self._log_of(generator), self.rational(power)))
        return result

    def _log_of(self, generator: Generator) -> Form:
        if generator == E:
            return self.rational(1)
        if generator[0] == "w":
            base, mono = generator[1], generator[2]
            if isinstance(base, tuple) and isinstance(mono, frozenset):
                exponent = Form(frozenset({(mono, Fraction(1))}), ONE_DEN)
                return self.mul(self._log_of(base), exponent)
        return self.atom(("log", generator))

    def _abs(self, argument: Form) -> Form:
        value = as_rational(argument)
        if value is not None:
            return self.rational(abs(value))
        if (
            all(_positive(g) or g == IMAGINARY for g in generators(argument))
            and argument.den == ONE_DEN
        ):
            real = frozenset((m, c) for m, c in argument.num if IMAGINARY not in dict(m))
            turned = self.mul(Form(argument.num - real, ONE_DEN), self.neg(self.atom(IMAGINARY)))
            if len(real) <= 1 and not turned.num:
                return Form(frozenset((m, abs(c)) for m, c in real), ONE_DEN)
            if turned.num:
                both = self.add(self.power(Form(real, ONE_DEN), 2), self.power(turned, 2))
                return self._root_power(both, _HALF)
        if sign_key(argument) < 0:
            argument = self.neg(argument)
        return self.atom(("f", "abs", argument))

    # -- trigonometry ------------------------------------------------------------------------

    def _trig_any(self, name: str, argument: Form) -> Form:
        if name in ("sin", "cos"):
            return self.trig(name, argument)
        sine, cosine = self.trig("sin", argument), self.trig("cos", argument)
        if name == "tan":
            return self.div(sine, cosine)
        if name == "cot":
            return self.div(cosine, sine)
        return self.inverse(cosine if name == "sec" else sine)

    def trig(self, name: str, argument: Form) -> Form:
        """Sine or cosine, exact at multiples of 15 degrees, reduced to the first octants."""
        turn = self._turns(argument)
        if turn is not None:
            return self._trig_at(turn if name == "sin" else _HALF - turn)
        inner = _inner_inverse(argument)
        if inner is not None:
            return self._trig_of_inverse(name, *inner)
        negative = sign_key(argument) < 0
        if negative:
            argument = self.neg(argument)
        form = self.atom(("f", name, argument))
        return self.neg(form) if negative and name == "sin" else form

    def _turns(self, argument: Form) -> Fraction | None:
        """The rational ``q`` of an argument ``q * pi``."""
        if not argument.num:
            return Fraction(0)
        term = as_term(argument)
        if term is not None and term[0] == frozenset({(PI, Fraction(1))}):
            return term[1]
        return None

    def _trig_at(self, turn: Fraction) -> Form:
        """Sine of ``turn * pi``."""
        turn %= 2
        sign = 1
        if turn >= 1:
            turn, sign = turn - 1, -1
        if turn > _HALF:
            turn = 1 - turn
        value = self._sine_table(turn)
        if value is None:
            angle = self.mul(self.atom(PI), self.rational(turn))
            value = self.atom(("f", "sin", angle))
        return value if sign > 0 else self.neg(value)

    def _sine_table(self, turn: Fraction) -> Form | None:
        if turn == 0:
            return self.rational(0)
        if turn == _HALF:
            return self.rational(1)
        if turn == Fraction(1, 6):
            return self.rational(_HALF)
        row = _SINES.get(turn)
        if row is None:
            return None
        result = self.rational(0)
        for scale, square in row:
            part = self.mul(self.rational(scale), self.rational_power(Fraction(square), _HALF))
            result = self.add(result, part)
        return result

    def _trig_of_inverse(self, name: str, outer: str, value: Form) -> Form:
        one = self.rational(1)
        other = self._root_power(self.sub(one, self.power(value, 2)), _HALF)
        if outer == "atan":
            root = self._root_power(self.add(one, self.power(value, 2)), _HALF)
            return self.div(value if name == "sin" else one, root)
        same = (outer == "asin") == (name == "sin")
        return value if same else other

    def _inverse_trig(self, name: str, argument: Form) -> Form:
        negative = sign_key(argument) < 0
        inner = self.neg(argument) if negative else argument
        square = as_rational(self.power(inner, 2)) if len(inner.num) <= 1 else None
        turn = _INVERSE_TABLES[name].get(square) if square is not None else None
        if turn is None:
            if negative and name != "acos":
                return self.neg(self.atom(("f", name, inner)))
            return self.atom(("f", name, argument))
        if negative:
            turn = -turn if name != "acos" else 1 - turn
        return self.mul(self.atom(PI), self.rational(turn))

    # -- whole numbers -----------------------------------------------------------------------

    def _determinant(self, cells: list[Form]) -> Form:
        n = math.isqrt(len(cells))
        if n > 4:
            raise TooBig
        return self._minor([cells[k * n : k * n + n] for k in range(n)])

    def _minor(self, rows: list[list[Form]]) -> Form:
        if len(rows) == 1:
            return rows[0][0]
        total = self.rational(0)
        for k, cell in enumerate(rows[0]):
            rest = [row[:k] + row[k + 1 :] for row in rows[1:]]
            part = self.mul(cell, self._minor(rest))
            total = self.add(total, self.neg(part) if k % 2 else part)
        return total


_SINES = {
    Fraction(1, 12): ((Fraction(1, 4), 6), (Fraction(-1, 4), 2)),
    Fraction(1, 4): ((_HALF, 2),),
    Fraction(1, 3): ((_HALF, 3),),
    Fraction(5, 12): ((Fraction(1, 4), 6), (Fraction(1, 4), 2)),
    Fraction(1, 10): ((Fraction(1, 4), 5), (Fraction(-1, 4), 1)),
    Fraction(3, 10): ((Fraction(1, 4), 5), (Fraction(1, 4), 1)),
}
_QUARTERS = {Fraction(0): Fraction(0), Fraction(1, 4): Fraction(1, 6), _HALF: Fraction(1, 4),
             Fraction(3, 4): Fraction(1, 3), Fraction(1): _HALF}  # fmt: skip
_INVERSE_TABLES: dict[str, dict[Fraction, Fraction]] = {
    "asin": _QUARTERS,
    "acos": {k: _HALF - v for k, v in _QUARTERS.items()},
    "atan": {Fraction(0): Fraction(0), Fraction(1, 3): Fraction(1, 6), Fraction(1): Fraction(1, 4),
             Fraction(3): Fraction(1, 3)},
}  # fmt: skip


def _positive(generator: Generator) -> bool:
    if generator[0] == "w":
        base, power = generator[1], generator[2]
        if isinstance(power, frozenset) and any(g == IMAGINARY for g, _ in power):
            return False
        return isinstance(base, tuple) and (base in _POSITIVE_CONSTANTS or base[0] == "p")
    return generator[0] == "p" or generator in _POSITIVE_CONSTANTS


def _inner_inverse(argument: Form) -> tuple[str, Form] | None:
    term = as_term(argument)
    if term is None or term[1] != 1 or len(term[0]) != 1:
        return None
    ((generator, power),) = term[0]
    if power == 1 and generator[0] == "f" and generator[1] in _INVERSE_TABLES:
        value = generator[2]
        return (str(generator[1]), value) if isinstance(value, Form) else None
    return None
