"""What a cache holds, and how it forgets: by last use, by model, by size.

Entries are removed a thousand at a time, so that a build that writes meanwhile waits for
milliseconds; what a build has asked for today is younger than any age that can be named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from butwait.pipelines.cache.store import TABLES, Cache, Table
from butwait.schemas.errors import ConfigError

_BATCH = 1_000
GB = 1_000_000_000
_FROM = "FROM {table} c LEFT JOIN requests r ON r.id = c.request"


@dataclass(frozen=True)
class Held:
    """Entries of one table and model."""

    table: Table
    model: str | None
    """None: entries of a version that did not keep what was asked."""
    entries: int
    bytes: int
    """Of keys and values."""
    oldest: int | None
    """Unix time at which the first was stored."""
    newest: int | None

    @property
    def record(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return {
            "table": self.table,
            "model": self.model,
            "entries": self.entries,
            "bytes": self.bytes,
            "oldest": show_time(self.oldest),
            "newest": show_time(self.newest),
        }


@dataclass(frozen=True)
class Rule:
    """What to forget; one of three."""

    older_than_days: int | None = None
    model: str | None = None
    keep_bytes: int | None = None


@dataclass(frozen=True)
class Pruned:
    """What was forgotten, or would be."""

    entries: int = 0
    bytes: int = 0

    def plus(self, sizes: Sequence[int]) -> Pruned:
        """Add entries of these sizes."""
        return Pruned(self.entries + len(sizes), self.bytes + sum(sizes))


def list_held(cache: Cache) -> list[Held]:
    """Count entries by table and model, the largest first."""
    models = _models(cache)
    found: dict[tuple[Table, str | None], Held] = {}
    for table in TABLES:
        query = (
            f"SELECT r.settings, COUNT(*), SUM({_size(cache)}), MIN(c.stored), MAX(c.stored) "
            f"{_FROM.format(table=table)} GROUP BY r.settings"
        )
        for settings, entries, size, oldest, newest in cache.database.read(query):
            held = Held(table, models.get(settings), entries, int(size), oldest, newest)
            key = (table, held.model)
            found[key] = _join(found[key], held) if key in found else held
    return sorted(found.values(), key=lambda held: -held.bytes)


def prune(cache: Cache, rule: Rule, *, dry_run: bool = False) -> Pruned:
    """Forget what a rule names.

    Args:
        cache: May be in use by others.
        rule: What to forget.
        dry_run: Only count.

    Raises:
        ConfigError: The cache holds nothing of the model.
    """
    if rule.keep_bytes is not None:
        pruned = _keep(cache, rule.keep_bytes, dry_run)
    else:
        where, values = _condition(cache, rule)
        pruned = Pruned()
        for table in TABLES:
            for batch in _batches(cache, table, where, values):
                pruned = pruned.plus([size for _, size in batch])
                if not dry_run:
                    _delete(cache, table, [key for key, _ in batch], rule)
    if not dry_run:
        _forget_requests(cache)
    return pruned


def read_age(text: str) -> int:
    """Read an age in days.

    >>> read_age("30d"), read_age("2w")
    (30, 14)

    Raises:
        ConfigError: Not a number of days or weeks.
    """
    found = re.fullmatch(r"(\d{1,5})([dw])", text.strip())
    if found is None:
        raise ConfigError(f"--older-than {text!r}: write days or weeks, e.g. 30d or 8w")
    return int(found[1]) * (7 if found[2] == "w" else 1)


def show_time(seconds: int | None) -> str | None:
    """Write a Unix time for people and programs."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def read_settings(cache: Cache) -> dict[int, dict[str, Any]]:
    """Read the settings that entries were asked with, by their id."""
    return {id_: json.loads(text) for id_, text in cache.database.read("SELECT * FROM settings")}


def _models(cache: Cache) -> dict[int | None, str]:
    return {id_: str(s["model"]) for id_, s in read_settings(cache).items()}


