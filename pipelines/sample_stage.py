"""Stage 2 of a run: answered from recordings, or from the cache and then by a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from butwait.pipelines.cache import Place, open_cache
from butwait.pipelines.engines import Engine
from butwait.pipelines.open_engines import Engines
from butwait.pipelines.replay import partition_recordings
from butwait.pipelines.resolve import Resolved
from butwait.pipelines.reuse import count_reusable
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.trajectories import (
    TrajectoriesPlan,
    blocks_to_do,
    count_failures,
    finish_trajectories,
    first_failure,
    sample_blocks,
)
from butwait.pipelines.tables import count_rows
from butwait.schemas.errors import SamplerError
from butwait.schemas.recipe import Recipe


@dataclass(frozen=True)
class SampleStage:
    """Everything the stage needs."""

    recipe: Recipe
    resolved: Resolved
    run: RunFolder
    cache: Place
    """Completion cache."""
    runner: str
    beam_options: tuple[str, ...]
    say: Callable[[str], None]
    """Receives one line for people."""
    engines: Engines
    label: str = "trajectories"
    """Names the stage in progress and messages."""

    def make(self, print_: str) -> None:
        """Make the stage and its record.

        Raises:
            SamplerError: A model that cannot be served, or nothing but failures.
        """
        begun = time.monotonic()
        self.run.begin("trajectories", print_)
        engine = self._replay() if self.resolved.replay is not None else self._sample()
        self._report_failures()
        finish_trajectories(self.run, print_, begun, {"engine": engine})

    def _report_failures(self) -> None:
        """Say what failed and why.

        Raises:
            SamplerError: Nothing but failures; the stage stays open.
        """
        reasons = count_failures(self.run)
        if not reasons:
            return
        named = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        parts = (*self.run.trajectory_parts(), *self.run.tree_parts())
        if not any(count_rows(path) for path in parts):
            detail = first_failure(self.run)
            self.run.clear("trajectories")
            raise SamplerError(f"every sample failed ({named}); the first: {detail}")
        self.say(
            f"{self.label}: samples failed, see the ledger ({named}); those that failed for the "
            "server's sake are asked again by the same command"
        )

    def _replay(self) -> str:
        """Partition the recordings like the questions, then answer every block from them."""
        assert self.resolved.replay is not None
        folder = self.run.stage("recordings")
        self.say(f"replay: partitioning {self.resolved.replay.dataset}")
        counts = partition_recordings(self.resolved.replay, self.recipe.shards, folder)
        refused = ", ".join(f"{n} {reason}" for reason, n in counts.refused.items()) or "none"
        self.say(
            f"replay: {counts.n_texts} texts of {counts.n_problems} problems; refused: {refused}"
        )
        assert self.recipe.replay is not None
        engine = Engine(self.resolved.identity, recordings=folder, n_replayed=self.recipe.replay.n)
        self._run_blocks(engine, f"{self.label} (replay)")
        return engine.identity.engine

    def _sample(self) -> str:
        """Take from the cache what it has; start a server only for what is missing.

        Returns:
            The engine with its version, or that the cache alone answered.
        """
        n_blocks = len(blocks_to_do(self.run))
        if self._may_be_cached():
            self._run_blocks(Engine(self.resolved.identity), f"{self.label} (cache)")
        left = len(blocks_to_do(self.run))
        if n_blocks and not left:
            self.say(f"{self.label}: every sample was cached; no model is started")
        if not left:
            return "cache"
        model, search = self.recipe.model, self.resolved.search
        assert model is not None
        prm = search.prm if search is not None else None
        with self.engines.open(model, self.recipe.server, prm) as (endpoint, scorer):
            engine = Engine(self.resolved.identity, endpoint=endpoint, scorer=scorer)
            self._run_blocks(engine, self.label)
            return endpoint.identity.engine

    def _may_be_cached(self) -> bool:
        """Say how much is reused; return whether the cache may answer a block."""
        if not self.resolved.ask.sampling.n:
            return True
        cache = open_cache(self.cache)
        reuse = count_reusable(self.run, cache, self.resolved.identity, self.resolved.ask)
        cache.close()
        if reuse.n_samples:
            ask, search = self.resolved.ask, self.resolved.search
            more = " (what is asked after them is not counted)" * bool(ask.but_wait or search)
            self.say(f"{self.label}: {reuse.describe()}{more}")
        return reuse.n_cached > 0 or reuse.is_estimate

    def _run_blocks(self, engine: Engine, label: str) -> None:
        plan = TrajectoriesPlan(
            run=self.run,
            ask=self.resolved.ask,
            engine=engine,
            cache=self.cache,
            max_in_flight=self.recipe.server.max_in_flight,
            search=self.resolved.search,
        )
        sample_blocks(plan, self.runner, self.beam_options, label)
