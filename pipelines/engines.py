"""What a build samples with, as data that can be sent to workers, and opened there.

Either a served model (an endpoint that the driver started or was given), or recorded trajectories
partitioned into the shards of the questions, or the cache alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from butwait.pipelines.cache import Cache
from butwait.pipelines.places import AnyPath
from butwait.pipelines.replay import ReplaySampler, recordings_path
from butwait.pipelines.sampling.engine import Endpoint, make_sampler
from butwait.schemas.question import Question
from butwait.schemas.sampling import ModelIdentity, Sampler

if TYPE_CHECKING:
    from butwait.pipelines.sampling.steps import Steps
    from butwait.pipelines.scoring.cached import CachedScorer
    from butwait.pipelines.scoring.engine import ScorerEndpoint
    from butwait.pipelines.search.question import SearchPlan
    from butwait.pipelines.search.searcher import Searcher


@dataclass(frozen=True)
class Engine:
    """One of: ``endpoint``, ``recordings`` (a folder of shards), or neither: cache only."""

    identity: ModelIdentity
    endpoint: Endpoint | None = None
    recordings: AnyPath | None = None
    n_replayed: int | None = None
    """Samples a question to replay; None: all that are recorded."""
    scorer: ScorerEndpoint | None = None
    """Reward model of the search; None: there is none, or the cache alone answers."""


def key_of(question_id: str) -> str:
    """Return the part of a question's id that depends on the problem alone."""
    return question_id[:17]


def n_replayed(n_recorded: int, most: int | None) -> int:
    """Return how many samples a replay asks of a question.

    At least one, so that a question without a recording is refused by name.
    """
    return max(1, n_recorded if most is None else min(n_recorded, most))


class OpenEngine:
    """An engine opened in a worker; one connection for all blocks, one recording a shard."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sampler: Sampler | None = None
        self._scorer: CachedScorer | None = None
        self._replays: dict[int, ReplaySampler] = {}

    def sampler(self, shard: int) -> Sampler | None:
        """Return the sampler for one question shard; None where the cache alone answers."""
        if self._engine.recordings is not None:
            return self._replay(shard)
        if self._sampler is None and self._engine.endpoint is not None:
            self._sampler = make_sampler(self._engine.endpoint)
        return self._sampler

    def searcher(self, plan: SearchPlan, cache: Cache) -> Searcher:
        """Return who searches; without an endpoint, who searches in the cache."""
        from butwait.pipelines.cached import CachedSampler
        from butwait.pipelines.sampling.batches import BatchClient
        from butwait.pipelines.sampling.steps import SeededSteps, StepSampler
        from butwait.pipelines.sampling.vllm_client import VllmClient
        from butwait.pipelines.scoring.cached import CachedScorer
        from butwait.pipelines.scoring.engine import make_scorer
        from butwait.pipelines.search.searcher import Searcher

        sampler, identity = self.sampler(0), self._engine.identity
        steps: Steps
        if identity.engine.startswith("transformers"):
            steps = SeededSteps(CachedSampler(sampler, cache, identity))
        else:
            assert sampler is None or isinstance(sampler, VllmClient)
            client = BatchClient(sampler) if sampler is not None else None
            steps = StepSampler(client, cache, identity)
        inner = make_scorer(self._engine.scorer) if self._engine.scorer is not None else None
        self._scorer = None
        if plan.prm is not None and plan.scorer is not None:
            self._scorer = CachedScorer(inner, cache, plan.scorer, plan.prm)
        return Searcher(plan, steps, self._scorer)

    async def n_samples(self, question: Question, shard: int) -> int | None:
        """Return how many samples a recording gives; None: the recipe's number."""
        if self._engine.recordings is None:
            return None
        return n_replayed(await self._replay(shard).count(question.id), self._engine.n_replayed)

    async def close(self) -> None:
        """Close what was opened."""
        if self._scorer is not None:
            await self._scorer.close()
        if self._sampler is not None:
            await self._sampler.close()
        self._replays.clear()

    def _replay(self, shard: int) -> ReplaySampler:
        assert self._engine.recordings is not None
        if shard not in self._replays:
            # Blocks come shard by shard: the one before is not needed again.
            self._replays.clear()
            path = recordings_path(self._engine.recordings, shard)
            self._replays[shard] = ReplaySampler(path, self._engine.identity)
        return self._replays[shard]
