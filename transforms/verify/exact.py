"""Scalar trees to exact normal forms: the field plus roots, logarithms, trigonometry, counting.

What has no exact rule here becomes an opaque generator, so equality stays sound; ``TooBig`` and
``Undefined`` are the only ways out.
"""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.complexes import conjugate, parts
from butwait.transforms.verify.counting import count
from butwait.transforms.verify.determinants import determinant
from butwait.transforms.verify.factorials import symbolic_count
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
    below_zero,
    factor,
    flips,
    generators,
    is_real_name,
    is_whole,
    positive,
    sign_key,
)
from butwait.transforms.verify.modular import remainder
from butwait.transforms.verify.normal import Field
from butwait.transforms.verify.radicals import denested
from butwait.transforms.verify.series import geometric, terms
from butwait.transforms.verify.tree import (
    BINDERS,
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
from butwait.transforms.verify.trig import INVERSE, any_trig, inverse_trig, trig

_UNKNOWN_BASE = Form(
    frozenset({(frozenset({(("v", "log base"), Fraction(1))}), Fraction(1))}), ONE_DEN
)
_HALF = Fraction(1, 2)
# Python writes no longer number as text; in bits.
_MOST_DECADES = 10_000


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
            return self._call(node)
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
            return self.root_power(base, value)
        return self._general_power(base, exponent)

    def root_power(self, base: Form, exponent: Fraction) -> Form:
        """A form to a power that is not whole."""
        if base.den != ONE_DEN:
            upper = Form(base.num, ONE_DEN)
            lower = Form(base.den, ONE_DEN)
            if exponent.denominator % 2 == 0 and below_zero(upper):
                # The root of -1/x is real where x is below zero: 1 / sqrt(-x).
                upper, lower = self.neg(upper), self.neg(lower)
            return self.div(self.root_power(upper, exponent), self.root_power(lower, exponent))
        term = as_term(base)
        if term is not None and IMAGINARY not in dict(term[0]):
            return self._root_of_term(*term, exponent)
        simple = denested(self, base) if exponent == _HALF else None
        if simple is not None:
            return simple
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
        if even and scale < 0 and any(flips(g, e) for g, e in mono):
            return self._root_of_negative(mono, scale, exponent)
        result = self.rational_power(scale, exponent)
        for generator, power in mono:
            if even and power.numerator % 2 == 0 and not positive(generator):
                inner = ("f", "abs", self.atom(generator))
                part = self.atom(inner, power * exponent)
            else:
                part = self._term_power(frozenset({(generator, power)}), Fraction(1), exponent)
            result = self.mul(result, part)
        return result

    def _root_of_negative(self, mono: Monomial, scale: Fraction, exponent: Fraction) -> Form:
        """An even root of ``-x``: real where x is below zero, so not i times the root of x."""
        kept = frozenset((g, e) for g, e in mono if flips(g, e))
        inner = self.atom(("b", Form(frozenset({(kept, Fraction(-1))}), ONE_DEN)), exponent)
        return self.mul(self._root_of_term(mono - kept, -scale, exponent), inner)

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
        if power.numerator % 2 == 0 and not positive(generator) and not is_whole(exponent):
            # The square of a variable to a power is not the variable to twice that power.
            return self.atom(("w", self.atom(generator, power), exponent))
        if exponent.den != ONE_DEN:
            return self.atom(("w", generator, exponent), power)
        result = self.rational(1)
        for mono, scale in exponent.num:
            part = power * scale
            if not mono:
                one = self._term_power(frozenset({(generator, Fraction(1))}), Fraction(1), part)
            elif generator == E:
                one = self._exponential(mono, part)
            elif (inverse := _undone_log(generator, mono)) is not None:
                one = self._term_power(frozenset({(inverse, Fraction(1))}), Fraction(1), part)
            else:
                one = self.atom(("w", generator, mono), part)
            result = self.mul(result, one)
        return result

    def _exponential(self, mono: Monomial, scale: Fraction) -> Form:
        if mono == frozenset({(IMAGINARY, Fraction(1)), (PI, Fraction(1))}):
            turn = self.mul(self.atom(PI), self.rational(scale))
            cosine, sine = trig(self, "cos", turn), trig(self, "sin", turn)
            return self.add(cosine, self.mul(self.atom(IMAGINARY), sine))
        turned = dict(mono)
        if turned.pop(IMAGINARY, None) == 1 and abs(scale) == 1 and len(turned) == 1:
            ((angle, times),) = turned.items()
            if times == 1 and angle[0] == "f" and angle[1] in ("asin", "atan"):
                whole = self.atom(angle)
                sine = self.mul(self.atom(IMAGINARY), trig(self, "sin", whole))
                sine = sine if scale > 0 else self.neg(sine)
                return self.add(trig(self, "cos", whole), sine)
        if len(mono) == 1:
            ((generator, power),) = mono
            if generator[0] == "log" and power == 1:
                inner = generator[1]
                assert isinstance(inner, tuple)
                return self._term_power(frozenset({(inner, Fraction(1))}), Fraction(1), scale)
        return self.atom(("w", E, mono), scale)

    # -- functions ---------------------------------------------------------------------------

    def _call(self, node: Fn) -> Form:
        if node.name in BINDERS:
            return self._series(node)
        if node.name == "mod":
            rest = remainder(*node.args)
            if rest is not None:
                return self.rational(rest)
        return self._function(node.name, [self.form(arg) for arg in node.args])

    def _series(self, node: Fn) -> Form:
        """A finite sum or product, term by term; other bound variables have no form."""
        closed = geometric(node)
        if closed is not None:
            return self.form(closed)
        parts = terms(node) if node.name in ("sum", "prod") else None
        if parts is None:
            raise TooBig
        result = self.rational(0 if node.name == "sum" else 1)
        for part in parts:
            self.left -= 1
            value = self.form(part)
            join = self.add if node.name == "sum" else self.mul
            result = join(result, value)
        return result

    def _function(self, name: str, args: list[Form]) -> Form:
        if name == "root":
            degree = as_rational(args[1])
            if not degree:
                raise TooBig
            return self.raise_to(args[0], self.rational(1 / degree))
        if name == "log":
            return self._log_to_base(args)
        if name in ("sin", "cos", "tan", "cot", "sec", "csc"):
            return any_trig(self, name, args[0])
        if name == "abs":
            return self._abs(args[0])
        if name in INVERSE:
            return inverse_trig(self, name, args[0])
        if name == "det":
            return determinant(self, args)
        return self._counted(name, args)

    def _counted(self, name: str, args: list[Form]) -> Form:
        """A function with a value at rationals, a part of a complex number, or an opaque one."""
        part = self._complex(name, args[0]) if name in ("re", "im", "overline") else None
        if part is not None:
            return part
        if name in ("sinh", "cosh", "tanh"):
            return self._hyperbolic(name, args[0])
        symbolic = symbolic_count(self, name, args)
        if symbolic is not None:
            return symbolic
        numbers = [as_rational(arg) for arg in args]
        known = [x for x in numbers if x is not None]
        if len(known) == len(numbers):
            value = count(name, known)
            if value is not None:
                return self.rational(value)
        return self.atom(("f", name, *args))

    def _hyperbolic(self, name: str, argument: Form) -> Form:
        up = self.raise_to(self.atom(E), argument)
        down = self.raise_to(self.atom(E), self.neg(argument))
        total, difference = self.add(up, down), self.sub(up, down)
        if name == "tanh":
            return self.div(difference, total)
        return self.mul(total if name == "cosh" else difference, self.rational(_HALF))

    def _log_to_base(self, args: list[Form]) -> Form:
        if len(args) == 2 and args[1] == _UNKNOWN_BASE and (n := _power_of_ten(args[0])):
            # The base of "log" is not known, but of a power of ten it can only be ten.
            return self.rational(n)
        top = self.log(args[0])
        return top if len(args) == 1 else self.div(top, self.log(args[1]))

    def _complex(self, name: str, argument: Form) -> Form | None:
        if name == "overline":
            return conjugate(self, argument)
        known = parts(self, argument)
        return None if known is None else known[0 if name == "re" else 1]

    def log(self, argument: Form) -> Form:
        """Natural logarithm; products of positive constants are split."""
        term = as_term(argument)
        if term is None:
            return self.atom(("f", "log", argument))
        mono, scale = term
        if not scale:
            raise Undefined
        if scale < 0 or any(not positive(g) and g[0] != "v" for g, _ in mono):
            return self.atom(("f", "log", argument))
        if len(mono) > 1 and any(g[0] == "v" for g, _ in mono):
            return self.atom(("f", "log", argument))
        result = self.rational(0)
        parts: list[tuple[Generator, Fraction]] = list(mono)
        parts += [(("p", p), Fraction(n)) for p, n in factor(scale)] if scale != 1 else []
        for generator, power in parts:
            if generator[0] == "v" and power.numerator % 2 == 0:
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
        if argument.den != ONE_DEN:
            upper, lower = Form(argument.num, ONE_DEN), Form(argument.den, ONE_DEN)
            return self.div(self._abs(upper), self._abs(lower))
        inside = generators(argument)
        if all(positive(g) or g == IMAGINARY or is_real_name(g) for g in inside):
            real = frozenset((m, c) for m, c in argument.num if IMAGINARY not in dict(m))
            turned = self.mul(Form(argument.num - real, ONE_DEN), self.neg(self.atom(IMAGINARY)))
            if len(real) <= 1 and not turned.num and all(map(positive, inside)):
                return Form(frozenset((m, abs(c)) for m, c in real), ONE_DEN)
            if turned.num:
                both = self.add(self.power(Form(real, ONE_DEN), 2), self.power(turned, 2))
                return self.root_power(both, _HALF)
        if sign_key(argument) < 0:
            argument = self.neg(argument)
        return self.atom(("f", "abs", argument))


def _undone_log(generator: Generator, mono: Monomial) -> Generator | None:
    """The ``x`` of ``2 ** (log x / log 2)``."""
    powers = dict(mono)
    if len(powers) != 2 or powers.pop(("log", generator), None) != -1:
        return None
    ((upper, power),) = powers.items()
    inner = upper[1] if upper[0] == "log" and power == 1 else None
    return inner if isinstance(inner, tuple) else None


def _power_of_ten(argument: Form) -> int | None:
    """The whole power of ten that a rational is, if it is one (0 for one)."""
    value = as_rational(argument)
    if value is None or value <= 0:
        return None
    if value.numerator.bit_length() + value.denominator.bit_length() > _MOST_DECADES:
        return None
    up, down = str(value.numerator), str(value.denominator)
    for text, sign in ((up, 1), (down, -1)):
        other = down if sign > 0 else up
        if other == "1" and text.strip("0") == "1":
            return sign * (len(text) - 1)
    return None
