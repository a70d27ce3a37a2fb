"""Recorded trajectories in place of a model: found, sorted into shards, answered as samples.

A recording is streamed once and split by problem, so that each shard is looked up alone and in
small parts. Why a text ended is told by, in this order: the recording's own column; the
end-of-text token, where the recording keeps it on some texts; the token counts. Leaves out
verdicts: a recorded label travels along and is never believed.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from butwait.pipelines.places import AnyPath, worked_on_here
from butwait.pipelines.sources.layouts import as_text, cut_between, look_up, top_level
from butwait.pipelines.sources.place import BadRecord, RecordRange, cut_ranges, require_column
from butwait.pipelines.sources.read import find_place
from butwait.pipelines.sources.stream import stream_records
from butwait.pipelines.tables import write_records
from butwait.schemas.errors import RequestRefused, SamplerError, SchemaError
from butwait.schemas.recipe import ReplaySpec
from butwait.schemas.record import Record
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest
from butwait.transforms.encoding import repair_text
from butwait.transforms.problem_text import problem_key, shard_of

BUFFER_CHARACTERS = 16 << 20
"""Text held before it is written to the shards' own files."""
ROW_GROUP = 64
"""Recordings read together when one is looked up."""
CACHED_GROUPS = 16
MAX_COUNT = 2**31
"""Numbers beyond it are no counts of tokens; a column could not hold all that JSON can."""


class Recording(Record):
    """One recorded text as a shard stores it."""

    problem_key: str
    index: int
    """0-based place among the problem's recordings, in file order."""
    text: str
    label: bool | None
    n_tokens: int | None
    finish_reason: str
    """``stop``, ``length``, the recording's own word, or ``unknown``."""


@dataclass(frozen=True, slots=True)
class ResolvedReplay:
    """A recording that was found and its columns checked."""

    spec: ReplaySpec
    dataset: str
    revision: str
    columns: tuple[str, ...]
    ranges: tuple[RecordRange, ...]

    @property
    def identity(self) -> ModelIdentity:
        """The model that wrote the recording."""
        return ModelIdentity(id=self.spec.model, revision=self.spec.model_revision, engine="replay")


@dataclass(frozen=True, slots=True)
class RecordingCounts:
    """What a recording holds; ``refused`` counts what could not be used, by reason."""

    n_records: int
    n_problems: int
    n_texts: int
    refused: dict[str, int]
    finish_reasons: dict[str, int]


def resolve_replay(spec: ReplaySpec, base: Path) -> ResolvedReplay:
    """Find a recording and check its columns.

    Args:
        spec: The recipe's section.
        base: Folder that relative paths start from (the recipe's own).

    Raises:
        SourceError: It is not there, not readable, or has other columns.
    """
    place = find_place(spec.hub, spec.path, base, spec.config, spec.split, spec.revision)
    for use, paths in _column_paths(spec).items():
        for path in paths:
            require_column(path, place.columns, place.dataset, f"replay column of {use}")
    named = [path for paths in _column_paths(spec).values() for path in paths]
    columns = top_level(named, place.columns)
    ranges = cut_ranges(place.ranges, None)
    return ResolvedReplay(spec, place.dataset, place.revision, columns, ranges)


def partition_recordings(replay: ResolvedReplay, n_shards: int, out: AnyPath) -> RecordingCounts:
    """Write ``recordings-00000.parquet`` ... to a folder, one file a shard.

    Rows are sorted by problem key and, within it, in file order. Memory holds one shard.

    Raises:
        SourceError: The recording cannot be read to the end.
    """
    out.mkdir(parents=True, exist_ok=True)
    with worked_on_here(out) as here:
        return _partition(replay, n_shards, out, _Spill(here, n_shards))


def _partition(
    replay: ResolvedReplay, n_shards: int, out: AnyPath, spill: _Spill
) -> RecordingCounts:
    refused: Counter[str] = Counter()
    n_records = n_ended = 0
    try:
        for records in replay.ranges:
            for _, record in stream_records(records, replay.columns):
                n_records += 1
                for item in _recorded_texts(replay.spec, record, refused):
                    n_ended += item["ended"] is True
                    spill.add(item)
        spill.flush()
        reasons, firsts = Counter[str](), Counter[int]()
        for shard in range(n_shards):
            found = _finish(spill.read(shard), replay.spec, keeps_end=n_ended > 0)
            rows = _count(found, reasons, firsts)
            write_records(recordings_path(out, shard), rows, Recording, row_group_size=ROW_GROUP)
    finally:
        spill.remove()
    return RecordingCounts(
        n_records, firsts[0], reasons.total(), dict(refused), dict(sorted(reasons.items()))
    )


