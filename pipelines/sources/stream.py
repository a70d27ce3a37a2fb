"""Records out of a range, one at a time: at most one batch or one record in memory.

What cannot be read is yielded as a ``BadRecord`` in its place; a file that breaks off raises.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from butwait.pipelines.sources.json_list import iterate_json_list
from butwait.pipelines.sources.place import HUB_SCHEME, BadRecord, RecordRange
from butwait.schemas.errors import SourceError

MAX_RECORD_BYTES = 32 << 20
BATCH_ROWS = 64

Record = Mapping[str, Any] | BadRecord


def stream_records(
    records: RecordRange, columns: tuple[str, ...] | None = None
) -> Iterator[tuple[int, Record]]:
    """Yield (row number, record) for every record of a range, in order.

    Args:
        records: Where they lie.
        columns: Top-level columns to read where the format can skip the others.

    Raises:
        SourceError: The file or the Hub cannot be read to the end.
    """
    if records.place.startswith(HUB_SCHEME):
        from butwait.pipelines.sources.hub_access import one_line

        with one_line(records.place, None):
            yield from islice(_open_range(records, columns), records.n_rows)
        return
    try:
        yield from islice(_open_range(records, columns), records.n_rows)
    except (OSError, EOFError) as error:
        raise SourceError(f"{records.place} cannot be read to the end: {error}") from error


def _open_range(
    records: RecordRange, columns: tuple[str, ...] | None
) -> Iterator[tuple[int, Record]]:
    if records.kind == "hub":
        from butwait.pipelines.sources.hub import stream_hub

        return stream_hub(records, columns)
    if records.kind == "parquet":
        return _stream_parquet(records, columns)
    if records.kind == "jsonl":
        return _stream_lines(records)
    return _stream_json(records)


def _stream_parquet(
    records: RecordRange, columns: tuple[str, ...] | None
) -> Iterator[tuple[int, Record]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = records.first_row
    try:
        with open_bytes(records.place) as stored, pq.ParquetFile(stored) as file:
            groups = list(range(records.start, records.stop or file.num_row_groups))
            for batch in file.iter_batches(
                BATCH_ROWS, row_groups=groups, columns=columns and list(columns), use_threads=False
            ):
                for record in batch.to_pylist():
                    yield row, record
                    row += 1
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise SourceError(f"{records.place} is damaged parquet at row {row}: {error}") from error


def open_bytes(place: str) -> IO[bytes]:
    """Open a local file, or one on the Hub by its address, unpacked if it is gzipped."""
    if place.startswith(HUB_SCHEME):
        stored = _open_hub(place)
        return cast(IO[bytes], gzip.open(stored) if place.endswith(".gz") else stored)
    return gzip.open(place) if place.endswith(".gz") else Path(place).open("rb")  # type: ignore[return-value]


def _open_hub(address: str) -> Any:
    """Open a file on the Hub; the client asks again where a range does not come."""
    from huggingface_hub import HfFileSystem

    from butwait.pipelines.hub.calls import limit_client_time

    limit_client_time()
    return io.BufferedReader(HfFileSystem().open(address, "rb"))


def _stream_lines(records: RecordRange) -> Iterator[tuple[int, Record]]:
    """A row's number is its line's, so blank lines leave gaps."""
    row = records.first_row
    left = None if records.stop is None else records.stop - records.start
    with open_bytes(records.place) as file:
        file.seek(records.start)
        while left is None or left > 0:
            line = file.readline(MAX_RECORD_BYTES + 1)
            if not line:
                return
            n_bytes = len(line)
            if n_bytes > MAX_RECORD_BYTES:
                n_bytes += _skip_line(file) if not line.endswith(b"\n") else 0
                yield row, _too_long(line)
            elif line.strip():
                yield row, _parse_line(line)
            row += 1
            left = None if left is None else left - n_bytes


def _skip_line(file: IO[bytes]) -> int:
    n_bytes = 0
    while piece := file.readline(MAX_RECORD_BYTES):
        n_bytes += len(piece)
        if piece.endswith(b"\n"):
            break
    return n_bytes


def _too_long(line: bytes) -> BadRecord:
    detail = f"the line is longer than {MAX_RECORD_BYTES} bytes"
    return BadRecord("too_long", detail, line[:500].decode("utf-8", "replace"))


def _parse_line(line: bytes) -> Record:
    excerpt = line[:500].decode("utf-8", "replace")
    try:
        text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        return BadRecord("bad_encoding", f"the line is not UTF-8: {error}", excerpt)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BadRecord("malformed_json", f"the line is not JSON: {str(error)[:200]}", excerpt)
    if not isinstance(record, dict):
        kind = type(record).__name__
        return BadRecord("malformed_json", f"the line is a JSON {kind}, not an object", excerpt)
    return record


def _stream_json(records: RecordRange) -> Iterator[tuple[int, Record]]:
    with open_bytes(records.place) as file:
        for row, record in enumerate(iterate_json_list(file, MAX_RECORD_BYTES)):
            yield records.first_row + row, record
