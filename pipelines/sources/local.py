"""Local datasets: parquet, JSON lines (also gzipped) and JSON files, or a folder of them.

Every file is read once to be named by its content; JSON lines are cut into byte ranges on the
way. Leaves out other formats and remote file systems.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from butwait.pipelines.sources.place import BadRecord, Place, RecordRange
from butwait.pipelines.sources.stream import open_bytes, stream_records
from butwait.schemas.errors import SourceError

SUFFIXES = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl",
    ".json": "json",
    ".json.gz": "json",
}
SPLIT_NAMES = ("train", "test", "validation", "valid", "val", "dev")
RANGE_BYTES = 8 << 20
"""A range of JSON lines ends with the first line after this many bytes."""
RANGE_ROWS = 4096
"""A range of parquet ends with the first row group after this many rows."""
N_SAMPLED = 50
"""Records looked at to learn a JSON file's columns."""


def find_local(path: Path, split: str) -> Place:
    """Find, hash and cut a local file or folder of shards.

    Raises:
        SourceError: Nothing there, nothing readable, or no record in it.
    """
    files = _list_files(path, split)
    hashes, ranges = [], []
    first_row = 0
    for file in files:
        scan = _scan(file, first_row, last=file == files[-1])
        hashes.append(scan.sha256)
        ranges += scan.ranges
        first_row += scan.n_rows
    revision = hashes[0]
    if path.is_dir():
        lines = "".join(f"{digest}  {f.name}\n" for digest, f in zip(hashes, files, strict=True))
        revision = hashlib.sha256(lines.encode()).hexdigest()
    return Place(
        dataset=path.name,
        label=path.name.split(".")[0] if path.is_file() else path.name,
        revision=f"sha256:{revision}",
        licence=None,
        columns=read_columns(str(files[0]), ranges[0] if ranges else None),
        ranges=tuple(ranges),
    )


def _list_files(path: Path, split: str) -> list[Path]:
    allowed = ", ".join(SUFFIXES)
    if path.is_file():
        if find_kind(path.name) is None:
            raise SourceError(f"{path} is none of the files that can be read: {allowed}")
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path} does not exist (relative paths start at the recipe's folder)")
    files = [f for f in sorted(path.rglob("*")) if find_kind(f.name) and f.is_file()]
    names = [str(f) for f in files if f.name[0] != "."]
    if not names:
        raise SourceError(f"{path} holds none of the files that can be read: {allowed}")
    return [Path(name) for name in choose_split(names, split, str(path))]


def choose_split(names: list[str], split: str, place: str) -> list[str]:
    """Return the files of a split where files are named like splits; else, or of one file, all.

    Args:
        names: Paths of files.
        split: Name of the split.
        place: Where they are, for the message.

    Raises:
        SourceError: The files are of other splits.
    """
    if len(names) == 1:
        return names
    starts = {name: name.rpartition("/")[2].split(".")[0].split("-")[0] for name in names}
    named = set(starts.values()) & set(SPLIT_NAMES)
    chosen = [name for name in names if starts[name] == split]
    if named and not chosen:
        raise SourceError(f"{place} has no split {split!r}; it has {', '.join(sorted(named))}")
    return chosen or names


def find_kind(name: str) -> str | None:
    """Return what kind of file a name is of, None for one that cannot be read."""
    name = name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


@dataclass(frozen=True, slots=True)
class _Scan:
    sha256: str
    n_rows: int
    ranges: list[RecordRange]


def _scan(path: Path, first_row: int, last: bool) -> _Scan:
    try:
        if find_kind(path.name) == "parquet":
            return _scan_parquet(path, first_row)
        if find_kind(path.name) == "jsonl" and path.suffix != ".gz":
            return _scan_lines(path, first_row)
        return _scan_whole(path, first_row, last)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _scan_parquet(path: Path, first_row: int) -> _Scan:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    footer = pq.read_metadata(path)
    return _Scan(digest, footer.num_rows, cut_groups(footer, str(path), first_row))


def cut_groups(footer: pq.FileMetaData, place: str, first_row: int) -> list[RecordRange]:
    """Return the ranges of a parquet file, whole row groups each."""
    ranges = []
    start = n_rows = total = 0
    for group in range(footer.num_row_groups):
        n_rows += footer.row_group(group).num_rows
        if n_rows >= RANGE_ROWS or group + 1 == footer.num_row_groups:
            row = first_row + total
            ranges.append(RecordRange("parquet", place, row, n_rows, start, group + 1))
            total += n_rows
            start, n_rows = group + 1, 0
    return ranges


def _scan_lines(path: Path, first_row: int) -> _Scan:
    digest = hashlib.sha256()
    ranges = []
    start = offset = n_lines = range_line = 0
    with path.open("rb") as file:
        for piece, ends in _pieces(file):
            digest.update(piece)
            offset += len(piece)
            n_lines += ends
            if ends and offset - start >= RANGE_BYTES:
                n_rows = n_lines - range_line
                ranges.append(
                    RecordRange("jsonl", str(path), first_row + range_line, n_rows, start, offset)
                )
                start, range_line = offset, n_lines
    if offset > start:
        n_lines += not piece.endswith(b"\n")
        n_rows = n_lines - range_line
        ranges.append(
            RecordRange("jsonl", str(path), first_row + range_line, n_rows, start, offset)
        )
    return _Scan(digest.hexdigest(), n_lines, ranges)


def _pieces(file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the file in lines, very long ones in parts, and whether each ends its line."""
    while piece := file.readline(RANGE_BYTES):
        yield piece, piece.endswith(b"\n")


def _scan_whole(path: Path, first_row: int, last: bool) -> _Scan:
    """A gzipped or JSON file is one range; its rows are counted where others follow."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            file.read(1)
    kind = "jsonl" if find_kind(path.name) == "jsonl" else "json"
    records = RecordRange("jsonl" if kind == "jsonl" else "json", str(path), first_row)
    n_rows = 0
    if not last:
        n_rows = max((row for row, _ in stream_records(records)), default=first_row - 1)
        n_rows += 1 - first_row
    return _Scan(digest, n_rows, [records])


def read_columns(path: str, records: RecordRange | None) -> tuple[str, ...]:
    """Return the columns of a file; of JSON, those of its first records.

    Raises:
        SourceError: It holds no record.
    """
    if records is None:
        raise SourceError(f"{path} holds no record")
    if records.kind == "parquet":
        with open_bytes(path) as file:
            return tuple(pq.read_schema(file).names)
    columns: dict[str, None] = {}
    bad: BadRecord | None = None
    for _, record in islice(stream_records(records), N_SAMPLED):
        if isinstance(record, Mapping):
            columns.update(dict.fromkeys(record))
        else:
            bad = bad or record
    if not columns:
        raise SourceError(f"{path} holds no record" + (f": {bad.detail}" if bad else ""))
    return tuple(columns)
