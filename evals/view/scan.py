"""A filter as a streaming scan: it stops when a page is full or its time is up, and goes on.

Short columns are read first, long ones only in groups where something is left. Memory is one row
group's short columns and one batch of long ones, whatever the size of the dataset.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from butwait.evals.view.collections import Collection
from butwait.evals.view.columns import Mask
from butwait.evals.view.filters import (
    Columns,
    Filter,
    cheap_paths,
    meets_cheap,
    meets_text,
    text_paths,
)
from butwait.evals.view.joins import Joins
from butwait.evals.view.shards import UNREADABLE, Reader, Shard, one_line
from butwait.schemas.errors import ConfigError

PAGE_ROWS = 50
SCAN_S = 0.8
_BATCH = 256
_BATCH_TREES = 16  # a tree may hold tens of thousands of nodes
_LABEL = 240


@dataclass(frozen=True)
class Cursor:
    """Where a scan goes on: the next row that was not looked at."""

    shard: int = 0
    row: int = 0

    def __str__(self) -> str:
        return f"{self.shard}.{self.row}"


@dataclass
class Page:
    """What one request found."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    next: Cursor | None = None
    """None: everything was looked at."""
    scanned: int = 0
    """Rows of the collection before ``next``."""
    notes: list[str] = field(default_factory=list)


def read_cursor(text: str, collection: Collection) -> Cursor:
    """Read a cursor from a request.

    Raises:
        ConfigError: It is none of this collection.
    """
    shard, dot, row = (text or "0.0").partition(".")
    if not (dot and shard.isdecimal() and row.isdecimal()) or len(text) > 40:
        raise ConfigError(f"the cursor {text[:40]!r} is none; begin again")
    if int(shard) >= len(collection.shards):
        raise ConfigError("the files have changed since the list was begun; load the page again")
    return Cursor(int(shard), int(row))


def scan(
    collection: Collection,
    wanted: Filter,
    cursor: Cursor,
    joins: Joins,
    *,
    limit: int = PAGE_ROWS,
    seconds: float = SCAN_S,
    clock: Callable[[], float] = time.monotonic,
) -> Page:
    """Look for rows from a cursor on.

    Args:
        collection: Where.
        wanted: What.
        cursor: Where to begin.
        joins: What computes columns that are not stored.
        limit: Rows of a full page.
        seconds: Time after which the page ends as it is; one group or batch is always read.
        clock: Monotonic seconds.
    """
    page = Page()
    timer = _Timer(seconds, clock)
    at: Cursor | None = cursor
    while at is not None and len(page.rows) < limit and not timer.is_late():
        shard = collection.shards[at.shard]
        try:
            with shard.opened() as reader:
                look = _Look(collection, wanted, joins, shard, reader, page, limit, timer)
                row = look.run(at.row)
        except UNREADABLE as error:
            page.notes.append(f"{shard.path} cannot be read on: {one_line(error)}")
            row = shard.n_rows
        at = Cursor(at.shard, row) if row < shard.n_rows else _next_shard(collection, at)
    page.next = at
    before = collection.shards[: at.shard] if at else collection.shards
    page.scanned = sum(shard.n_rows for shard in before) + (at.row if at else 0)
    return page


@dataclass
class _Timer:
    """The time of one request; it runs from the first row that was not looked at before."""

    seconds: float
    clock: Callable[[], float]
    ends: float | None = None

    def start(self) -> None:
        """Begin, the first time that this is called."""
        if self.ends is None:
            self.ends = self.clock() + self.seconds

    def is_late(self) -> bool:
        """Whether the time is up."""
        return self.ends is not None and self.clock() >= self.ends


def _next_shard(collection: Collection, at: Cursor) -> Cursor | None:
    return Cursor(at.shard + 1, 0) if at.shard + 1 < len(collection.shards) else None


