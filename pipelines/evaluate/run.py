"""Sample an evaluation, arm by arm; what is whole is kept, so that a second run fills the gaps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from butwait.pipelines.cache import Place, open_cache
from butwait.pipelines.evaluate.arms import (
    Arm,
    list_arms,
    record_arm,
    resolve_run,
    runs_of,
)
from butwait.pipelines.evaluate.benchmark import Benchmark, read_benchmark
from butwait.pipelines.evaluate.cells import ArmRun, make_cells
from butwait.pipelines.evaluate.touched import Touched, find_touched
from butwait.pipelines.fingerprints import stage_fingerprints
from butwait.pipelines.manifest import find_commit
from butwait.pipelines.open_engines import Engines, FreshEngines, KeptEngines
from butwait.pipelines.places import remove_tree
from butwait.pipelines.recipe_file import dump_recipe
from butwait.pipelines.resolve import Resolved
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.sample_stage import SampleStage
from butwait.pipelines.stages.trajectories import forget_passing_failures
from butwait.pipelines.tables import count_rows, write_records, write_text
from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_cell import EvalCell
from butwait.schemas.eval_run import ArmRecord, BenchmarkRecord, EvalManifest
from butwait.schemas.question import Question
from butwait.schemas.recipe import Recipe
from butwait.schemas.recipe_eval import EvalRecipe
from butwait.transforms.verify import VERIFIER_VERSION


@dataclass(frozen=True)
class EvalOptions:
    """What an evaluation needs beside its recipe."""

    base: Path
    """Folder that the recipe's relative paths start from."""
    out: Path
    """Folder of run folders."""
    cache: Place
    """Completion cache."""
    runner: str
    beam_options: tuple[str, ...]
    api_key: str | None
    """Key of an attached server; never stored."""
    say: Callable[[str], None]
    """Receives one line for people."""


@dataclass(frozen=True)
class _Planned:
    """An arm with its runs made concrete."""

    arm: Arm
    record: ArmRecord
    runs: list[tuple[Recipe, Resolved]]
    benchmark: Benchmark


def run_evaluation(recipe: EvalRecipe, options: EvalOptions) -> Path:
    """Sample every arm that is not whole; return the run folder.

    Raises:
        ConfigError: A recipe that cannot be run here.
        SourceError: A benchmark that cannot be read, or is not what it must be.
        SamplerError: A model that cannot be served or does not answer.
    """
    benchmarks = {b.name: read_benchmark(b, options.base) for b in recipe.benchmarks}
    planned = _plan(recipe, benchmarks, options.base)
    root = options.out / recipe.name
    run = RunFolder(root)
    old = _read_old(root)
    known = {benchmark.name: benchmark for benchmark in old.benchmarks} if old else {}
    touched = find_touched(recipe, benchmarks, options.base, options.say, known)
    # Whatever cannot be opened is found before anything is sampled.
    open_cache(options.cache).close()
    with run.held():
        _begin(root, recipe, planned, [_record(root, b, *touched) for b in benchmarks.values()])
        fresh = FreshEngines(options.base, root / "logs", say=options.say, api_key=options.api_key)
        with KeptEngines(fresh) as engines:
            for number, plan in enumerate(planned, 1):
                _run_arm(plan, root, engines, options, f"{number}/{len(planned)}")
        remove_tree(run.status)
    return root


def _plan(recipe: EvalRecipe, benchmarks: dict[str, Benchmark], base: Path) -> list[_Planned]:
    sizes = {name: len(benchmark.questions) for name, benchmark in benchmarks.items()}
    planned = []
    for arm in list_arms(recipe, sizes):
        benchmark = benchmarks[arm.benchmark]
        runs = [(r, resolve_run(r, benchmark, base)) for r in runs_of(arm, recipe)]
        record = record_arm(arm, recipe, runs, recipe.models[0].name)
        planned.append(_Planned(arm, record, runs, benchmark))
    return planned


