"""Records to parquet and back, atomically and with the same bytes every time.

Arrow schemas are derived from the Pydantic records, so that the two cannot drift apart. Files
appear by temporary name and rename: a reader never sees half a file, a retried bundle writes the
same file again. Where a path leads, here or to a remote store, is `places`' to know.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import types
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq

from butwait.pipelines.places import AnyPath, in_order
from butwait.schemas.errors import ButwaitError, ConfigError
from butwait.schemas.record import Record

R = TypeVar("R", bound=Record)


def arrow_type(annotation: Any) -> pa.DataType:
    """Return the Arrow type of a record field's annotation.

    Raises:
        TypeError: For an annotation that records do not use.
    """
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        members = [a for a in get_args(annotation) if a is not type(None)]
        return arrow_type(members[0])
    if origin is Literal:
        return arrow_type(type(get_args(annotation)[0]))
    if origin is tuple:
        return pa.list_(arrow_type(get_args(annotation)[0]))
    simple = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if annotation in simple:
        return simple[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return pa.struct(list(arrow_schema(annotation)))
    raise TypeError(f"no Arrow type for {annotation!r}")


@cache
def arrow_schema(record: type[Record]) -> pa.Schema:
    """Return the Arrow schema of a record class, fields in declared order."""
    return pa.schema([(n, arrow_type(f.annotation)) for n, f in record.model_fields.items()])


@cache
def published_schema(record: type[Record]) -> pa.Schema:
    """Return the record's schema with the ``datasets`` features embedded.

    ``load_dataset`` then returns exactly these features, without a script.
    """
    from datasets import Features

    return Features.from_arrow_schema(arrow_schema(record)).arrow_schema


def write_records(
    path: AnyPath,
    records: Iterable[R],
    record: type[R],
    *,
    row_group_size: int = 512,
    schema: pa.Schema | None = None,
) -> int:
    """Write records to one parquet file, whole or not at all; return their number.

    Args:
        path: Final name; its folder is made.
        records: In the order they are to be stored.
        record: Their class.
        row_group_size: Rows a group; a block of a stage is one group.
        schema: Schema to store instead of the derived one (same fields).
    """
    table_schema = schema or arrow_schema(record)
    n_rows = 0
    with _whole(path) as temporary:
        # Page index and small groups let the Hub's viewer open a row without the whole file.
        with pq.ParquetWriter(temporary, table_schema, write_page_index=True) as writer:
            for batch in _batches(records, row_group_size):
                rows = [r.model_dump(mode="json") for r in batch]
                table = pa.Table.from_pylist(rows, schema=table_schema)
                writer.write_table(table, row_group_size=row_group_size)
                n_rows += len(batch)
    return n_rows


def write_tables(
    path: AnyPath, tables: Iterable[pa.Table], schema: pa.Schema, *, row_group_size: int = 512
) -> int:
    """Write tables one behind the other, as `write_records` would their rows; return their number.

    Args:
        path: Final name; its folder is made.
        tables: With the fields of the schema; never more than one of them and a row group is held.
        schema: Schema to store.
        row_group_size: Rows a group.
    """
    n_rows = 0
    left = schema.empty_table()
    with _whole(path) as temporary:
        with pq.ParquetWriter(temporary, schema, write_page_index=True) as writer:
            for table in tables:
                left = pa.concat_tables([left, table.cast(schema)])
                while left.num_rows >= row_group_size:
                    writer.write_table(left.slice(0, row_group_size).combine_chunks())
                    left = left.slice(row_group_size)
                n_rows += table.num_rows
            if left.num_rows:
                writer.write_table(left.combine_chunks())
    return n_rows


def read_table(path: AnyPath) -> pa.Table:
    """Read a whole parquet file, a fragment of a stage.

    Raises:
        ButwaitError: If the file is not readable parquet.
    """
    with open_parquet(path) as file:
        return file.read()


def read_records(
    path: AnyPath, record: type[R], row_groups: Sequence[int] | None = None
) -> Iterator[R]:
    """Yield the records of a parquet file, one row group in memory at a time.

    Raises:
        ButwaitError: If the file is not readable parquet of this record.
    """
    with open_parquet(path) as file:
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        for group in groups:
            for row in file.read_row_group(group).to_pylist():
                yield record.model_validate(row, strict=False)


def count_rows(path: AnyPath) -> int:
    """Return the number of rows of a parquet file, from its footer."""
    return int(read_footer(path).num_rows)


def count_each(paths: Sequence[AnyPath]) -> dict[AnyPath, int]:
    """Return the number of rows of every file."""
    return dict(zip(paths, in_order(count_rows, paths), strict=True))


def count_row_groups(path: AnyPath) -> int:
    """Return the number of row groups of a parquet file, from its footer."""
    return int(read_footer(path).num_row_groups)


def read_columns(
    path: AnyPath, columns: Sequence[str], batch_size: int = 8192
) -> Iterator[dict[str, Any]]:
    """Yield some columns of every row, batch by batch.

    Raises:
        ButwaitError: If the file is not readable parquet.
    """
    with open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=batch_size, columns=list(columns)):
            yield from batch.to_pylist()


@contextmanager
def open_parquet(path: AnyPath) -> Iterator[pq.ParquetFile]:
    """Open a parquet file for a ``with`` block that reads it.

    Raises:
        ButwaitError: It is not readable parquet, at the start or later.
    """
    try:
        if isinstance(path, Path):
            with pq.ParquetFile(path) as file:
                yield file
        else:  # far away few large reads are cheaper than many small ones
            with path.open() as raw, pq.ParquetFile(raw, pre_buffer=True) as file:
                yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise ButwaitError(
            f"{path} cannot be read as parquet ({error}); "
            "delete it and run the build again to make it anew"
        ) from error


def read_footer(path: AnyPath) -> pq.FileMetaData:
    """Read a parquet file's footer.

    Raises:
        ButwaitError: If the file is not readable parquet.
    """
    with open_parquet(path) as file:
        return file.metadata


def write_text(path: AnyPath, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with _whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_lines(path: AnyPath, lines: Iterable[str]) -> int:
    """Write a UTF-8 text file line by line, whole or not at all; return the number of lines."""
    n = 0
    with _whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(line + "\n")
            n += 1
    return n


def file_sha256(path: AnyPath) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") if isinstance(path, Path) else path.open() as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _whole(path: AnyPath) -> Iterator[Path]:
    """Have a file to write that takes the final name, or is sent there, only on success.

    Raises:
        ConfigError: There is no room, or no right, to write.
    """
    try:
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                yield temporary
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            temporary.replace(path)
        else:
            with tempfile.TemporaryDirectory(prefix="butwait-") as folder:
                yield Path(folder) / path.name
                path.receive(Path(folder) / path.name)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error}; what is finished is kept: mend this and run the "
            "same command again"
        ) from error


def _batches(records: Iterable[R], size: int) -> Iterator[list[R]]:
    batch: list[R] = []
    for item in records:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
