"""Rows of a run's files, whatever state they are in: streamed, and what cannot be read is named.

Everything here belongs to somebody else: a file may be cut off, of another version, or no file at
all. A report tells so and goes on with what there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_BATCH = 256  # texts may be long
_MOST_BYTES = 64 * 2**20
"""Of a JSON file that is read whole."""
_MOST_NOTES = 50
_MOST_LINE = 600  # characters


class Notes:
    """What a reader of the report must know of the files, each said once.

    Args:
        run: Run folder; paths are told relative to it.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._lines: dict[str, None] = {}

    def add(self, line: str) -> None:
        """Add a line."""
        if len(self._lines) < _MOST_NOTES:
            self._lines[line[:_MOST_LINE]] = None

    def unreadable(self, path: Path, error: Exception) -> None:
        """Say that a file cannot be read, and why."""
        reason = " ".join(str(error).replace(str(self._run), self._run.name).split())[:200]
        self.add(f"{self.name(path)} cannot be read and is left out ({reason or 'empty'})")

    def name(self, path: Path) -> str:
        """Return a path as it is told: inside the run folder."""
        return path.relative_to(self._run).as_posix()

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines in order."""
        return tuple(self._lines)


def stream(
    path: Path,
    columns: Sequence[str],
    notes: Notes,
    *,
    groups: Sequence[int] | None = None,
    batch: int = _BATCH,
) -> Iterator[dict[str, Any]]:
    """Yield columns of a parquet file's rows; one batch is in memory.

    Args:
        path: The file.
        columns: Wanted; those that the file lacks are None in every row, and noted.
        notes: Receives what is wrong.
        groups: Row groups; None: all.
        batch: Rows that are read at once.
    """
    try:
        with pq.ParquetFile(path) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            lacking = [name for name in columns if name not in there]
            if lacking:
                which = ", ".join(lacking)
                notes.add(f"{notes.name(path.parent)}: files without {which}, of another version")
            which_groups = range(file.num_row_groups) if groups is None else groups
            for part in file.iter_batches(
                batch_size=batch, columns=there, row_groups=list(which_groups)
            ):
                for row in part.to_pylist():
                    yield {**dict.fromkeys(lacking), **row}
    except (pa.ArrowException, OSError, ValueError) as error:
        notes.unreadable(path, error)


def count_rows(path: Path, notes: Notes) -> int:
    """Return the rows of a parquet file, 0 and a note where it cannot be read."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        notes.unreadable(path, error)
        return 0


def read_json(path: Path, notes: Notes) -> dict[str, Any]:
    """Return a JSON object; empty where there is none, with a note where it is broken."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        notes.unreadable(path, error)
        return {}
    return found


def read_lines(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file of lines; a line that a kill cut off is left out."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                if isinstance(line := _parse(text), dict):
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        notes.unreadable(path, error)


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def read_text(path: Path, notes: Notes, most: int) -> str:
    """Return the beginning of a text file; empty where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(most + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        notes.unreadable(path, error)
        return ""
    return text if len(text) <= most else text[:most] + "\n..."


def thin(points: Iterable[Any], most: int) -> list[Any]:
    """Return at most twice ``most`` of the points, evenly, the first and the last among them.

    >>> thin(range(10), 3)
    [0, 2, 4, 6, 8, 9]
    """
    kept: list[Any] = []
    stride, place, last = 1, -1, None
    for place, last in enumerate(points):
        if place % stride == 0:
            kept.append(last)
            if len(kept) == 2 * most:
                kept, stride = kept[::2], 2 * stride
    if place >= 0 and place % stride:
        kept.append(last)
    return kept
