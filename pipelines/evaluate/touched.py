"""Benchmark problems that a model was trained on: every score is printed without them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from butwait.pipelines.benchmarks import ID_COLUMNS
from butwait.pipelines.decontaminate import Piece, check_pieces, count_cores
from butwait.pipelines.evaluate.benchmark import Benchmark
from butwait.pipelines.sources import ResolvedSource, resolve_source
from butwait.schemas.eval_run import BenchmarkRecord
from butwait.schemas.recipe_eval import EvalRecipe
from butwait.schemas.recipe_source import SourceSpec
from butwait.transforms.decontaminate import DETECTOR_VERSION, Hit, Target

Touched = dict[str, dict[str, str]]
"""Evidence by benchmark and problem id."""


def find_touched(
    recipe: EvalRecipe,
    benchmarks: Mapping[str, Benchmark],
    base: Path,
    say: Callable[[str], None],
    known: Mapping[str, BenchmarkRecord],
) -> tuple[Touched, tuple[str, ...]]:
    """Search the benchmarks' problems among all questions that a model was trained on.

    Problems that any model of the recipe has seen are marked for all, so that all scores without
    them are over the same problems.

    Args:
        recipe: Its models' ``trained_on`` say where to look.
        benchmarks: As they were read.
        base: Folder that relative paths start from.
        say: Told what was searched and found.
        known: What an earlier run of the command found, by benchmark; the same files are not
            searched again.

    Returns:
        What was found, and what was searched: dataset, revision and the detector's version.

    Raises:
        SourceError: Training questions that cannot be read.
    """
    specs = list(dict.fromkeys(_freeze(s) for m in recipe.models for s in m.trained_on))
    sources = [resolve_source(SourceSpec.model_validate_json(spec), base) for spec in specs]
    searched = tuple(f"{s.dataset} at {s.revision}, detector {DETECTOR_VERSION}" for s in sources)
    if all(_is_known(known.get(name), b, searched) for name, b in benchmarks.items()):
        return {name: dict(known[name].touched) for name in benchmarks}, searched
    targets = [
        Target(name, question.id, question.problem)
        for name, benchmark in benchmarks.items()
        for question in benchmark.questions
    ]
    touched: Touched = {}
    for source in sources:
        n_questions, hits = _search(source, targets)
        for hit in hits:
            found = touched.setdefault(hit.benchmark, {})
            # The first that was found stands: sources are searched in the recipe's order.
            found.setdefault(hit.benchmark_id, f"{source.dataset} {hit.question_id}: {_say(hit)}")
        n_problems = len({(hit.benchmark, hit.benchmark_id) for hit in hits})
        say(f"{source.dataset}: {n_questions} questions hold {n_problems} benchmark problems")
    return touched, searched


def _is_known(
    record: BenchmarkRecord | None, benchmark: Benchmark, searched: tuple[str, ...]
) -> bool:
    return (
        record is not None
        and record.revision == benchmark.source.revision
        and record.n_problems == len(benchmark.questions)
        and record.checked_against == searched
    )


def _freeze(spec: SourceSpec) -> str:
    return spec.model_dump_json()


def _search(source: ResolvedSource, targets: list[Target]) -> tuple[int, list[Hit]]:
    problem = source.layout.problem
    columns = tuple(dict.fromkeys((*source.columns, *_id_columns(source))))
    pieces = [Piece(records, problem, columns) for records in source.ranges]
    n_questions, hits = 0, []
    for checked in check_pieces(pieces, targets, count_cores()):
        n_questions += checked.n_questions
        hits += checked.hits
    return n_questions, hits


def _id_columns(source: ResolvedSource) -> list[str]:
    return [name for name in ID_COLUMNS if name in source.columns]


def _say(hit: Hit) -> str:
    return f"{hit.kind}, {hit.score:.2f}, {hit.confidence}: {hit.evidence}"[:400]