def _count(
    rows: Iterable[Recording], reasons: Counter[str], firsts: Counter[int]
) -> Iterator[Recording]:
    """Pass a shard's rows on, sorted by problem, and count how they ended and the problems."""
    for key, members in groupby(rows, key=lambda row: row.problem_key):
        firsts[0] += bool(key)
        for row in members:
            reasons[row.finish_reason] += 1
            yield row


def recordings_path(folder: AnyPath, shard: int) -> AnyPath:
    """Return the file of one shard."""
    return folder / f"recordings-{shard:05d}.parquet"


class ReplaySampler:
    """Answers the requests of one shard's questions from its recordings.

    Args:
        path: A file that ``partition_recordings`` wrote.
        identity: The model that wrote the recording.
    """

    def __init__(self, path: AnyPath, identity: ModelIdentity) -> None:
        self._identity = identity
        self._file = pq.ParquetFile(path if isinstance(path, Path) else path.open())
        groups = range(self._file.num_row_groups)
        self._last_keys = [self._key_range(group)[1] for group in groups]
        self._group = lru_cache(maxsize=CACHED_GROUPS)(self._read_group)

    @property
    def identity(self) -> ModelIdentity:
        """The model that wrote the recording."""
        return self._identity

    async def count(self, question_id: str) -> int:
        """Return how many trajectories are recorded for a question."""
        return len(self._find(question_id[:17]))

    async def sample(self, request: SampleRequest) -> list[Completion]:
        """Return the first ``request.n`` recorded trajectories; unknown token counts are 0.

        Raises:
            RequestRefused: ``not_recorded``: fewer are recorded.
            SamplerError: The request continues a text, which a recording cannot.
        """
        if request.prefix:
            raise SamplerError(f"{request.question_id}: a recording cannot continue a text")
        rows = self._find(request.question_id[:17])
        if len(rows) < request.n:
            raise RequestRefused(
                "not_recorded",
                f"{request.question_id} has {len(rows)} recorded trajectories,"
                f" {request.n} were asked for; set replay.n to what there is",
            )
        return [
            Completion(
                index=row.index,
                text=row.text,
                finish_reason=row.finish_reason,
                n_prompt_tokens=0,
                n_completion_tokens=row.n_tokens or 0,
                seed=request.seed + row.index,
                label=row.label,
            )
            for row in rows[: request.n]
        ]

    async def close(self) -> None:
        """Close the shard's file."""
        self._group.cache_clear()
        self._file.close(force=True)

    def _find(self, key: str) -> list[Recording]:
        rows: list[Recording] = []
        for group in range(bisect_left(self._last_keys, key), self._file.num_row_groups):
            found = [row for row in self._group(group) if row.problem_key == key]
            if not found and rows:
                break
            rows += found
            if self._last_keys[group] > key:
                break
        return rows

    def _key_range(self, group: int) -> tuple[str, str]:
        statistics = self._file.metadata.row_group(group).column(0).statistics
        return statistics.min, statistics.max

    def _read_group(self, group: int) -> list[Recording]:
        rows = self._file.read_row_group(group, use_threads=False).to_pylist()
        return [Recording.model_validate(row) for row in rows]


# One record


def _column_paths(spec: ReplaySpec) -> dict[str, tuple[str, ...]]:
    columns = spec.columns
    return {
        "problem": (columns.problem,),
        "texts": _as_paths(columns.texts),
        "labels": _as_paths(columns.labels),
        "n_tokens": _as_paths(columns.n_tokens),
        "finish_reasons": _as_paths(columns.finish_reasons),
    }


def _as_paths(paths: str | Sequence[str] | None) -> tuple[str, ...]:
    if paths is None:
        return ()
    return (paths,) if isinstance(paths, str) else tuple(paths)


