"""What a report is made of, before it is HTML: plots with their numbers, tables, rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from butwait.evals.report.texts import ROLES, Shown

MOST_ROWS = 200
"""Of a table of numbers."""
MOST_CELL = 160
"""Characters of a cell."""


@dataclass(frozen=True)
class Table:
    """Numbers or words in rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_more: int = 0
    """Rows that are left out."""


@dataclass(frozen=True)
class Plot:
    """A picture with its numbers."""

    name: str
    title: str
    caption: str
    svg: str
    """Made by ``to_svg``: everything in it is escaped already."""
    table: Table


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    id: str
    title: str
    words: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[tuple[str, Table], ...] = ()
    """Title and table."""
    shown: tuple[Shown, ...] = ()
    code: str = ""
    """Text that is shown as it is, e.g. a recipe."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that occur in the rows that are shown: what the legend explains."""
        pieces = (p for s in self.shown for row in s.rows for t in row.texts for p in t.pieces)
        found = {piece.role for piece in pieces}
        return tuple(role for role in ROLES if role in found and role != "path")


@dataclass(frozen=True)
class Report:
    """A whole page."""

    name: str
    kind: str
    figures: tuple[tuple[str, str], ...]
    """What a reader wants to know first: name and value."""
    notes: tuple[str, ...]
    sections: tuple[Section, ...] = field(default=())


def make_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table of at most ``MOST_ROWS`` rows."""
    texts = [tuple(shorten(tell(value), MOST_CELL) for value in row) for row in rows]
    return Table(
        tuple(shorten(name) for name in columns),
        tuple(texts[:MOST_ROWS]),
        max(0, len(texts) - MOST_ROWS),
    )


def tell(value: object) -> str:
    """Return a value as a cell: thousands apart, three digits of a fraction, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def percent(part: float, whole: float) -> str:
    """Return a share in per cent; empty where there is nothing to share.

    >>> percent(1, 3), percent(0, 0)
    ('33.3 %', '')
    """
    return f"{100 * part / whole:.1f} %" if whole else ""


def shorten(text: str, most: int = 40) -> str:
    """Return a label of one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:1000]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
