"""Datasets on the Hub: a name becomes a commit, and its rows come by streaming.

``datasets`` and ``huggingface_hub`` are imported on first use and honour ``HF_ENDPOINT`` and
``HF_TOKEN``. Nothing is downloaded whole: parquet footers give the row numbers, rows are streamed
file by file. Leaves out datasets with scripts and gated terms (the Hub's own message says so).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from butwait.pipelines.sources.hub_access import (
    ask_hub,
    describe_dataset,
    one_line,
    read_licence,
    read_r1_derived,
)
from butwait.pipelines.sources.place import Place, RecordRange
from butwait.schemas.errors import SourceError


def find_hub(hub: str, config: str | None, split: str, revision: str | None) -> Place:
    """Find a dataset on the Hub and pin it to a commit.

    Raises:
        SourceError: No such dataset, revision, configuration or split, or no way to the Hub.
    """
    with one_line(hub, revision):
        info = describe_dataset(hub, revision)
        files = ask_hub(lambda: _data_files(hub, config, split, str(info.sha)))
        ranges = ask_hub(lambda: _cut(hub, str(info.sha), files))
        columns = ask_hub(lambda: _columns(ranges[0]))
    return Place(
        dataset=hub,
        label=hub,
        revision=str(info.sha),
        licence=read_licence(info),
        columns=columns,
        ranges=tuple(ranges),
        r1_derived=read_r1_derived(info),
    )


def stream_hub(
    records: RecordRange, columns: tuple[str, ...] | None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (row number, record) of a range by streaming.

    Raises:
        SourceError: The Hub or the file cannot be read.
    """
    with one_line(records.place, records.revision):
        for offset, record in enumerate(_open_stream(records, columns)):
            yield records.first_row + offset, record


def _open_stream(records: RecordRange, columns: tuple[str, ...] | None) -> Any:
    from datasets import load_dataset

    options: dict[str, Any] = {}
    if columns and all(name.endswith(".parquet") for name in records.files):
        options["columns"] = list(columns)
    dataset = load_dataset(
        records.place,
        data_files={"rows": list(records.files)},
        split="rows",
        revision=records.revision,
        streaming=True,
        **options,
    )
    return dataset if records.n_rows is None else dataset.take(records.n_rows)


def _data_files(hub: str, config: str | None, split: str, sha: str) -> list[str]:
    """Return the paths, in the repository, of the files of one split."""
    from datasets import load_dataset_builder

    builder = load_dataset_builder(hub, config, revision=sha)
    by_split = builder.config.data_files or {}
    if split not in by_split:
        known = ", ".join(map(str, by_split)) or "none"
        raise SourceError(f"{hub} has no split {split!r}; its splits are {known}")
    marker = f"{hub}@{sha}/"
    return [str(url).split(marker, 1)[-1] for url in by_split[split]]


def _cut(hub: str, sha: str, files: list[str]) -> list[RecordRange]:
    """One range a parquet file; other formats do not say their row counts and stay together."""
    if not all(name.endswith(".parquet") for name in files):
        return [RecordRange("hub", hub, 0, files=tuple(files), revision=sha)]
    import pyarrow.parquet as pq
    from huggingface_hub import HfFileSystem

    ranges = []
    first_row = 0
    for name in files:
        with HfFileSystem().open(f"datasets/{hub}@{sha}/{name}", "rb") as file:
            n_rows = pq.read_metadata(file).num_rows
        ranges.append(RecordRange("hub", hub, first_row, n_rows, files=(name,), revision=sha))
        first_row += n_rows
    return ranges


def _columns(records: RecordRange) -> tuple[str, ...]:
    dataset = _open_stream(records, None)
    if dataset.features:
        return tuple(dataset.features)
    return tuple(next(iter(dataset), {}))
