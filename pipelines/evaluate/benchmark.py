"""A benchmark's problems, all of them: the denominators of every score come from here.

A build drops what it cannot use. A benchmark drops nothing: a row without a readable problem, a
problem that stands twice, or another number of problems than the recipe says is refused, and a
problem whose answer the verifier cannot read is kept, named, and counts as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.pipelines.benchmarks import is_wanted, resolve_benchmark_path
from butwait.pipelines.sources import ResolvedSource, plan_pieces, read_raw, resolve_source
from butwait.schemas.benchmark import BenchmarkSpec
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import SourceError
from butwait.schemas.question import Question
from butwait.transforms.answers import last_boxed
from butwait.transforms.encoding import repair_text
from butwait.transforms.problem_text import question_id
from butwait.transforms.questions import RawRow, make_question
from butwait.transforms.verify import verify

_FATAL = ("missing_field", "empty", "bad_encoding", "malformed_json", "too_long")
"""Refusals without which there is no problem to ask."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that was read."""

    spec: BenchmarkSpec
    source: ResolvedSource
    questions: tuple[Question, ...]
    """All K problems, in the benchmark's order."""
    unusable: tuple[str, ...]
    """Ids of problems whose answer the verifier cannot read."""


def read_benchmark(spec: BenchmarkSpec, base: Path) -> Benchmark:
    """Read and check a benchmark.

    Args:
        spec: The recipe's section.
        base: Folder that relative paths start from.

    Raises:
        SourceError: It cannot be read, lacks a column or a problem, has duplicates, or has another
            number of problems than it must have.
    """
    source = resolve_source(_locate(spec), base)
    _check_columns(spec, source)
    questions: list[Question] = []
    for raw, record in _rows(source, spec):
        if is_wanted(record, spec.only):
            questions.append(_keep(spec, raw))
    _check_problems(spec, source, questions)
    unusable = [q.id for q in questions if not _is_gradable(q)]
    return Benchmark(spec, source, tuple(questions), tuple(unusable))


def _locate(spec: BenchmarkSpec) -> BenchmarkSpec:
    """Write a path inside the package out."""
    return spec.model_copy(update={"path": resolve_benchmark_path(spec)})


def _rows(
    source: ResolvedSource, spec: BenchmarkSpec
) -> Iterator[tuple[RawRow | DeadLetter, Mapping[str, Any]]]:
    for piece in plan_pieces(source):
        yield from read_raw(piece, tuple(spec.only))


def _check_columns(spec: BenchmarkSpec, source: ResolvedSource) -> None:
    if source.layout.answer is None and source.layout.solution is None:
        raise SourceError(
            f"benchmark {spec.name}: no column with answers; name it, e.g. "
            f"columns: {{problem: {source.layout.problem}, answer: ...}}"
        )


def _keep(spec: BenchmarkSpec, raw: RawRow | DeadLetter) -> Question:
    """Make a question of any row that has a problem.

    Raises:
        SourceError: It has none.
    """
    if isinstance(raw, DeadLetter):
        raise SourceError(
            f"benchmark {spec.name}, row {raw.row}: {raw.reason} ({raw.detail}); every row must "
            "hold a problem"
        )
    found = make_question(raw)
    if isinstance(found, Question):
        return found.model_copy(update={"id": question_id(found.problem, spec.name)})
    if found.reason in _FATAL or raw.problem is None:
        return _keep(spec, found)
    problem = repair_text(raw.problem).text.strip()
    box = last_boxed(raw.solution or "")
    return Question(
        id=question_id(problem, spec.name),
        problem=problem,
        gold=raw.answer or (box.text if box else ""),
        gold_canonical="",
        gold_from="column" if raw.answer else "boxed",
        solution=raw.solution,
        source=raw.source,
        dataset=raw.dataset,
        revision=raw.revision,
        licence=raw.licence,
        row=raw.row,
        r1_derived=raw.r1_derived,
    )


def _check_problems(spec: BenchmarkSpec, source: ResolvedSource, questions: list[Question]) -> None:
    rows: dict[str, int] = {}
    for question in questions:
        first = rows.setdefault(question.id, question.row)
        if first != question.row:
            raise SourceError(
                f"benchmark {spec.name}: rows {first} and {question.row} are the same problem, "
                "which would count twice; remove one, and set n_problems"
            )
    if not questions:
        raise SourceError(f"benchmark {spec.name} has no problems in {source.dataset}")
    if spec.n_problems is not None and len(questions) != spec.n_problems:
        raise SourceError(
            f"benchmark {spec.name} has {len(questions)} problems in {source.dataset}, and must "
            f"have {spec.n_problems}; if this edition is meant, give it another name with "
            f"n_problems: {len(questions)}"
        )


def _is_gradable(question: Question) -> bool:
    probe = verify(question.gold, "\\boxed{0}", problem=question.problem)
    return probe.verdict != "gold_unusable"
