"""Stage 3: transform, render and check rows; then merge them into the published shards.

Two pipelines, because a cap on a share of the rows needs the number of all rows: the first makes
fragments block by block, the second merges the fragments of a shard. Only (id, flow) pairs are
looked at in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa

from butwait.pipelines.failures import reported
from butwait.pipelines.own_transforms import OwnCode, load_own
from butwait.pipelines.places import AnyPath, files_in
from butwait.pipelines.progress import StageProgress, StatusFile
from butwait.pipelines.run_folder import RunFolder, StageRecord
from butwait.pipelines.stages.beam_run import run_pipeline
from butwait.pipelines.tables import (
    count_each,
    published_schema,
    read_columns,
    read_records,
    read_table,
    write_records,
    write_tables,
)
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import (
    ButWaitSpec,
    PreferenceSpec,
    RlSpec,
    RowSpec,
    RowsSpec,
    StepLabelsSpec,
)
from butwait.schemas.record import Record
from butwait.schemas.row import DatasetRow, PreferenceRow, RlRow, SftRow, StepRow
from butwait.schemas.trace import Flow
from butwait.schemas.trajectory import QuestionGroup, Trajectory
from butwait.schemas.tree import SearchTree
from butwait.transforms.apply import make_rows
from butwait.transforms.but_wait import is_within_cap, right_right_threshold
from butwait.transforms.rows import RowContext

OVER_CAP = "over_right_right_cap"


class Considered(Record):
    """What one question gave one configuration: rows, or why there are none."""

    question_id: str
    config: str
    n_rows: int
    """Rows made, those included that were then refused."""
    reason: str | None
    flows: tuple[str, ...]
    """First→final verdicts of all finished chains of continuations, kept or not."""


@dataclass(frozen=True)
class RowsPlan:
    """What the workers of this stage need to know."""

    run: RunFolder
    configs: tuple[tuple[str, RowSpec], ...]
    context: RowContext
    n_shards: int
    own: tuple[OwnCode, ...] = ()


def row_type(spec: RowSpec) -> type[DatasetRow]:
    """Return the row class that a configuration publishes."""
    match spec:
        case RlSpec():
            return RlRow
        case PreferenceSpec():
            return PreferenceRow
        case StepLabelsSpec():
            return StepRow
        case _:
            return SftRow


class MakeRows(beam.DoFn):  # type: ignore[misc]
    """trajectory fragment → row fragments, one a configuration."""

    def __init__(self, plan: RowsPlan) -> None:
        self._plan = plan

    def setup(self) -> None:
        """Open the progress counts."""
        self._status = StatusFile(self._plan.run.status)
        self._context = replace(self._plan.context, own=load_own(self._plan.own))

    def process(self, part: str) -> Iterator[str]:
        """Make all rows of one block of questions."""
        with reported(self._plan.run.status):
            self._make(part)
        yield part

    def _make(self, part: str) -> None:
        run, plan = self._plan.run, self._plan
        rows: dict[str, list[DatasetRow]] = {name: [] for name, _ in plan.configs}
        letters: list[DeadLetter] = []
        considered: list[Considered] = []
        with_trees = RowsSpec(dict(plan.configs)).read_trees
        for question, group in read_groups(run, part, with_trees):
            for name, spec in plan.configs:
                made = make_rows(question, group, name, spec, self._context)
                rows[name].extend(made.rows)
                letters.extend(made.dead_letters)
                considered.append(
                    Considered(
                        question_id=question.id,
                        config=name,
                        n_rows=len(made.rows) + len(made.dead_letters),
                        reason=made.reason,
                        flows=made.flows,
                    )
                )
            self._status.add(questions=1)
        for name, spec in plan.configs:
            file = run.parts("rows") / name / f"{part}.parquet"
            write_records(file, rows[name], row_type(spec))
        if letters:
            write_records(run.dead_letters / f"rows-{part}.parquet", letters, DeadLetter)
        write_records(run.considered / f"rows-{part}.parquet", considered, Considered)
        self._status.write()


class MergeRows(beam.DoFn):  # type: ignore[misc]
    """(configuration, shard) → one published shard, sorted by row id."""

    def __init__(self, plan: RowsPlan, thresholds: dict[str, str]) -> None:
        self._plan = plan
        self._thresholds = thresholds

    def process(self, element: tuple[str, int]) -> Iterator[int]:
        """Merge the fragments of one shard; memory is one fragment's rows."""
        with reported(self._plan.run.status):
            yield self._merge(*element)

    def _merge(self, name: str, shard: int) -> int:
        run, plan = self._plan.run, self._plan
        record = row_type(dict(plan.configs)[name])
        parts = files_in(run.parts("rows") / name, f"part-{shard:05d}-*.parquet")
        threshold = self._thresholds.get(name)
        over: list[DeadLetter] = []

        def keep() -> Iterator[pa.Table]:
            for table in _sorted_tables(parts):
                kept, refused = (table, ()) if threshold is None else _cap(table, threshold)
                over.extend(_over_cap_letter(row) for row in refused)
                yield kept

        file = run.stage("rows") / name / f"train-{shard:05d}-of-{plan.n_shards:05d}.parquet"
        n_rows = write_tables(file, keep(), published_schema(record))
        if over:
            path = run.dead_letters / f"rows-cap-{name}-{shard:05d}.parquet"
            write_records(path, over, DeadLetter)
        return n_rows


