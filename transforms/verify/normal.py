"""Exact arithmetic on normal forms.

Two equal forms are equal values wherever both are defined; that is the only claim made, except by
``forms.rigid``. Every size is bounded, so this never needs a deadline.
"""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.budget import spend
from butwait.transforms.verify.forms import (
    IMAGINARY,
    ONE_DEN,
    UNIT,
    Form,
    Generator,
    Monomial,
    Poly,
    TooBig,
    Undefined,
    as_term,
    factor,
    may_be_complex,
    mono_order,
    over_one,
    sign_key,
)
from butwait.transforms.verify.limits import DEFAULT, Limits

_ZERO = Fraction(0)
_ONE = Fraction(1)


class Field:
    """Arithmetic on forms with one budget of term products.

    Args:
        limits: ``terms`` and ``digits`` are used.
    """

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.left = limits.terms
        self.bits = int(limits.digits * 3.33)

    # -- building ----------------------------------------------------------------------------

    def rational(self, value: Fraction | int) -> Form:
        """A rational constant."""
        value = Fraction(value)
        return Form(frozenset({(UNIT, value)}) if value else frozenset(), ONE_DEN)

    def atom(self, generator: Generator, exponent: Fraction | int = 1) -> Form:
        """One generator to a rational power, not simplified."""
        return Form(frozenset({(frozenset({(generator, Fraction(exponent))}), _ONE)}), ONE_DEN)

    def _form(self, num: Poly, den: Poly) -> Form:
        if not den:
            raise Undefined
        if len(den) == 1:
            ((mono, scale),) = den.items()
            if mono or scale != 1:
                inverse, turned, more = self._reduce({g: -e for g, e in mono})
                product = self._poly_mul(num, {inverse: turned / scale})
                if isinstance(product, Form) or more is not None:
                    whole = product if isinstance(product, Form) else over_one(product)
                    return whole if more is None else self.mul(whole, more)
                num = product
            return over_one(num)
        lead = den[max(den, key=mono_order)]
        if lead != 1:
            num = {m: c / lead for m, c in num.items()}
            den = {m: c / lead for m, c in den.items()}
        return Form(frozenset(num.items()), frozenset(den.items()))

    # -- ring operations ---------------------------------------------------------------------

    def add(self, a: Form, b: Form) -> Form:
        """The sum."""
        if a.den == b.den:
            num = dict(a.num)
            for mono, scale in b.num:
                total = num.get(mono, _ZERO) + scale
                if total:
                    num[mono] = total
                else:
                    num.pop(mono, None)
            if len(num) > 400:
                raise TooBig
            return Form(frozenset(num.items()), a.den) if num else self.rational(0)
        left = self.mul(Form(a.num, ONE_DEN), Form(b.den, ONE_DEN))
        right = self.mul(Form(b.num, ONE_DEN), Form(a.den, ONE_DEN))
        over = self.mul(Form(a.den, ONE_DEN), Form(b.den, ONE_DEN))
        return self.div(self.add(left, right), over)

    def neg(self, a: Form) -> Form:
        """Minus the form."""
        return Form(frozenset((m, -c) for m, c in a.num), a.den)

    def sub(self, a: Form, b: Form) -> Form:
        """The difference."""
        return self.add(a, self.neg(b))

    def mul(self, a: Form, b: Form) -> Form:
        """The product."""
        num = self._poly_mul(dict(a.num), dict(b.num))
        den = self._poly_mul(dict(a.den), dict(b.den))
        if isinstance(num, Form) or isinstance(den, Form):
            up = num if isinstance(num, Form) else over_one(num)
            down = den if isinstance(den, Form) else Form(frozenset(den.items()), ONE_DEN)
            return self.div(up, down)
        return self._form(num, den)

    def inverse(self, a: Form) -> Form:
        """One over the form.

        Raises:
            Undefined: The form is zero.
        """
        return self._form(dict(a.den), dict(a.num))

    def div(self, a: Form, b: Form) -> Form:
        """The quotient."""
        if not b.num:
            raise Undefined
        if a == b:
            return self.rational(1)
        if a.den == ONE_DEN and b.den == ONE_DEN:
            return self._form(dict(a.num), dict(b.num))
        return self.mul(a, self.inverse(b))

    def equal(self, a: Form, b: Form) -> bool:
        """Whether the two are shown to be the same, by cross multiplication."""
        if a == b:
            return True
        if a.den == b.den:
            return False
        left = self.mul(Form(a.num, ONE_DEN), Form(b.den, ONE_DEN))
        right = self.mul(Form(b.num, ONE_DEN), Form(a.den, ONE_DEN))
        return left == right

    def _poly_mul(self, a: Poly, b: Poly) -> Poly | Form:
        self.left -= len(a) * len(b)
        if self.left < 0 or not spend(len(a) * len(b)):
            raise TooBig
        out: Poly = {}
        extra: Form | None = None
        for m1, c1 in a.items():
            for m2, c2 in b.items():
                mono, scale, more = self._mono_mul(m1, m2)
                scale *= c1 * c2
                if scale.numerator.bit_length() > self.bits:
                    raise TooBig
                if more is not None:
                    term = self.mul(Form(frozenset({(mono, scale)}), ONE_DEN), more)
                    extra = term if extra is None else self.add(extra, term)
                    continue
                total = out.get(mono, _ZERO) + scale
                if total:
                    out[mono] = total
                else:
                    out.pop(mono, None)
        if extra is not None:
            return self.add(extra, Form(frozenset(out.items()), ONE_DEN))
        return out

    def _mono_mul(self, a: Monomial, b: Monomial) -> tuple[Monomial, Fraction, Form | None]:
        if not a:
            return b, _ONE, None
        if not b:
            return a, _ONE, None
        powers = dict(a)
        touched = False
        for generator, exponent in b:
            if generator in powers:
                powers[generator] += exponent
                touched = True
            else:
                powers[generator] = exponent
        if not touched:
            return frozenset(powers.items()), _ONE, None
        return self._reduce(powers)

    def _reduce(self, powers: dict[Generator, Fraction]) -> tuple[Monomial, Fraction, Form | None]:
        scale = _ONE
        more: Form | None = None
        for generator in list(powers):
            exponent = powers[generator]
            kind = generator[0]
            extra: Form | None = None
            if not exponent:
                del powers[generator]
            elif kind == "p":
                scale *= self._fold_prime(powers, generator, exponent)
            elif kind == "c" and generator == IMAGINARY:
                scale *= self._fold_i(powers, exponent)
            elif kind == "b" and (exponent >= 1 or exponent < 0):
                extra = self._unfold(powers, generator, exponent)
            elif kind == "f" and generator[1] == "sin" and exponent >= 2:
                extra = self._pythagoras(powers, generator, exponent)
            elif kind == "f" and generator[1] == "abs" and abs(exponent) >= 2:
                extra = self._even_abs(powers, generator, exponent)
            if extra is not None:
                more = extra if more is None else self.mul(more, extra)
        return frozenset(powers.items()), scale, more

    def _fold_prime(
        self, powers: dict[Generator, Fraction], generator: Generator, exponent: Fraction
    ) -> Fraction:
        whole = math.floor(exponent)
        prime = generator[1]
        assert isinstance(prime, int)
        if not whole or abs(whole) * prime.bit_length() > self.bits:
            return _ONE
        rest = exponent - whole
        if rest:
            powers[generator] = rest
        else:
            del powers[generator]
        return Fraction(prime) ** whole

    def _fold_i(self, powers: dict[Generator, Fraction], exponent: Fraction) -> Fraction:
        if exponent.denominator != 1:
            return _ONE
        turn = int(exponent) % 4
        del powers[IMAGINARY]
        if turn % 2:
            powers[IMAGINARY] = _ONE
        return _ONE if turn < 2 else -_ONE

    def _unfold(
        self, powers: dict[Generator, Fraction], generator: Generator, exponent: Fraction
    ) -> Form | None:
        whole = math.floor(exponent)
        base = generator[1]
        assert isinstance(base, Form)
        if not self.expandable(base, abs(whole)):
            return None
        rest = exponent - whole
        if rest:
            powers[generator] = rest
        else:
            del powers[generator]
        return self.power(base, whole)

    def _pythagoras(
        self, powers: dict[Generator, Fraction], generator: Generator, exponent: Fraction
    ) -> Form | None:
        if exponent.denominator != 1 or exponent > 20:
            return None
        half, odd = divmod(int(exponent), 2)
        if odd:
            powers[generator] = _ONE
        else:
            del powers[generator]
        cosine = self.atom(("f", "cos", generator[2]), 2)
        return self.power(self.sub(self.rational(1), cosine), half)

    def _even_abs(
        self, powers: dict[Generator, Fraction], generator: Generator, exponent: Fraction
    ) -> Form | None:
        argument = generator[2]
        if exponent.denominator != 1 or not isinstance(argument, Form) or may_be_complex(argument):
            return None
        whole = int(exponent)
        even = whole - (whole % 2)
        if whole % 2:
            powers[generator] = _ONE
        else:
            del powers[generator]
        return self.power(argument, even) if self.expandable(argument, abs(even)) else None

    # -- powers ------------------------------------------------------------------------------

    def expandable(self, base: Form, exponent: int) -> bool:
        """Whether an integer power of the form stays small when multiplied out."""
        n = max(len(base.num), len(base.den))
        if n <= 1:
            return True
        return exponent <= 40 and math.comb(exponent + n - 1, n - 1) <= 200

    def power(self, base: Form, exponent: int) -> Form:
        """An integer power."""
        if exponent < 0:
            return self.power(self.inverse(base), -exponent)
        single = as_term(base)
        if single is not None:
            return self._term_power(*single, Fraction(exponent))
        if not self.expandable(base, exponent):
            if sign_key(base) < 0:
                turned = self.atom(("b", self.neg(base)), exponent)
                return self.neg(turned) if exponent % 2 else turned
            return self.atom(("b", base), exponent)
        result = self.rational(1)
        for _ in range(exponent):
            result = self.mul(result, base)
        return result

    def _term_power(self, mono: Monomial, scale: Fraction, exponent: Fraction) -> Form:
        if not scale:
            if exponent <= 0:
                raise Undefined
            return self.rational(0)
        powers = {g: e * exponent for g, e in mono}
        kept, factor, more = self._reduce(powers)
        form = Form(frozenset({(kept, factor)}), ONE_DEN)
        if more is not None:
            form = self.mul(form, more)
        return self.mul(form, self.rational_power(scale, exponent))

    def rational_power(self, base: Fraction, exponent: Fraction) -> Form:
        """A rational to a rational power; real odd roots of negatives are real."""
        if exponent.denominator == 1:
            size = abs(exponent.numerator) * max(
                base.numerator.bit_length() - 1, base.denominator.bit_length() - 1
            )
            if size <= self.bits and (base or exponent > 0):
                return self.rational(base ** int(exponent))
        if not base:
            if exponent <= 0:
                raise Undefined
            return self.rational(0)
        sign = self.rational(1)
        if base < 0:
            sign = self._sign_power(exponent)
        return self.mul(sign, self._positive_power(abs(base), exponent))

    def _sign_power(self, exponent: Fraction) -> Form:
        if exponent.denominator % 2:
            return self.rational(-1 if exponent.numerator % 2 else 1)
        if exponent.denominator == 2:
            return self._term_power(frozenset({(IMAGINARY, _ONE)}), _ONE, 2 * exponent)
        return self.atom(("root", -1), exponent)

    def _positive_power(self, base: Fraction, exponent: Fraction) -> Form:
        powers: dict[Generator, Fraction] = {}
        for prime, count in factor(base):
            powers[("p", prime)] = exponent * count
        kept, scale, _ = self._reduce(powers)
        return Form(frozenset({(kept, scale)}), ONE_DEN)
