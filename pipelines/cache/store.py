"""The cache over a database: answers by key, and beside them what was asked and when it was used.

Left out: what to forget, and why something is missing (`upkeep`, `explain`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from butwait.pipelines.cache.asked import Asked
from butwait.pipelines.cache.claims import Claims
from butwait.pipelines.cache.database import Database, Row, Statement
from butwait.schemas.sampling import Completion

_MAX_VARIABLES = 500
_MAX_TOUCHED = 500
"""Requests whose day of use is written together."""
DAY_S = 86_400
Table = Literal["completions", "scores"]
TABLES: tuple[Table, ...] = ("completions", "scores")

_PUT_SETTINGS = "INSERT INTO settings (id, text) VALUES (?, ?) ON CONFLICT DO NOTHING"
_PUT_REQUEST = (
    "INSERT INTO requests (id, settings, question, asked, prefix, seed, n, used) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n, "
    "used = excluded.used WHERE excluded.n > requests.n OR excluded.used > requests.used"
)
_TOUCH = "UPDATE requests SET used = ? WHERE id = ? AND used < ?"


class Cache:
    """Implements ``CompletionCache`` and ``ScoreCache``.

    A request's day of use is written once a day at most, and many together: an older day only
    means that the next ``prune`` may forget it.

    Args:
        database: Where everything is kept; closed with the cache.
        clock: Unix time, in seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock
        self._touched: set[int] = set()
        self._known_settings: set[int] = set()
        self.claims = Claims(database, clock) if database.has_claims else None

    @property
    def today(self) -> int:
        """Days since 1970."""
        return int(self.clock() // DAY_S)

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Return what is known of ``keys``."""
        rows = self._read("completions", keys)
        return {key: Completion.model_validate_json(value) for key, value in rows}

    def put(self, items: Mapping[str, Completion], asked: Asked) -> None:
        """Store completions; an existing key keeps its first value."""
        values = {key: item.model_dump_json() for key, item in items.items()}
        self._write("completions", values, asked)

    def get_scores(self, keys: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return what is known of ``keys``."""
        return {key: tuple(json.loads(value)) for key, value in self._read("scores", keys)}

    def put_scores(self, items: Mapping[str, Sequence[float]], asked: Asked) -> None:
        """Store rewards; an existing key keeps its first value."""
        values = {key: json.dumps(list(item)) for key, item in items.items()}
        self._write("scores", values, asked)

    def count(self, keys: Sequence[str]) -> int:
        """Return how many of ``keys`` have completions, without reading them."""
        n_known = 0
        for part, marks in split(keys):
            query = f"SELECT COUNT(*) FROM completions WHERE key IN ({marks})"  # noqa: S608
            n_known += self.database.read(query, part)[0][0]
        return n_known

    def close(self) -> None:
        """Write what is left to write, and close the database."""
        self._write_touched()
        self.database.close()

    def _read(self, table: Table, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        today = self.today
        for part, marks in split(keys):
            query = (
                f"SELECT c.key, c.value, c.request, r.used FROM {table} c "  # noqa: S608
                f"LEFT JOIN requests r ON r.id = c.request WHERE c.key IN ({marks})"
            )
            for key, value, request, used in self.database.read(query, part):
                if used is not None and used < today:
                    self._touched.add(request)
                yield key, value
        if len(self._touched) >= _MAX_TOUCHED:
            self._write_touched()

    def _write(self, table: Table, values: Mapping[str, str], asked: Asked) -> None:
        id_, now, today = asked.id, int(self.clock()), self.today
        statements: list[Statement] = []
        settings = asked.settings_id
        if settings not in self._known_settings:
            statements.append((_PUT_SETTINGS, [(settings, asked.settings)]))
        request: Row = (
            id_, settings, asked.question, asked.user, asked.prefix, asked.seed, asked.n, today,
        )  # fmt: skip
        statements.append((_PUT_REQUEST, [request]))
        put = (
            f"INSERT INTO {table} (key, value, request, stored) VALUES (?, ?, ?, ?) "  # noqa: S608
            "ON CONFLICT DO NOTHING"
        )
        # In one order, so that no two writers wait for each other.
        statements.append((put, [(key, values[key], id_, now) for key in sorted(values)]))
        self.database.write(statements)
        self._known_settings.add(settings)

    def _write_touched(self) -> None:
        today = self.today
        rows = [(today, id_, today) for id_ in sorted(self._touched)]
        self._touched.clear()
        if rows:
            self.database.write([(_TOUCH, rows)])


def split(keys: Sequence[str]) -> Iterator[tuple[Sequence[str], str]]:
    """Cut keys into parts that a statement can hold, each with its marks."""
    for start in range(0, len(keys), _MAX_VARIABLES):
        part = keys[start : start + _MAX_VARIABLES]
        yield part, ",".join("?" * len(part))