def _sorted_tables(parts: Iterable[AnyPath]) -> Iterator[pa.Table]:
    """Yield a shard's rows by id, a fragment in memory at a time.

    A shard's questions are sorted by id and cut into blocks, a fragment is of one block, and a
    row's id begins with its question's: fragments in order need no merging. The rows were checked
    when they were made: here they stay tables.
    """
    last = ""
    for part in parts:
        table = read_table(part).sort_by("id")
        for row_id in table["id"].to_pylist():
            assert last < row_id, f"{part}: {row_id} after {last}"
            last = row_id
        yield table


def read_groups(
    run: RunFolder, part: str, with_trees: bool = False
) -> Iterator[tuple[Question, QuestionGroup]]:
    """Yield every question of a block with its trajectories, in order of the questions.

    Args:
        run: The run.
        part: Stem of the block's fragment.
        with_trees: Whether its search tree is read too; it may be large.
    """
    _, shard, group = part.split("-")
    questions = read_records(run.question_shards()[int(shard)], Question, [int(group)])
    by_question: dict[str, list[Trajectory]] = {}
    for trajectory in read_records(run.stage("trajectories") / f"{part}.parquet", Trajectory):
        by_question.setdefault(trajectory.question_id, []).append(trajectory)
    trees = SearchTrees(run.tree_part(part)) if with_trees else None
    for question in questions:
        members = by_question.get(question.id, [])
        samples = sorted((t for t in members if t.kind == "sample"), key=lambda t: t.sample_index)
        more = sorted(
            (t for t in members if t.kind == "continuation"),
            key=lambda t: (t.step, t.sample_index),
        )
        yield (
            question,
            QuestionGroup(
                question_id=question.id,
                samples=tuple(samples),
                continuations=tuple(more),
                tree=trees.take(question.id) if trees else None,
            ),
        )


class SearchTrees:
    """The trees of one block, read one after the other.

    A tree may hold tens of thousands of nodes. In a file in the order of the questions no more than
    one is held at a time (and its row group); in any other order, those that were passed over.
    """

    def __init__(self, path: AnyPath) -> None:
        self._ids: set[str] = set()
        self._passed: dict[str, SearchTree] = {}
        self._rest: Iterator[SearchTree] = iter(())
        if path.is_file():
            self._ids = {row["question_id"] for row in read_columns(path, ["question_id"])}
            self._rest = read_records(path, SearchTree)

    def take(self, question_id: str) -> SearchTree | None:
        """Return a question's tree, None where it has none; a second time it is gone."""
        if question_id not in self._ids:
            return None
        self._ids.discard(question_id)
        while question_id not in self._passed:
            tree = next(self._rest)
            self._passed[tree.question_id] = tree
        return self._passed.pop(question_id)


def make_all_rows(
    plan: RowsPlan, fingerprint: str, runner: str, options: Sequence[str]
) -> StageRecord:
    """Run stage 3 and return its record."""
    begun = time.monotonic()
    run = plan.run
    run.clear("rows")
    run.begin("rows", fingerprint)
    parts = [path.stem for path in run.trajectory_parts()]
    total = sum(count_each(run.question_shards()).values())

    def make(pipeline: Any) -> None:
        _ = (
            pipeline
            | "Fragments" >> beam.Create(parts, reshuffle=False)
            | "MakeRows" >> beam.ParDo(MakeRows(plan))
        )

    def merge(pipeline: Any) -> None:
        shards = [(name, shard) for name, _ in plan.configs for shard in range(plan.n_shards)]
        _ = (
            pipeline
            | "Shards" >> beam.Create(shards, reshuffle=False)
            | "MergeRows" >> beam.ParDo(MergeRows(plan, _thresholds(plan)))
        )

    with StageProgress("rows", run.status, total, "questions"):
        run_pipeline(make, run.status, runner, options)
    run_pipeline(merge, run.status, runner, options)
    files = count_each([path for name, _ in plan.configs for path in run.row_shards(name)])
    counts = {
        name: sum(n for path, n in files.items() if path.parent.name == name)
        for name, _ in plan.configs
    }
    return run.finish("rows", fingerprint, time.monotonic() - begun, counts, files)


def _thresholds(plan: RowsPlan) -> dict[str, str]:
    """For each capped configuration, the hash below which a right→right row is kept."""
    found: dict[str, str] = {}
    for name, spec in plan.configs:
        if isinstance(spec, ButWaitSpec):
            flows = _flows(files_in(plan.run.parts("rows") / name, "*.parquet"))
            found[name] = right_right_threshold(flows, spec.max_right_right_share)
    return found


def _flows(parts: Iterable[AnyPath]) -> Iterator[tuple[str, Flow | None]]:
    for part in parts:
        for row in read_columns(part, ["id", "flow"]):
            yield row["id"], row["flow"]


def _cap(table: pa.Table, threshold: str) -> tuple[pa.Table, tuple[SftRow, ...]]:
    """Split a fragment into what a cap leaves, and the rows beyond it."""
    pairs = zip(table["id"].to_pylist(), table["flow"].to_pylist(), strict=True)
    kept = [is_within_cap(row_id, flow, threshold) for row_id, flow in pairs]
    over = table.filter(pa.array([not keep for keep in kept], pa.bool_())).to_pylist()
    refused = tuple(SftRow.model_validate(row, strict=False) for row in over)
    return table.filter(pa.array(kept, pa.bool_())), refused


def _over_cap_letter(row: SftRow) -> DeadLetter:
    return DeadLetter(
        stage="rows",
        reason=OVER_CAP,
        detail="right→right beyond the share that the recipe allows (max_right_right_share)",
        item=row.id,
        question_id=row.question_id,
        dataset=row.provenance.dataset,
        row=row.provenance.dataset_row,
        excerpt=row.completion[0].content[:500],
    )
