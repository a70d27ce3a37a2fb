"""The build: four stages in a row, each skipped when it is whole, and the files beside them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from butwait.pipelines.cache import SqliteCache
from butwait.pipelines.fingerprints import stage_fingerprints
from butwait.pipelines.manifest import make_manifest, write_manifest
from butwait.pipelines.open_engines import FreshEngines
from butwait.pipelines.recipe_file import dump_recipe
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
    out: Path
    """Folder of run folders."""
    cache: Path
    """Completion cache file."""
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
    resolved = resolve(recipe, options.base)
    run = RunFolder(options.out / recipe.name)
    # Whatever cannot be opened is found before anything is read or sampled.
    SqliteCache(options.cache).close()
    with run.held():
        was_run = _run_stages(_Build(recipe, options, resolved, run))
        # Missing though all is whole: a build was killed between its last stage and this line.
        if was_run or not (run.root / "manifest.json").is_file():
            write_manifest(run, make_manifest(run, recipe, resolved, begun))
    return run


def _run_stages(build: _Build) -> bool:
    """Run every stage that is not whole, and all after it; return whether any was run."""
    run, options = build.run, build.options
    try:
        write_text(run.root / "recipe.yaml", dump_recipe(build.recipe))
    except OSError as error:
        raise ConfigError(f"run folder {run.root} cannot be written: {error}") from error
    prints = stage_fingerprints(build.recipe, build.resolved)
    makers = {
        "questions": build.questions,
        "trajectories": build.trajectories,
        "rows": build.rows,
        "card": build.card,
    }
    if options.from_stage is not None:
        for stage in STAGES[STAGES.index(options.from_stage) :]:
            run.clear(stage)
    anew = False
    for stage in STAGES:
        if anew or not _is_whole(run, stage, prints[stage], options):
            makers[stage](prints[stage])
            anew = True
    return anew


def _is_whole(run: RunFolder, stage: str, print_: str, options: BuildOptions) -> bool:
    if stage == "trajectories" and (n_blocks := forget_passing_failures(run)):
        options.say(f"trajectories: {n_blocks} blocks with failed requests are asked again")
        return False
    record = run.record(stage)
    if record is None:
        return False
    if record.fingerprint != print_:
        options.say(f"{stage}: the recipe or its inputs changed, so this stage is made anew")
        return False
    counts = ", ".join(f"{count} {name}" for name, count in record.counts.items())
    options.say(f"{stage}: whole, kept ({counts})")
    return True


@dataclass(frozen=True)
class _Build:
    """One build's parts, shared by its stages."""

    recipe: Recipe
    options: BuildOptions
    resolved: Resolved
    run: RunFolder

    def questions(self, print_: str) -> None:
        sources = self.resolved.sources
        plan = QuestionsPlan(
            run=self.run,
            n_shards=self.recipe.shards,
            block_size=self.recipe.block_size,
            datasets=tuple(source.dataset for source in sources),
        )
        make_questions(plan, sources, print_, self.options.runner, self.options.beam_options)

    def trajectories(self, print_: str) -> None:
        options = self.options
        stage = SampleStage(
            recipe=self.recipe,
            resolved=self.resolved,
            run=self.run,
            cache=options.cache,
            runner=options.runner,
            beam_options=options.beam_options,
            say=options.say,
            engines=FreshEngines(
                options.base, self.run.logs, say=options.say, api_key=options.api_key
            ),
        )
        stage.make(print_)

    def rows(self, print_: str) -> None:
        plan = RowsPlan(
            run=self.run,
            configs=tuple(self.recipe.rows.ordered()),
            context=self.resolved.row_context,
            n_shards=self.recipe.shards,
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
