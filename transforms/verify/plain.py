r"""Plain rational numbers, by one expression and no tree: most answers of most data sets.

An integer, a decimal, ``\frac`` of two whole numbers, a mixed number or a grouped number on both
sides has its verdict here in a few microseconds. The reader gives the same verdict, rule and
canonical text for every pair that is decided here (a property of the tests). Leaves out: anything
else, and numbers so long that a limit could matter.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from butwait.transforms.verify.golds import Found, bare

_RATIONAL = re.compile(
    r"(?P<sign>-?)(?:(?P<int>\d{1,18})|(?P<group>\d{1,3}(?:(?:,|\{,\}|,\\!)\d{3}){1,5})"
    r"|(?P<units>\d{1,9})\.(?P<places>\d{1,9})"
    r"|(?P<whole>[1-9]\d{0,8} ?)?\\[dt]?frac\{(?P<top>\d{1,9})\}\{(?P<bottom>\d{1,9})\})",
    re.ASCII,
)


_LONGEST = 60


class Rational(NamedTuple):
    """A number in lowest terms, and the text that two spellings of the same typography share."""

    top: int
    bottom: int
    text: str

    @property
    def canonical(self) -> str:
        """As the reader renders it."""
        return str(self.top) if self.bottom == 1 else f"{self.top}/{self.bottom}"


@lru_cache(maxsize=4096)
def read_rational(answer: str) -> Rational | None:
    r"""The number that a bare answer writes plainly, or None when it needs the reader.

    >>> read_rational(r"-1\frac{2}{4}")
    Rational(top=-3, bottom=2, text='-1\\frac{2}{4}')
    """
    match = _RATIONAL.fullmatch(answer)
    if match is None:
        return None
    sign, whole_number, group, units, places, whole, top, bottom = match.groups()
    text = answer
    if whole_number is not None:
        value = int(whole_number), 1
    elif group is not None:
        text = answer.replace("{,}", ",").replace("\\!", "")
        value = int(text[len(sign) :].replace(",", "")), 1
        if group[0] == "0":
            return None
    elif units is not None:
        value = int(units + places), 10 ** len(places)
    else:
        value = int(top), int(bottom)
        if value[1] == 0 or (whole is not None and value[0] >= value[1]):
            return None
        if whole is not None:
            value = int(whole) * value[1] + value[0], value[1]
        else:
            text = answer.replace("dfrac", "frac").replace("tfrac", "frac")
    common = gcd(*value)
    return Rational((-value[0] if sign else value[0]) // common, value[1] // common, text)


def compare_plainly(gold: str, answer: str) -> tuple[Found, tuple[str, str]] | None:
    """The verdict on two plain numbers with their canonical texts; None when one is not plain."""
    if len(gold) > _LONGEST or len(answer) > _LONGEST:
        return None  # no plain number, and nothing to remember
    one = read_rational(bare(gold))
    two = read_rational(answer) if one is not None else None
    if one is None or two is None:
        return None
    if one.text == two.text:
        found = _STRING
    else:
        same = one[:2] == two[:2]
        found = _FOUND[same, one.bottom == 1 and two.bottom == 1]
    return found, (one.canonical, two.canonical)


_STRING = Found("correct", "string")
_FOUND = {
    (same, integers): Found(
        "correct" if same else "incorrect", "integer" if integers else "rational"
    )
    for same in (True, False)
    for integers in (True, False)
}
