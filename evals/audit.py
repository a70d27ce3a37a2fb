"""Can printed percentages be fractions over K problems with n samples each?

expected@1 must be c / (K n) and pass@n must be m / K, for one c and one m with m <= c <= m n: a
solved problem has one to n right samples. Where no c and m print so, smaller K are tried, which is
what a run prints that lost problems on its way. Figures count as rounded, with halves up or down;
truncated ones are not recognised. Exact arithmetic, no floating point.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

from butwait.schemas.errors import ConfigError

COLUMNS = ("name", "expected_at_1", "pass_at_n")
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,12})?")
_SHOWN = 3  # candidates on one line


@dataclass(frozen=True)
class Fractions:
    """One way in which a row's figures are fractions."""

    n_problems: int
    expected_at_1: str | None
    """c/(K n), e.g. ``46/240``; None where the cell is empty."""
    pass_at_n: str | None
    """m/K, e.g. ``13/30``; None where the cell is empty."""

    def __str__(self) -> str:
        return " with ".join(part for part in (self.expected_at_1, self.pass_at_n) if part)


@dataclass(frozen=True)
class AuditedRow:
    """What was found of one row."""

    name: str
    consistent: bool | None
    """None: both cells are empty, there is nothing to check."""
    fractions: list[Fractions]
    """Over K problems where consistent; else over fewer, the largest first; may be empty."""

    def __str__(self) -> str:
        if self.consistent is None:
            return f"{self.name}: nothing to check"
        shown = "; ".join(map(str, self.fractions[:_SHOWN]))
        if len(self.fractions) > _SHOWN:
            shown += f"; and {len(self.fractions) - _SHOWN} more"
        if self.consistent:
            return f"{self.name}: {shown}"
        if not self.fractions:
            return f"{self.name}: NOT POSSIBLE over these problems, nor over fewer"
        return f"{self.name}: NOT POSSIBLE over these problems; can be {shown}"

    def record(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return asdict(self)


def audit_table(path: Path, n_problems: int, n_samples: int) -> list[AuditedRow]:
    """Audit every row of a CSV file with the columns ``name, expected_at_1, pass_at_n``.

    Args:
        path: Percentages as printed; either cell may be empty; further columns are ignored.
        n_problems: K.
        n_samples: n.

    Raises:
        ConfigError: No such table, a missing column, a cell that is no percentage, K or n below 1.
    """
    if n_problems < 1 or n_samples < 1:
        raise ConfigError(
            f"problems and samples must be at least 1, not {n_problems} and {n_samples}"
        )
    return [
        audit_row(name, expected, passed, n_problems, n_samples)
        for name, expected, passed in _read(path)
    ]


def audit_row(name: str, expected: str, passed: str, n_problems: int, n_samples: int) -> AuditedRow:
    """Audit one row.

    Args:
        name: What to call it.
        expected: expected@1 in per cent as printed, or "".
        passed: pass@n in per cent as printed, or "".
        n_problems: K.
        n_samples: n.

    Raises:
        ConfigError: A figure that is no percentage.

    >>> print(audit_row("phi-4", "19.17", "43.33", 30, 8))
    phi-4: 46/240 with 13/30
    >>> print(audit_row("limo", "32.00", "48.00", 30, 8))
    limo: NOT POSSIBLE over these problems; can be 64/200 with 12/25
    """
    if not expected and not passed:
        return AuditedRow(name, None, [])
    ranges = _range(expected, name, COLUMNS[1]), _range(passed, name, COLUMNS[2])
    whole = list(_decode(ranges, n_problems, n_samples))
    if whole:
        return AuditedRow(name, True, whole)
    fewer = range(n_problems - 1, 0, -1)
    return AuditedRow(name, False, [f for k in fewer for f in _decode(ranges, k, n_samples)])


_Range = tuple[Fraction, Fraction] | None


def _decode(ranges: tuple[_Range, _Range], k: int, n: int) -> Iterator[Fractions]:
    """All c and m of K problems with n samples that print as these figures."""
    solved = _numerators(ranges[1], k)
    if ranges[0] is None:
        yield from (Fractions(k, None, f"{m}/{k}") for m in solved)
        return
    for c in _numerators(ranges[0], k * n):
        if ranges[1] is None:
            yield Fractions(k, f"{c}/{k * n}", None)
        else:
            possible = (m for m in solved if m <= c <= m * n)
            yield from (Fractions(k, f"{c}/{k * n}", f"{m}/{k}") for m in possible)


def _numerators(bounds: _Range, denominator: int) -> range:
    if bounds is None:
        return range(0)
    low, high = bounds
    return range(max(0, ceil(low * denominator)), min(denominator, floor(high * denominator)) + 1)


def _range(text: str, name: str, column: str) -> _Range:
    """The shares that print as this percentage, both ends included."""
    if not text:
        return None
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ConfigError(f"row {name!r}: {column} is {text[:40]!r}, not a percentage like 19.17")
    value = Fraction(text)
    if not 0 <= value <= 100:
        raise ConfigError(f"row {name!r}: {column} is {text}, but percentages lie in 0 to 100")
    half = Fraction(1, 2 * 10 ** (len(found[1] or ".") - 1))
    return (value - half) / 100, (value + half) / 100


def _read(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = [(column or "").strip() for column in rows.fieldnames or ()]
    if not columns:
        raise ConfigError(f"{path} is empty; it needs the columns {', '.join(COLUMNS)}")
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ConfigError(
            f"{path} has no column {', '.join(missing)}: it has {', '.join(columns)} "
            f"and needs {', '.join(COLUMNS)}"
        )
    rows.fieldnames = columns
    is_bare = True
    for row in rows:
        is_bare = False
        if None in row:
            raise ConfigError(
                f"{path}, line {rows.line_num}: more cells than columns; quote names with commas"
            )
        name, expected, passed = ((row[column] or "").strip() for column in COLUMNS)
        yield name, expected, passed
    if is_bare:
        raise ConfigError(f"{path} has a header and no rows")
