"""Shards of a dataset: parquet files and files of JSON lines, indexed by group, never held.

The index of a shard is the number of rows of every group (a row group, or 500 lines). Reading goes
by group and batch, through small buffers. Leaves out what the columns mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from butwait.schemas.errors import ConfigError

GROUP_LINES = 500
_BUFFER_BYTES = 1 << 18
_LIST_LEVELS = {("list", "element"), ("list", "item"), ("bag", "array_element")}
UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""What a damaged file raises (``UnicodeDecodeError`` and ``JSONDecodeError`` are ValueErrors)."""


class Reader(Protocol):
    """An open shard."""

    def batches(self, group: int, leaves: Sequence[str], size: int) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True)
class Shard:
    """One file of a collection."""

    name: str
    """As links name it; unique in its collection."""
    path: Path
    groups: tuple[int, ...]
    """Rows of every group."""
    leaves: Mapping[str, str] = field(repr=False)
    """Columns down to the leaves (``provenance.source``), and the file's own name of each."""
    starts: tuple[int, ...] = field(default=(), repr=False)
    """Of JSON lines the byte at which every group begins; empty for parquet."""

    @property
    def n_rows(self) -> int:
        """Rows of the shard."""
        return sum(self.groups)

    @property
    def columns(self) -> frozenset[str]:
        """Top-level columns."""
        return frozenset(leaf.split(".")[0] for leaf in self.leaves)

    @contextmanager
    def opened(self) -> Iterator[Reader]:
        """Open the file.

        Raises:
            OSError, pa.ArrowException: It has gone or is damaged.
        """
        if self.starts:
            yield _LinesReader(self)
            return
        with pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES) as file:
            yield _ParquetReader(self, file)


def open_shard(path: Path, name: str) -> Shard:
    """Index one file.

    Raises:
        ConfigError: It is missing, of another kind or damaged; the message names it.
    """
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            return _index_lines(path, name)
        if path.suffix == ".parquet":
            return _index_parquet(path, name)
    except UNREADABLE as error:
        raise ConfigError(f"{path} cannot be read: {one_line(error)}") from error
    raise ConfigError(f"{path} is neither .parquet nor .jsonl; convert it, or name a run folder")


def one_line(error: Exception) -> str:
    """Return what an error says in one short line."""
    said = " ".join(str(error).split())[:200]
    return said or type(error).__name__


def _index_parquet(path: Path, name: str) -> Shard:
    with pq.ParquetFile(path) as file:
        meta = file.metadata
        groups = tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
        own = [file.schema.column(i).path for i in range(len(file.schema))]
    return Shard(name, path, groups, {_without_levels(leaf): leaf for leaf in own})


def _without_levels(leaf: str) -> str:
    """Drop what parquet puts between a list and its elements."""
    kept: list[str] = []
    parts = leaf.split(".")
    at = 0
    while at < len(parts):
        if kept and tuple(parts[at : at + 2]) in _LIST_LEVELS:
            at += 2
            continue
        kept.append(parts[at])
        at += 1
    return ".".join(kept)


@dataclass(frozen=True)
class _ParquetReader:
    shard: Shard
    file: pq.ParquetFile

    def batches(self, group: int, leaves: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        known = self.shard.leaves
        # Without a column there would be no rows: the first one stands in.
        own = [known[leaf] for leaf in leaves if leaf in known] or [next(iter(known.values()))]
        yield from self.file.iter_batches(
            batch_size=size, row_groups=[group], columns=own, use_threads=False
        )


def _index_lines(path: Path, name: str) -> Shard:
    groups, starts, at = [], [], 0
    with path.open("rb") as file:
        while lines := list(islice(file, GROUP_LINES)):
            starts.append(at)
            groups.append(len(lines))
            at += sum(map(len, lines))
    shard = Shard(name, path, tuple(groups), {}, tuple(starts))
    if not groups:
        raise ValueError("it is empty")
    first = _read_lines(shard, 0)
    return Shard(name, path, tuple(groups), {x: x for x in _leaves_of(first)}, tuple(starts))


def _leaves_of(batch: pa.RecordBatch) -> Iterator[str]:
    stack = [(field.name, field.type) for field in reversed(list(batch.schema))]
    while stack:
        path, kind = stack.pop()
        while pa.types.is_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind) and kind.num_fields:
            inner = [kind.field(i) for i in range(kind.num_fields)]
            stack += [(f"{path}.{f.name}", f.type) for f in reversed(inner)]
        else:
            yield path


@dataclass(frozen=True)
class _LinesReader:
    shard: Shard

    def batches(self, group: int, leaves: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        whole = _read_lines(self.shard, group)
        for start in range(0, whole.num_rows, size):
            yield whole.slice(start, size)


def _read_lines(shard: Shard, group: int) -> pa.RecordBatch:
    rows = []
    with shard.path.open("rb") as file:
        file.seek(shard.starts[group])
        for i, line in enumerate(islice(file, shard.groups[group])):
            number = group * GROUP_LINES + i + 1
            rows.append(_read_line(line, number))
    names = dict.fromkeys(name for row in rows for name in row)
    arrays = [_to_array([row.get(name) for row in rows]) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def _read_line(line: bytes, number: int) -> dict[str, Any]:
    """A line that is no object becomes a row that says so: the others are still of use."""
    text = line.decode("utf-8", errors="replace").strip()
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {"problem_of_line": f"line {number} is not JSON: {error}", "line": text}
    if not isinstance(row, dict):
        return {"problem_of_line": f"line {number} holds no object", "line": text}
    return {_without_surrogates(str(name)): value for name, value in row.items()}


def _to_array(values: list[Any]) -> pa.Array:
    """One column; values of several kinds become text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
        return pa.array([_to_text(value) for value in values], type=pa.string())


def _to_text(value: Any) -> str | None:
    if value is None:
        return None
    return _without_surrogates(value if isinstance(value, str) else json.dumps(value))


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("utf-8")