@dataclass
class _Look:
    """One shard under one filter."""

    collection: Collection
    wanted: Filter
    joins: Joins
    shard: Shard
    reader: Reader
    page: Page
    limit: int
    timer: _Timer

    def run(self, first: int) -> int:
        """Look from a row on; return the next row that was not looked at."""
        start = 0
        for group, n_rows in enumerate(self.shard.groups):
            if start + n_rows > first:
                if self.timer.is_late():
                    return start
                row = self._group(group, start, max(first - start, 0))
                if row < start + n_rows:
                    return row
            start += n_rows
        return start

    def _group(self, group: int, start: int, skip: int) -> int:
        """Look at one group, but for its first rows; return the next row of the shard."""
        n_rows = self.shard.groups[group]
        mask = self._cheap(group)
        mask[:skip] = False
        if not mask.any():
            self.timer.start()
            return start + n_rows
        offset: int = 0
        paths = [*text_paths(self.wanted, self.collection), *self._shown()]
        size = _BATCH_TREES if self.collection.layout.kind == "tree" else _BATCH
        for batch in self.reader.batches(group, paths, size):
            end = offset + int(batch.num_rows)
            if end > skip:
                self.timer.start()
            if mask[offset:end].any():
                full_at = self._take(batch, mask[offset:end], start + offset)
                if full_at is not None:
                    return full_at
            offset = end
            if offset >= n_rows or not mask[offset:].any():
                break
            if offset > skip and self.timer.is_late():
                return start + offset
        return start + n_rows

    def _take(self, batch: pa.RecordBatch, mask: Mask, first: int) -> int | None:
        """Take the hits of a batch; return the row after the one that made the page full."""
        if self.wanted.reads_text:
            mask = mask & meets_text(self.wanted, self.collection, batch)
        if not mask.any():
            return None
        joined = {path: self._compute(path, batch).to_pylist() for path in self._computed()}
        for place in map(int, np.flatnonzero(mask)):
            row = batch.slice(place, 1).to_pylist()[0]
            computed = {path: values[place] for path, values in joined.items()}
            self.page.rows.append(self._line(row | computed, first + place))
            if len(self.page.rows) >= self.limit:
                return first + place + 1
        return None

    def _cheap(self, group: int) -> Mask:
        paths = cheap_paths(self.wanted, self.collection)
        if not paths:
            return np.ones(self.shard.groups[group], dtype=bool)
        computed = [path for path in paths if path[0] == "@"]
        stored = [path for path in paths if path[0] != "@"]
        needs = [*stored, *self._needs(computed)]
        masks = []
        for batch in self.reader.batches(group, needs, 8192):
            joined = {path: self._compute(path, batch) for path in computed}
            masks.append(meets_cheap(self.wanted, self.collection, Columns(batch, joined)))
        return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)

    def _computed(self) -> list[str]:
        """Columns of the list that are not stored."""
        layout = self.collection.layout
        paths = [*layout.choices.values(), layout.rate or "", *layout.label]
        return [path for path in paths if path.startswith("@")]

    def _compute(self, path: str, batch: pa.RecordBatch) -> pa.Array:
        return self.joins.column(path, self.collection, self.shard, batch)

    def _needs(self, computed: Sequence[str]) -> list[str]:
        return [x for path in computed for x in self.joins.needs(path, self.collection)]

    def _shown(self) -> list[str]:
        layout = self.collection.layout
        stored = [path for path in layout.choices.values() if path[0] != "@"]
        rate = [layout.rate] if layout.rate and layout.rate[0] != "@" else []
        length = [layout.length] if layout.length else []
        known = self.shard.leaves
        label = [path for path in layout.label if path in known][:1]
        paths = [*_IDS, *stored, *rate, *length, *layout.badges, *label, *self._roles(label)]
        return [*paths, *self._needs(self._computed())]

    def _roles(self, label: Sequence[str]) -> Iterator[str]:
        for path in label:
            if path.endswith(".content"):
                yield path.removesuffix("content") + "role"

    def _line(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        layout = self.collection.layout
        rate = layout.rate
        values = {n: pick(row, p) for n, p in layout.choices.items()}
        text = next((t for p in layout.label if (t := _label(pick_message(row, p)))), "")
        length = _length(pick(row, layout.length)) if layout.length else None
        return {
            "shard": self.shard.name,
            "row": number,
            "id": pick(row, "id") or pick(row, layout.question) or str(number),
            "label": text,
            "length": length,
            "pass_rate": pick(row, rate) if rate else None,
            "values": {n: v for n, v in values.items() if isinstance(v, str) and v},
            "badges": {p: v for p in layout.badges if (v := pick(row, p)) not in (None, 0)},
        }


_IDS = ("id", "question_id", "problem_id")


def pick(row: Any, path: str) -> Any:
    """Return the value at a path of a row, through structs; lists on the way give a list."""
    for i, name in enumerate(names := path.split(".")):
        if isinstance(row, list):
            return [pick(item, ".".join(names[i:])) for item in row]
        if not isinstance(row, dict):
            return None
        row = row.get(name)
    return row


def pick_message(row: dict[str, Any], path: str) -> Any:
    """Return the value at a path; of chat messages the last that the user said."""
    column, _, leaf = path.partition(".")
    messages = row.get(column)
    if leaf == "content" and isinstance(messages, list):
        asked = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
        last = (asked or messages)[-1:]
        return last[0].get("content") if last and isinstance(last[0], dict) else None
    return pick(row, path)


def _label(value: Any) -> str:
    if isinstance(value, list):
        value = next((x for x in value if isinstance(x, str)), "")
    if value is None:
        return ""
    return " ".join(str(value)[: 4 * _LABEL].split())[:_LABEL]


def _length(value: Any) -> int | None:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(len(x) for x in value if isinstance(x, str))
    return None
