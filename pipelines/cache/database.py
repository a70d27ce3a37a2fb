"""What the cache asks of a database, and its four tables, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

TABLES = {
    "completions": (
        ("key", "TEXT PRIMARY KEY"),
        ("value", "TEXT NOT NULL"),
        ("request", "BIGINT"),
        ("stored", "INTEGER"),
    ),
    "scores": (
        ("key", "TEXT PRIMARY KEY"),
        ("value", "TEXT NOT NULL"),
        ("request", "BIGINT"),
        ("stored", "INTEGER"),
    ),
    "requests": (
        ("id", "BIGINT PRIMARY KEY"),
        ("settings", "BIGINT NOT NULL"),
        ("question", "BIGINT NOT NULL"),
        ("asked", "BIGINT NOT NULL"),
        ("prefix", "BIGINT NOT NULL"),
        ("seed", "BIGINT NOT NULL"),
        ("n", "INTEGER NOT NULL"),
        ("used", "INTEGER NOT NULL"),
    ),
    "settings": (("id", "BIGINT PRIMARY KEY"), ("text", "TEXT NOT NULL")),
}
"""``stored`` is Unix time in seconds, ``used`` days since 1970, ``asked`` the prompt's hash."""
INDEX = "CREATE INDEX IF NOT EXISTS requests_question ON requests (question)"

Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Sequence[object]]]
"""SQL with ``?`` for values, and one sequence of values for each time it is run."""


class Database(Protocol):
    """One connection; statements are written with ``?`` and no other SQL of one database alone."""

    has_claims: bool
    """Whether it keeps claims, which builds on several machines need."""
    octets: str
    """SQL for the bytes of a text, with ``{}`` for the column."""

    def read(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a query."""
        ...

    def write(self, statements: Sequence[Statement]) -> None:
        """Run statements in one transaction."""
        ...

    def n_bytes(self) -> int:
        """Return the space taken on disk."""
        ...

    def compact(self) -> str | None:
        """Give freed space back; None where it was done, else why not, for people."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
