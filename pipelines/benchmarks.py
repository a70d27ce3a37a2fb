"""Benchmarks as problems to compare with: found by name, on the Hub or in a file, and read.

Leaves out gold answers: what is read here is compared with questions, not solved.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.pipelines.sources.layouts import LAYOUTS, as_text, look_up, top_level
from butwait.pipelines.sources.place import BadRecord, Place, require_column
from butwait.pipelines.sources.read import find_place
from butwait.pipelines.sources.stream import stream_records
from butwait.schemas.benchmark import BENCHMARKS, PACKAGED, BenchmarkSpec, find_benchmark
from butwait.schemas.errors import ConfigError, SourceError
from butwait.transforms.decontaminate import Target

PROBLEM_COLUMNS = ("problem", "question")
ID_COLUMNS = ("id", "unique_id", "problem_id")


@dataclass(frozen=True)
class FoundBenchmark:
    """A benchmark that was found and read."""

    name: str
    revision: str
    """Hub commit, or ``sha256:`` and the file's hash."""
    targets: tuple[Target, ...]


def read_benchmark(spec: BenchmarkSpec, base: Path) -> FoundBenchmark:
    """Find a benchmark and read its problems.

    Args:
        spec: Which one; ``package:`` paths start inside this package.
        base: Folder that other relative paths start from.

    Raises:
        SourceError: It cannot be reached or read, or has no such column.
    """
    place = find_benchmark_place(spec, base)
    column = _problem_column(spec, place)
    return _read(spec.name, place, column, spec.only)


def read_benchmark_file(path: Path) -> FoundBenchmark:
    """Read the problems of a file under the name of the file.

    Raises:
        SourceError: It cannot be read or has neither a ``problem`` nor a ``question`` column.
    """
    place = find_place(None, str(path), Path(), None, "test", None)
    return _read(place.label, place, choose_problem_column(place.columns, place.dataset), {})


def name_benchmark(name: str) -> FoundBenchmark:
    """Read a benchmark that is known by name, or a file.

    Raises:
        ConfigError: It is neither.
        SourceError: It cannot be reached or read.
    """
    if name in BENCHMARKS:
        return read_benchmark(find_benchmark(name), Path())
    if Path(name).exists():
        return read_benchmark_file(Path(name))
    near = difflib.get_close_matches(name, BENCHMARKS, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"{name!r} is neither a file nor a known benchmark; {hint}known are {', '.join(BENCHMARKS)}"
    )


def find_benchmark_place(spec: BenchmarkSpec, base: Path) -> Place:
    """Return where a benchmark's rows lie.

    Raises:
        SourceError: It cannot be reached; the message says how to give a copy.
    """
    path = resolve_benchmark_path(spec)
    try:
        return find_place(spec.hub, path, base, spec.config, spec.split, spec.revision)
    except SourceError as error:
        if spec.hub is None:
            raise
        raise SourceError(
            f"benchmark {spec.name} cannot be had from the Hub: {error}; give a file of your own"
        ) from error


def resolve_benchmark_path(spec: BenchmarkSpec) -> str | None:
    """Return a benchmark's path with ``package:`` resolved; None for one on the Hub."""
    if spec.path is None or not spec.path.startswith(PACKAGED):
        return spec.path
    return str(Path(__file__).resolve().parent / spec.path.removeprefix(PACKAGED))


def choose_problem_column(columns: Sequence[str], dataset: str) -> str:
    """Return the column of the problems, of the two names that there are for it.

    Raises:
        SourceError: Neither is there.
    """
    for name in PROBLEM_COLUMNS:
        if name in columns:
            return name
    raise SourceError(
        f"{dataset} has neither a 'problem' nor a 'question' column; its columns are"
        f" {', '.join(columns)}"
    )


def choose_id(record: Mapping[str, Any], row: int) -> str:
    """Return a row's id: the first id column that it has, else its 0-based number."""
    ids = (as_text(record.get(name)) for name in ID_COLUMNS)
    return next((found for found in ids if found), str(row))


def _problem_column(spec: BenchmarkSpec, place: Place) -> str:
    if spec.columns is not None:
        column = spec.columns.problem
    elif spec.layout in LAYOUTS:
        column = LAYOUTS[spec.layout].problem
    else:
        return choose_problem_column(place.columns, place.dataset)
    require_column(column, place.columns, place.dataset, f"benchmark {spec.name}")
    return column


def _read(name: str, place: Place, column: str, only: Mapping[str, object]) -> FoundBenchmark:
    for wanted in only:
        require_column(wanted, place.columns, place.dataset, f"benchmark {name}: only")
    ids = [found for found in ID_COLUMNS if found in place.columns]
    columns = top_level((column, *ids, *only), place.columns)
    targets = tuple(
        Target(name, choose_id(record, row), problem)
        for row, record in _records(place, columns)
        if is_wanted(record, only) and (problem := as_text(look_up(record, column)))
    )
    if not targets:
        raise SourceError(f"benchmark {name}: {place.dataset} has no row with a problem")
    return FoundBenchmark(name, place.revision, targets)


def _records(place: Place, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for records in place.ranges:
        for row, record in stream_records(records, columns):
            if isinstance(record, BadRecord):
                raise SourceError(f"{place.dataset}, row {row}: {record.detail}")
            yield row, record


def is_wanted(record: Mapping[str, Any], only: Mapping[str, object]) -> bool:
    """Whether a row is one of the benchmark's problems: all named columns have these values."""
    return all(look_up(record, column) == value for column, value in only.items())