def _size(cache: Cache) -> str:
    return f"64 + {cache.database.octets.format('c.value')}"


def _join(one: Held, other: Held) -> Held:
    times = [t for t in (one.oldest, one.newest, other.oldest, other.newest) if t is not None]
    return replace(
        one,
        entries=one.entries + other.entries,
        bytes=one.bytes + other.bytes,
        oldest=min(times, default=None),
        newest=max(times, default=None),
    )


def _condition(cache: Cache, rule: Rule) -> tuple[str, list[int]]:
    if rule.older_than_days is not None:
        return "r.used < ?", [cache.today - rule.older_than_days]
    models = _models(cache)
    ids = [id_ for id_, model in models.items() if model == rule.model and id_ is not None]
    if not ids:
        known = ", ".join(sorted(set(models.values()))) or "none"
        raise ConfigError(f"the cache holds nothing of model {rule.model!r}; its models: {known}")
    return f"r.settings IN ({','.join('?' * len(ids))})", ids


def _batches(
    cache: Cache, table: Table, where: str, values: Sequence[int]
) -> Iterator[list[tuple[str, int]]]:
    """Yield keys and sizes in key order; what was yielded before may be deleted meanwhile."""
    query = (
        f"SELECT c.key, {_size(cache)} {_FROM.format(table=table)} "
        f"WHERE c.key > ? AND {where} ORDER BY c.key LIMIT {_BATCH}"
    )
    last = ""
    while batch := cache.database.read(query, [last, *values]):
        yield [(key, size) for key, size in batch]
        last = batch[-1][0]


def _delete(cache: Cache, table: Table, keys: Sequence[str], rule: Rule) -> None:
    query, more = f"DELETE FROM {table} WHERE key = ?", []  # noqa: S608
    if rule.older_than_days is not None:
        # A build may have used it since it was found.
        query += " AND request IN (SELECT id FROM requests WHERE used < ?)"
        more = [cache.today - rule.older_than_days]
    cache.database.write([(query, [(key, *more) for key in keys])])


def _keep(cache: Cache, keep_bytes: int, dry_run: bool) -> Pruned:
    """Forget the days of use furthest back until the rest fits, undated entries first."""
    days: dict[int, int] = {}
    for table in TABLES:
        query = (
            f"SELECT COALESCE(r.used, 0), SUM({_size(cache)}) {_FROM.format(table=table)} "
            "GROUP BY COALESCE(r.used, 0)"
        )
        for day, size in cache.database.read(query):
            days[day] = days.get(day, 0) + int(size)
    excess = sum(days.values()) - keep_bytes
    pruned = Pruned()
    for day in sorted(days):
        for table in TABLES:
            for batch in _batches(cache, table, "COALESCE(r.used, 0) = ?", [day]):
                sizes = list(_until(excess - pruned.bytes, [size for _, size in batch]))
                pruned = pruned.plus(sizes)
                if sizes and not dry_run:
                    _delete(cache, table, [key for key, _ in batch[: len(sizes)]], Rule())
                if pruned.bytes >= excess:
                    return pruned
    return pruned


def _until(excess: int, sizes: Sequence[int]) -> Iterator[int]:
    for size in sizes:
        if excess <= 0:
            return
        excess -= size
        yield size


def _forget_requests(cache: Cache) -> None:
    """Remove what was asked where no answer is left, but for what was used today."""
    held = " ".join(
        f"AND id NOT IN (SELECT request FROM {table} WHERE request IS NOT NULL)"  # noqa: S608
        for table in TABLES
    )
    ids = cache.database.read(f"SELECT id FROM requests WHERE used < ? {held}", [cache.today])  # noqa: S608
    for start in range(0, len(ids), _BATCH):
        rows = [(*row, cache.today) for row in ids[start : start + _BATCH]]
        cache.database.write([("DELETE FROM requests WHERE id = ? AND used < ?", rows)])
