"""A source spec becomes pieces, and a piece becomes questions and dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from butwait.pipelines.sources.hub import find_hub
from butwait.pipelines.sources.hub_files import find_hub_files, is_address, read_address
from butwait.pipelines.sources.layouts import (
    KNOWN_DATASETS,
    Layout,
    as_text,
    choose_layout,
    cut_between,
    look_up,
    top_level,
)
from butwait.pipelines.sources.local import find_local
from butwait.pipelines.sources.place import BadRecord, Place, RecordRange, cut_ranges
from butwait.pipelines.sources.stream import stream_records
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import SourceError
from butwait.schemas.question import Question
from butwait.schemas.recipe_source import SourceSpec
from butwait.transforms.questions import RawRow, make_question, refuse_row

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """A source that was found and checked: what its rows share, and where they lie."""

    dataset: str
    label: str
    """Source label of rows that carry none."""
    revision: str
    licence: str
    r1_derived: bool
    layout: Layout
    columns: tuple[str, ...]
    """Top-level columns that the layout needs."""
    spec: SourceSpec
    ranges: tuple[RecordRange, ...]


@dataclass(frozen=True, slots=True)
class SourcePiece:
    """One range of one source; small and picklable."""

    source: ResolvedSource
    records: RecordRange


def resolve_source(spec: SourceSpec, base: Path, limit: int | None = None) -> ResolvedSource:
    """Find a source and check everything that can be checked before reading it.

    Args:
        spec: The recipe's section.
        base: Folder that relative paths start from (the recipe's own).
        limit: Read at most this many rows, besides the section's own limit.

    Raises:
        SourceError: One line that says what is missing and what there is.
    """
    place = find_place(spec.hub, spec.path, base, spec.config, spec.split, spec.revision)
    layout = choose_layout(spec, place.columns, place.dataset)
    known = KNOWN_DATASETS.get(place.dataset, (None, None))
    limits = [n for n in (limit, spec.limit) if n is not None]
    return ResolvedSource(
        dataset=place.dataset,
        label=spec.name or place.label,
        revision=place.revision,
        licence=spec.licence or place.licence or known[1] or UNKNOWN_LICENCE,
        r1_derived=_choose_r1(spec, place, layout),
        layout=layout,
        columns=top_level(layout.paths, place.columns),
        spec=spec,
        ranges=cut_ranges(place.ranges, min(limits, default=None)),
    )


def _choose_r1(spec: SourceSpec, place: Place, layout: Layout) -> bool:
    """Return whether solutions derive from DeepSeek-R1: the recipe, else the card, else known."""
    if spec.r1_derived is not None:
        return spec.r1_derived
    return layout.r1_derived if place.r1_derived is None else place.r1_derived


def find_place(
    hub: str | None,
    path: str | None,
    base: Path,
    config: str | None,
    split: str,
    revision: str | None,
) -> Place:
    """Find a dataset on the Hub, files of one (``hf://``), or a local file or folder.

    Raises:
        SourceError: It is not there or cannot be read.
    """
    address = next((text for text in (hub, path) if is_address(text)), None)
    if address is not None:
        asked = read_address(address)
        if asked.revision is not None and revision not in (None, asked.revision):
            raise SourceError(f"{address}: the recipe also says revision {revision!r}; give one")
        asked = replace(asked, revision=asked.revision or revision)
        if asked.path:
            return find_hub_files(asked, split)
        return find_hub(asked.repo, config, split, asked.revision)
    if hub is not None:
        return find_hub(hub, config, split, revision)
    return find_local((base / Path(path or "").expanduser()).resolve(), split)


def plan_pieces(source: ResolvedSource) -> list[SourcePiece]:
    """Return the pieces of a source, in row order; each can be read anywhere."""
    return [SourcePiece(source, records) for records in source.ranges]


def read_piece(piece: SourcePiece) -> Iterator[Question | DeadLetter]:
    """Yield one question or dead letter for every row of a piece, in order.

    Raises:
        SourceError: The file or the Hub cannot be read to the end.
    """
    for raw, _ in read_raw(piece):
        if isinstance(raw, DeadLetter):
            yield raw
        else:
            yield make_question(raw, piece.source.spec.keep)


def read_raw(
    piece: SourcePiece, also: tuple[str, ...] = ()
) -> Iterator[tuple[RawRow | DeadLetter, Mapping[str, Any]]]:
    """Yield the texts of every row before they are judged, with the row as it was read.

    Args:
        piece: One range of a source.
        also: Further columns to read.

    Raises:
        SourceError: The file or the Hub cannot be read to the end.
    """
    columns = tuple(dict.fromkeys((*piece.source.columns, *also)))
    for row, record in stream_records(piece.records, columns):
        read = {} if isinstance(record, BadRecord) else record
        yield _read_record(piece.source, row, record), read


def _read_record(
    source: ResolvedSource, row: int, record: Mapping[str, Any] | BadRecord
) -> RawRow | DeadLetter:
    if isinstance(record, BadRecord):
        raw = _raw_row(source, row, {})
        letter = refuse_row(raw, record.reason, record.detail)
        return letter.model_copy(update={"excerpt": record.excerpt})
    raw = _raw_row(source, row, record)
    spec = source.spec
    if spec.problem_between is not None and raw.problem is not None:
        problem = cut_between(raw.problem, spec.problem_between)
        if problem is None:
            start, end = spec.problem_between
            return refuse_row(raw, "missing_field", f"no problem between {start!r} and {end!r}")
        raw = replace(raw, problem=problem)
    if spec.answer_after is not None and raw.answer is not None:
        _, marker, answer = raw.answer.rpartition(spec.answer_after)
        if not marker:
            detail = f"the answer column has no {spec.answer_after!r}"
            return refuse_row(raw, "no_answer", detail)
        raw = replace(raw, answer=answer)
    return raw


def _raw_row(source: ResolvedSource, row: int, record: Mapping[str, Any]) -> RawRow:
    layout = source.layout

    def text(path: str | None) -> str | None:
        return None if path is None else as_text(look_up(record, path))

    return RawRow(
        dataset=source.dataset,
        revision=source.revision,
        licence=(None if source.spec.licence else text(layout.licence)) or source.licence,
        r1_derived=_is_r1_derived(source, record),
        row=row,
        source=text(layout.source) or source.label,
        problem=text(layout.problem),
        answer=text(layout.answer),
        solution=text(layout.solution),
        question_type=text(layout.question_type),
        problem_is_valid=text(layout.problem_is_valid),
        solution_is_valid=text(layout.solution_is_valid),
    )


def _is_r1_derived(source: ResolvedSource, record: Mapping[str, Any]) -> bool:
    """Return what the row says of itself, unless the recipe says it of all."""
    path = source.layout.row_r1_derived
    if path is None or source.spec.r1_derived is not None:
        return source.r1_derived
    return source.r1_derived if (said := look_up(record, path)) is None else bool(said)
