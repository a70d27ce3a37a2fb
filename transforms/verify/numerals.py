"""Written numbers: how they look, and what their digits are worth."""

from __future__ import annotations

import re
from fractions import Fraction

BASE_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twelve": 12, "sixteen": 16,
}  # fmt: skip

BASED = re.compile(
    r"(?P<digits>[0-9A-Fa-f]{1,80}(?:(?:\\[,;:! ]| )[0-9A-Fa-f]{1,80}){0,8}(?:\.[0-9A-F]{0,80})?"
    r"(?:\\overline ?\{(?P<cycle>[0-9A-F]{1,80})\}|\\dot ?\{?(?P<dotted>[0-9A-F])\}?)?)"
    r" ?_ ?(?:\{ ?(?:\\(?:text|mathrm|textbf) ?\{ ?)?(?:base[~ ]*\}?[~ ]*)?(?P<word>\w+) ?\}? ?\}"
    r"|(?P<digit>\d)(?!\d))"
)

NUMBER = re.compile(
    r"(?P<grouped>\d{1,3}(?:(?:\{,\}|,\\!|,\\,|\\,|\\ |,)\d{3})+(?!\d)|\d{1,3}(?:'\d{3})+(?!\d)"
    r"|\d{1,3}(?:\.\d{3}){2,}(?!\d)|\d{1,2}(?:(?:\{,\}|,)\d{2})+(?:\{,\}|,)\d{3}(?!\d))"
    r"(?P<gfrac>\.\d+)?"
    r"|0(?P<radix>[bx])(?P<coded>[01]+(?![0-9A-Za-z])|(?<=x)[0-9A-Fa-f]+(?![0-9A-Za-z]))"
    r"|(?P<whole>\d*)\.(?P<fixed>\d*)\((?P<cycle>\d+)\)"
    r"|(?P<plain>\d+\.\d*|\.\d+|\d+)(?:[eE](?P<exp>[+-]?\d{1,4})(?![\d.a-zA-Z^]))?"
)

LOOSE_GROUPS = re.compile(r"\d{1,3}(?: \d{3})+(?!\d)(?! ?\d)")


def based_value(written: str, cycle: str, base: int) -> Fraction | None:
    """The value of digits in a base, with a fraction part and a cycle; None when it has none.

    >>> based_value("1.1", "", 2)
    Fraction(3, 2)
    """
    if not 2 <= base <= 36 or len(written) > 400:
        return None
    plain = written.partition("\\overline")[0].partition("\\dot")[0]
    whole, _, fixed = re.sub(r"\\[,;:! ]| ", "", plain).partition(".")
    try:
        scale = base ** len(fixed)
        value = Fraction(int((whole + fixed) or "0", base), scale)
        if cycle:
            value += Fraction(int(cycle, base), scale * (base ** len(cycle) - 1))
    except ValueError:
        return None
    return value


def whole_number(digits: str) -> int:
    """An integer of any length (``int`` refuses more than 4,300 digits)."""
    if len(digits) <= 4_000:
        return int(digits)
    half = len(digits) // 2
    high, low = whole_number(digits[:-half]), whole_number(digits[-half:])
    shift: int = 10**half
    return high * shift + low


def plain_number(text: str) -> Fraction:
    """The value of digits with at most one point."""
    whole, _, fixed = text.partition(".")
    if not fixed:
        return Fraction(whole_number(whole or "0"))
    return Fraction(whole_number((whole + fixed) or "0"), 10 ** len(fixed))


def repeating(whole: str, fixed: str, cycle: str) -> Fraction:
    """The exact value of ``whole.fixed`` with ``cycle`` repeated for ever."""
    scale = 10 ** len(fixed)
    head = Fraction(whole_number((whole or "0") + fixed or "0"), scale)
    return head + Fraction(whole_number(cycle), scale * (10 ** len(cycle) - 1))
