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
        self.put_all([(items, asked)])

    def put_all(self, entries: Sequence[tuple[Mapping[str, Completion], Asked]]) -> None:
        """Store the completions of several requests, all or none."""
        written = [
            ({key: item.model_dump_json() for key, item in items.items()}, asked)
            for items, asked in entries
        ]
        self._write("completions", written)

    def get_scores(self, keys: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return what is known of ``keys``."""
        return {key: tuple(json.loads(value)) for key, value in self._read("scores", keys)}

    def put_scores(self, items: Mapping[str, Sequence[float]], asked: Asked) -> None:
        """Store rewards; an existing key keeps its first value."""
        values = {key: json.dumps(list(item)) for key, item in items.items()}
        self._write("scores", [(values, asked)])

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

    def _write(self, table: Table, entries: Sequence[tuple[Mapping[str, str], Asked]]) -> None:
        now, today = int(self.clock()), self.today
        settings = {asked.settings_id: asked.settings for _, asked in entries}
        requests: dict[int, Row] = {}
        rows: dict[str, Row] = {}
        for values, asked in entries:
            id_ = asked.id
            row = (asked.settings_id, asked.question, asked.user, asked.prefix, asked.seed)
            n = max(asked.n, requests[id_][-2]) if id_ in requests else asked.n
            requests[id_] = (id_, *row, n, today)
            for key, value in values.items():
                rows.setdefault(key, (key, value, id_, now))
        # Sorted, so that no two writers wait for each other.
        unknown = sorted(settings.keys() - self._known_settings)
        statements: list[Statement] = []
        if unknown:
            statements.append((_PUT_SETTINGS, [(id_, settings[id_]) for id_ in unknown]))
        statements.append((_PUT_REQUEST, [requests[id_] for id_ in sorted(requests)]))
        put = (
            f"INSERT INTO {table} (key, value, request, stored) VALUES (?, ?, ?, ?) "  # noqa: S608
            "ON CONFLICT DO NOTHING"
        )
        statements.append((put, [rows[key] for key in sorted(rows)]))
        self.database.write(statements)
        self._known_settings.update(unknown)

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