def _recorded_texts(
    spec: ReplaySpec, record: Mapping[str, Any] | BadRecord, refused: Counter[str]
) -> Iterator[dict[str, Any]]:
    if isinstance(record, BadRecord):
        refused[record.reason] += 1
        return
    problem = as_text(look_up(record, spec.columns.problem))
    if problem is not None and spec.problem_between is not None:
        problem = cut_between(problem, spec.problem_between)
    if not problem:
        refused["missing_field"] += 1
        return
    try:
        key = problem_key(repair_text(problem).text.strip())  # as the question's own id is made
    except SchemaError as refusal:
        refused[refusal.reason] += 1
        return
    paths = _column_paths(spec)
    texts = _cells(record, paths["texts"])
    labels, tokens, reasons = (
        _parallel(record, paths[use], len(texts), use, refused)
        for use in ("labels", "n_tokens", "finish_reasons")
    )
    for text, label, n_tokens, reason in zip(texts, labels, tokens, reasons, strict=True):
        if not isinstance(text, str):
            refused["no_text"] += 1
            continue
        yield {
            "key": key,
            "text": clean_text(text, spec),
            "label": _as_label(label),
            "n_tokens": _as_count(n_tokens),
            "reason": reason if isinstance(reason, str) and reason else None,
            "ended": text.rstrip().endswith(spec.text_drop) if spec.text_drop else None,
        }


def clean_text(text: str, spec: ReplaySpec) -> str:
    """Return a recorded text as a sampler would have returned it."""
    if spec.text_from is not None and spec.text_from in text:
        text = text[text.index(spec.text_from) :]
    for dropped in spec.text_drop:
        text = text.replace(dropped, "")
    return (spec.text_prefix + text).encode("utf-8", "replace").decode("utf-8")


def _cells(record: Mapping[str, Any], paths: tuple[str, ...]) -> list[Any]:
    cells: list[Any] = []
    for path in paths:
        value = look_up(record, path)
        cells += value if isinstance(value, list) else [value]
    return cells


def _parallel(
    record: Mapping[str, Any], paths: tuple[str, ...], n: int, use: str, refused: Counter[str]
) -> list[Any]:
    if not paths:
        return [None] * n
    cells = _cells(record, paths)
    if len(cells) != n:
        refused[f"{use}_not_parallel"] += 1
        return [None] * n
    return cells


def _as_label(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return bool(value > 0.5) if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= MAX_COUNT  # false for NaN


def _as_count(value: Any) -> int | None:
    return int(value) if _is_number(value) and value >= 0 and value is not True else None


# One shard


class _Spill:
    """Recorded texts on their way to their shards, on disk beyond a few megabytes."""

    def __init__(self, folder: Path, n_shards: int) -> None:
        self._folder = folder
        self._n_shards = n_shards
        self._lines: dict[int, list[str]] = {}
        self._n_characters = 0
        self.remove()

    def add(self, item: dict[str, Any]) -> None:
        line = json.dumps(item)
        self._lines.setdefault(shard_of(item["key"], self._n_shards), []).append(line)
        self._n_characters += len(line)
        if self._n_characters > BUFFER_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        for shard, lines in self._lines.items():
            with self._path(shard).open("a", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in lines)
        self._lines.clear()
        self._n_characters = 0

    def read(self, shard: int) -> list[dict[str, Any]]:
        path = self._path(shard)
        if not path.exists():
            return []
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def remove(self) -> None:
        for path in self._folder.glob(".recordings-*.jsonl"):
            path.unlink()

    def _path(self, shard: int) -> Path:
        return self._folder / f".recordings-{shard:05d}.jsonl"


def _finish(items: list[dict[str, Any]], spec: ReplaySpec, keeps_end: bool) -> Iterator[Recording]:
    items.sort(key=lambda item: item["key"])
    for key, group in groupby(items, key=lambda item: str(item["key"])):
        for index, item in enumerate(group):
            yield Recording(
                problem_key=key,
                index=index,
                text=item["text"],
                label=item["label"],
                n_tokens=item["n_tokens"],
                finish_reason=_finish_reason(item, spec.max_tokens, keeps_end),
            )


def _finish_reason(item: dict[str, Any], max_tokens: int | None, keeps_end: bool) -> str:
    if item["reason"] is not None:
        return str(item["reason"])
    if keeps_end:
        return "stop" if item["ended"] else "length"
    if max_tokens is None or item["n_tokens"] is None:
        return "unknown"
    return "length" if item["n_tokens"] >= max_tokens else "stop"
