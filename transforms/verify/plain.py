r"""Plain rational numbers, by one expression and no tree: most answers of most data sets.

An integer, a decimal, ``\frac`` of two whole numbers, a mixed number or a grouped number is read
here in a few microseconds; ``decision.compare_plainly`` has the verdict on two of them. The reader
gives the same verdict, rule and canonical text for every pair that is decided there (a property of
the tests). Leaves out: anything else, and numbers so long that a limit could matter.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from butwait.transforms.verify.limits import DEFAULT, Limits
from butwait.transforms.verify.mode import EXACT, TRACE, Mode

_RATIONAL = re.compile(
    r"(?P<sign>-?)(?:(?P<int>\d{1,18})|(?P<group>\d{1,3}(?:(?:,|\{,\}|,\\!)\d{3}){1,5})"
    r"|(?P<units>\d{1,9})\.(?P<places>\d{1,9})"
    r"|(?P<whole>[1-9]\d{0,8} ?)?\\[dt]?frac\{(?P<top>\d{1,9})\}\{(?P<bottom>\d{1,9})\})",
    re.ASCII,
)


_LONGEST = 60
# Of the bounds those that a plain number could ever reach: all but the symbolic worker's.
_USUAL = DEFAULT._replace(worker_s=0.0, memory_mb=0)


class Rational(NamedTuple):
    """A number in lowest terms, and the text that two spellings of the same typography share."""

    top: int
    bottom: int
    text: str

    @property
    def canonical(self) -> str:
        """As the reader renders it."""
        return str(self.top) if self.bottom == 1 else f"{self.top}/{self.bottom}"


def may_be_plain(limits: Limits, mode: Mode) -> bool:
    """Whether plain numbers may take the short way.

    No type or tolerance is given, and no plain number can reach a limit; one symbolic comparison
    may take any time.
    """
    if mode is not TRACE and mode is not EXACT:
        return False
    return limits is DEFAULT or limits._replace(worker_s=0.0, memory_mb=0) == _USUAL


def read_rational(answer: str) -> Rational | None:
    r"""The number that a bare answer writes plainly, or None when it needs the reader.

    >>> read_rational(r"-1\frac{2}{4}")
    Rational(top=-3, bottom=2, text='-1\\frac{2}{4}')
    """
    # What is longer is no plain number, and nothing to remember.
    return _read_rational(answer) if len(answer) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _read_rational(answer: str) -> Rational | None:
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