def _begin(
    root: Path,
    recipe: EvalRecipe,
    planned: Sequence[_Planned],
    benchmarks: Sequence[BenchmarkRecord],
) -> None:
    """Write recipe and manifest: what must exist, before any of it does."""
    write_text(root / "recipe.yaml", dump_recipe(recipe))
    manifest = EvalManifest(
        name=recipe.name,
        butwait_version=version("butwait"),
        git_commit=find_commit(),
        begun=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=recipe.seed,
        verifier_version=VERIFIER_VERSION,
        benchmarks=tuple(benchmarks),
        arms=tuple(plan.record for plan in planned),
    )
    write_text(root / "manifest.json", manifest.model_dump_json(indent=1))


def _forget(root: Path, arms: Sequence[ArmRecord], planned: Sequence[_Planned]) -> None:
    """Remove the cells of arms that the recipe now means otherwise."""
    known = {arm.file: arm.fingerprint for arm in arms}
    for plan in planned:
        if known.get(plan.record.file) != plan.record.fingerprint:
            (root / plan.record.file).unlink(missing_ok=True)


def _read_old(root: Path) -> EvalManifest | None:
    """Read what an earlier run of the command left; None where there is none that can be read.

    Raises:
        ConfigError: The folder is that of a build or a training.
    """
    try:
        text = (root / "manifest.json").read_text(encoding="utf-8")
        kind = json.loads(text).get("kind")
    except (OSError, ValueError, AttributeError):
        return None
    if kind != "evaluation":
        raise ConfigError(
            f"{root} is the folder of a build or a training; give the evaluation another name "
            "(--set name=...)"
        )
    try:
        return EvalManifest.model_validate_json(text)
    except ValidationError:
        return None  # of another version: everything is made anew, from the cache


def _record(
    root: Path, benchmark: Benchmark, touched: Touched, checked_against: tuple[str, ...]
) -> BenchmarkRecord:
    """Write a benchmark's problems and describe it."""
    name = benchmark.spec.name
    file = f"benchmarks/{name}.parquet"
    write_records(root / file, benchmark.questions, Question)
    return BenchmarkRecord(
        name=name,
        dataset=benchmark.source.dataset,
        revision=benchmark.source.revision,
        n_problems=len(benchmark.questions),
        file=file,
        unusable=benchmark.unusable,
        touched=touched.get(name, {}),
        checked_against=checked_against,
    )


def _run_arm(
    plan: _Planned, root: Path, engines: Engines, options: EvalOptions, place: str
) -> None:
    """Sample one arm and write its cells; its working folder goes when nothing is missing."""
    file = root / plan.record.file
    n_cells = plan.arm.n_problems * plan.arm.n
    label = f"[{place}] {plan.arm.title}"
    if file.is_file() and count_rows(file) == n_cells:
        options.say(f"{label}: whole, kept ({n_cells} cells)")
        return
    work = root / "work" / plan.arm.work
    done = []
    for number, (recipe, resolved) in enumerate(plan.runs):
        run = RunFolder(work / recipe.name)
        print_ = stage_fingerprints(recipe, resolved)["trajectories"]
        _write_questions(run, plan.benchmark, recipe, print_)
        stage = SampleStage(
            recipe=recipe, resolved=resolved, run=run, cache=options.cache,
            runner=options.runner, beam_options=options.beam_options, say=options.say,
            engines=engines, label=label,
        )  # fmt: skip
        if forget_passing_failures(run) or (
            (record := run.record("trajectories")) is None or record.fingerprint != print_
        ):
            stage.make(print_)
        done.append(ArmRun(plan.arm, plan.record.parameters, resolved, run, number))
    cells = (c for problem in make_cells(done, plan.benchmark.questions) for c in problem)
    n_written = write_records(file, cells, EvalCell)
    if n_written == n_cells:
        shutil.rmtree(work, ignore_errors=True)
    else:
        options.say(
            f"{label}: {n_cells - n_written} of {n_cells} cells are missing; "
            "the same command asks for them again"
        )


def _write_questions(run: RunFolder, benchmark: Benchmark, recipe: Recipe, print_: str) -> None:
    """Put the problems where stage 2 looks for them; what was made of others goes."""
    marker = run.root / "_fingerprint"
    if marker.is_file() and marker.read_text(encoding="utf-8") == print_:
        return
    remove_tree(run.root)
    path = run.stage("questions") / "questions-00000-of-00001.parquet"
    write_records(path, benchmark.questions, Question, row_group_size=recipe.block_size)
    write_text(marker, print_)
