"""Stage 1: read the sources into question shards without duplicates.

Payloads never go through a shuffle: each reader writes one fragment a shard, and since equal
problems share a shard (their ids begin alike), duplicates are settled shard by shard.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from butwait.pipelines.contamination import CONTAMINATED, refuse_copy
from butwait.pipelines.failures import reported
from butwait.pipelines.places import files_in
from butwait.pipelines.progress import StageProgress, StatusFile
from butwait.pipelines.run_folder import RunFolder, StageRecord
from butwait.pipelines.sources import ResolvedSource, SourcePiece, plan_pieces, read_piece
from butwait.pipelines.stages.beam_run import run_pipeline
from butwait.pipelines.tables import count_each, read_columns, read_records, write_records
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.question import Question
from butwait.transforms.decontaminate import Detector, Target
from butwait.transforms.duplicates import resolve_duplicates
from butwait.transforms.problem_text import shard_of

_FLUSH_AT = 2000
"""Questions a reader holds before it writes them out, so that memory does not grow."""


@dataclass(frozen=True)
class QuestionsPlan:
    """What the workers of this stage need to know."""

    run: RunFolder
    n_shards: int
    block_size: int
    datasets: tuple[str, ...]
    """Names of the sources' datasets in the recipe's order: of duplicates the first stays."""
    targets: tuple[Target, ...] = ()
    """Problems of benchmarks: a question that is a copy of one is refused."""
    notes: dict[str, str] = field(default_factory=dict)
    """What is said of the targets in the stage's record."""


class ReadPiece(beam.DoFn):  # type: ignore[misc]
    """(number, piece) → (shard, fragment name), the fragments written on the way."""

    def __init__(self, plan: QuestionsPlan) -> None:
        self._plan = plan
        self._detector: Detector | None = None

    def setup(self) -> None:
        """Index the benchmarks once a worker."""
        if self._plan.targets:
            self._detector = Detector(self._plan.targets)

    def process(self, element: tuple[int, SourcePiece]) -> Iterator[tuple[int, str]]:
        """Read one piece of a source."""
        number, piece = element
        status = StatusFile(self._plan.run.status)
        held: list[Question] = []
        letters: list[DeadLetter] = []
        n_flush = 0
        with reported(self._plan.run.status):
            for record in map(self._check, read_piece(piece)):
                status.add(rows=1, refused=int(isinstance(record, DeadLetter)))
                if isinstance(record, DeadLetter):
                    letters.append(record)
                else:
                    held.append(record)
                if len(held) + len(letters) >= _FLUSH_AT:
                    yield from self._flush(held, letters, f"{number:05d}-{n_flush:05d}")
                    held, letters, n_flush = [], [], n_flush + 1
        yield from self._flush(held, letters, f"{number:05d}-{n_flush:05d}")
        status.write()

    def _check(self, record: Question | DeadLetter) -> Question | DeadLetter:
        """Refuse a question that is a copy of a benchmark's problem."""
        if self._detector is None or isinstance(record, DeadLetter):
            return record
        hits = self._detector.hits(record.id, record.problem)
        return refuse_copy(record, hits) if hits else record

    def _flush(
        self, questions: list[Question], letters: list[DeadLetter], name: str
    ) -> Iterator[tuple[int, str]]:
        run = self._plan.run
        if letters:
            write_records(run.dead_letters / f"questions-read-{name}.parquet", letters, DeadLetter)
        shards: dict[int, list[Question]] = {}
        for question in questions:
            shards.setdefault(shard_of(question.id, self._plan.n_shards), []).append(question)
        for shard, members in sorted(shards.items()):
            file = f"{shard:05d}-{name}.parquet"
            write_records(run.parts("questions") / file, members, Question)
            yield shard, file


class FinishShard(beam.DoFn):  # type: ignore[misc]
    """(shard, fragment names) → the final shard: duplicates settled, sorted by id."""

    def __init__(self, plan: QuestionsPlan) -> None:
        self._plan = plan

    def process(self, element: tuple[int, Iterable[str]]) -> Iterator[int]:
        """Settle one shard; memory is one shard's questions."""
        with reported(self._plan.run.status):
            yield self._settle(*element)

    def _settle(self, shard: int, names: Iterable[str]) -> int:
        run = self._plan.run
        questions = [
            question
            for name in sorted(set(names) - {""})
            for question in read_records(run.parts("questions") / name, Question)
        ]
        kept, dropped = resolve_duplicates(questions, self._plan.datasets)
        if dropped:
            path = run.dead_letters / f"questions-shard-{shard:05d}.parquet"
            write_records(path, dropped, DeadLetter)
        name = f"questions-{shard:05d}-of-{self._plan.n_shards:05d}.parquet"
        write_records(
            run.stage("questions") / name,
            sorted(kept, key=lambda q: q.id),
            Question,
            row_group_size=self._plan.block_size,
        )
        return len(kept)


def make_questions(
    plan: QuestionsPlan,
    sources: Sequence[ResolvedSource],
    fingerprint: str,
    runner: str,
    options: Sequence[str],
) -> StageRecord:
    """Run stage 1 and return its record."""
    begun = time.monotonic()
    run = plan.run
    run.begin("questions", fingerprint)
    # A half-read source is read again from its start: fragments of another attempt would double.
    run.clear("questions")
    run.begin("questions", fingerprint)
    pieces = list(enumerate(piece for source in sources for piece in plan_pieces(source)))

    def build(pipeline: Any) -> None:
        read = (
            pipeline
            | "Pieces" >> beam.Create(pieces, reshuffle=False)
            | "Read" >> beam.ParDo(ReadPiece(plan))
        )
        every_shard = pipeline | "EveryShard" >> beam.Create(
            [(s, "") for s in range(plan.n_shards)]
        )
        (
            (read, every_shard)
            | "Flatten" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Finish" >> beam.ParDo(FinishShard(plan))
        )

    with StageProgress("questions", run.status, 0, "rows"):
        run_pipeline(build, run.status, runner, options)
    return _finish(plan, fingerprint, time.monotonic() - begun)


def _finish(plan: QuestionsPlan, fingerprint: str, seconds: float) -> StageRecord:
    """Count what the files hold, not what the workers say: a retried bundle counts once."""
    run = plan.run
    files = count_each(run.question_shards())
    fragments = sum(count_each(list(run.parts("questions").glob("*.parquet"))).values())
    letters = files_in(run.dead_letters, "questions-read-*.parquet")
    reasons = [row["reason"] for path in letters for row in read_columns(path, ["reason"])]
    counts = {"read": fragments + len(reasons), "kept": sum(files.values())}
    if plan.targets:
        counts[CONTAMINATED] = reasons.count(CONTAMINATED)
    return run.finish("questions", fingerprint, seconds, counts, files, plan.notes)
