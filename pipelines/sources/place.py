"""Where records lie: small, picklable ranges of local files or of a dataset on the Hub.

A range names rows, it holds none. Row numbers count from the dataset's first row, through all its
files in name order, so that they stay the same however the ranges are cut.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from butwait.schemas.errors import SourceError

HUB_SCHEME = "hf://"
"""How the address of a file on the Hub begins."""
RangeKind = Literal["parquet", "jsonl", "json", "hub"]


@dataclass(frozen=True, slots=True)
class RecordRange:
    """Some consecutive records of one dataset."""

    kind: RangeKind
    place: str
    """Local file, address of a file on the Hub at a commit, or dataset id on the Hub."""
    first_row: int
    """0-based position of the first record in the dataset."""
    n_rows: int | None = None
    """How many records to read; None: all that there are."""
    start: int = 0
    """First byte (jsonl) or row group (parquet)."""
    stop: int | None = None
    """Byte or row group after the last one; None: to the end."""
    files: tuple[str, ...] = ()
    """Hub only: paths in the repository."""
    revision: str | None = None
    """Hub only: commit."""


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset that was found: its name, revision, columns and ranges."""

    dataset: str
    """Hub id, or file or folder name."""
    label: str
    """Source label of rows that carry none."""
    revision: str
    """Hub commit, or ``sha256:`` and the content's hash."""
    licence: str | None
    """Licence that the dataset's card states."""
    columns: tuple[str, ...]
    ranges: tuple[RecordRange, ...]
    r1_derived: bool | None = None
    """Whether the dataset's card says that it derives from DeepSeek-R1; None: it says nothing."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A line or record that cannot be read; ``reason`` is a ledger bin."""

    reason: str
    detail: str
    excerpt: str


def cut_ranges(ranges: Iterable[RecordRange], limit: int | None) -> tuple[RecordRange, ...]:
    """Return the ranges of the first ``limit`` rows; None keeps all."""
    if limit is None:
        return tuple(ranges)
    kept = []
    for records in ranges:
        left = limit - records.first_row
        if left > 0:
            n_rows = left if records.n_rows is None else min(left, records.n_rows)
            kept.append(replace(records, n_rows=n_rows))
    return tuple(kept)


def require_column(path: str, columns: Sequence[str], dataset: str, use: str) -> None:
    """Check that a column, or the first part of a dotted path, exists.

    Raises:
        SourceError: Naming the nearest column and all there are.
    """
    if path in columns or path.split(".")[0] in columns:
        return
    near = difflib.get_close_matches(path, columns, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise SourceError(
        f"{dataset} has no column {path!r} ({use}); {hint}its columns are {', '.join(columns)}"
    )
