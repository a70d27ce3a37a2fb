"""The build: four stages in a row, each skipped when it is whole, and the files beside them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from butwait.pipelines.cache import Place, open_cache
from butwait.pipelines.changes import find_starting_point
from butwait.pipelines.contamination import CONTAMINATED, read_checks
from butwait.pipelines.fingerprints import stage_fingerprints
from butwait.pipelines.manifest import make_manifest, write_manifest
from butwait.pipelines.open_engines import FreshEngines
from butwait.pipelines.places import AnyPath, use_options
from butwait.pipelines.recipe_file import dump_recipe
from butwait.pipelines.remote import check_reach, runner_for_sources
from butwait.pipelines.resolve import Resolved, resolve
from butwait.pipelines.run_folder import STAGES, RunFolder
from butwait.pipelines.sample_stage import SampleStage
from butwait.pipelines.stages.audit import AuditPlan, make_ledger
from butwait.pipelines.stages.card import write_card
from butwait.pipelines.stages.questions import QuestionsPlan, make_questions
from butwait.pipelines.stages.rows import RowsPlan, make_all_rows
from butwait.pipelines.stages.trajectories import forget_passing_failures
from butwait.pipelines.tables import write_text
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import Recipe


@dataclass(frozen=True)
class BuildOptions:
    """What a build needs beside its recipe; read from the command line and the environment."""

    base: Path
    """Folder that the recipe's relative paths start from."""
    out: AnyPath
    """Folder of run folders."""
    cache: Place
    """Completion cache."""
    runner: str
    beam_options: tuple[str, ...]
    from_stage: str | None
    """Make this stage and all after it anew."""
    api_key: str | None
    """Key of an attached server; never stored."""
    say: Callable[[str], None]
    """Receives one line for people."""


def build_dataset(recipe: Recipe, options: BuildOptions) -> RunFolder:
    """Build a dataset, or continue one; return its folder.

    Raises:
        ConfigError: A recipe that cannot be built here.
        SourceError: A source that cannot be read.
        SamplerError: A model that cannot be served or does not answer.
    """
    if options.from_stage is not None and options.from_stage not in STAGES:
        raise ConfigError(f"--from {options.from_stage!r}: stages are {', '.join(STAGES)}")
    begun = time.time()
    use_options(options.out, options.beam_options)
    check_reach(recipe, options.out, options.cache, options.runner, options.beam_options)
    resolved = resolve(recipe, options.base)
    run = RunFolder(options.out / recipe.name)
    if (run.root / "cells").is_dir():
        raise ConfigError(
            f"{run.root} is the folder of an evaluation; give the build another name "
            "(--set name=...)"
        )
    # Whatever cannot be opened is found before anything is read or sampled.
    open_cache(options.cache).close()
    with run.held():
        was_run = _run_stages(_Build(recipe, options, resolved, run))
        # Missing though all is whole: a build was killed between its last stage and this line.
        if was_run or not (run.root / "manifest.json").is_file():
            write_manifest(run, make_manifest(run, recipe, resolved, begun))
    return run


def _run_stages(build: _Build) -> bool:
    """Run every stage that is not whole, and all after it; return whether any was run."""
    run, options = build.run, build.options
    prints = stage_fingerprints(build.recipe, build.resolved)
    kept = _look_back(build, prints)
    write_text(run.root / "recipe.yaml", dump_recipe(build.recipe))
    makers = {
        "questions": build.questions,
        "trajectories": build.trajectories,
        "rows": build.rows,
        "card": build.card,
    }
    if options.from_stage is not None:
        for stage in STAGES[STAGES.index(options.from_stage) :]:
            run.clear(stage)
    for stage in STAGES:
        if stage not in kept:
            makers[stage](prints[stage])
    return len(kept) < len(STAGES)


def _look_back(build: _Build, prints: dict[str, str]) -> set[str]:
    """Say what an earlier build left and what changed since; return the stages that are kept."""
    run, say = build.run, build.options.say
    if n_blocks := forget_passing_failures(run):
        say(f"trajectories: {n_blocks} blocks with failed requests are asked again")
    found = find_starting_point(run, build.recipe, build.resolved, prints, build.options.from_stage)
    if found is None:
        return set()
    for line in found.lines():
        say(line)
    return set(found.kept)


@dataclass(frozen=True)
class _Build:
    """One build's parts, shared by its stages."""

    recipe: Recipe
    options: BuildOptions
    resolved: Resolved
    run: RunFolder

    def questions(self, print_: str) -> None:
        sources = self.resolved.sources
        targets, notes = read_checks(self.resolved.checks, self.options.say)
        plan = QuestionsPlan(
            run=self.run,
            n_shards=self.recipe.shards,
            block_size=self.recipe.block_size,
            datasets=tuple(source.dataset for source in sources),
            targets=targets,
            notes=notes,
        )
        runner = runner_for_sources(self.recipe, self.options.runner)
        record = make_questions(plan, sources, print_, runner, self.options.beam_options)
        if removed := record.counts.get(CONTAMINATED):
            self.options.say(
                f"questions: {removed} removed as copies of benchmark problems; see"
                f" {self.run.dead_letters}, reason {CONTAMINATED}"
            )

    def trajectories(self, print_: str) -> None:
        options = self.options
        with self.run.logs() as logs:
            stage = SampleStage(
                recipe=self.recipe,
                resolved=self.resolved,
                run=self.run,
                cache=options.cache,
                runner=options.runner,
                beam_options=options.beam_options,
                say=options.say,
                engines=FreshEngines(options.base, logs, say=options.say, api_key=options.api_key),
            )
            stage.make(print_)

    def rows(self, print_: str) -> None:
        plan = RowsPlan(
            run=self.run,
            configs=tuple(self.recipe.rows.ordered()),
            context=self.resolved.row_context,
            n_shards=self.recipe.shards,
            own=self.resolved.own,
        )
        make_all_rows(plan, print_, self.options.runner, self.options.beam_options)

    def card(self, print_: str) -> None:
        begun = time.monotonic()
        self.run.clear("card")
        self.run.begin("card", print_)
        configs = tuple(name for name, _ in self.recipe.rows.ordered())
        replay = self.recipe.replay
        n_samples = self.recipe.sampling.n if replay is None else replay.n
        ledger = make_ledger(
            AuditPlan(
                self.run,
                configs,
                n_samples,
                has_search=self.recipe.search is not None,
                but_wait=self.resolved.ask.but_wait,
                run_seed=self.resolved.ask.run_seed,
            ),
            self.options.runner,
            self.options.beam_options,
        )
        ledger_path = self.run.root / "ledger.json"
        write_text(ledger_path, ledger.model_dump_json(indent=1))
        manifest = make_manifest(self.run, self.recipe, self.resolved, time.time())
        card = write_card(self.run, manifest, ledger, configs)
        files = {card: 0, ledger_path: 0}
        self.run.finish("card", print_, time.monotonic() - begun, {"files": 2}, files)
