"""A scorer with the cache below it: a prefix is scored once, for all runs and all who ask.

Server batches change floating point, so a reward asked for again can differ in its last digits; a
search that is run again from the cache takes the same turns. Left out: errors, which are not kept.
"""

from __future__ import annotations

from functools import partial

from butwait.pipelines.cache import ScoreCache, describe_score, hash_shape
from butwait.pipelines.cached import NotCached
from butwait.pipelines.sampling.once import Once
from butwait.pipelines.scoring.layouts import list_parameters
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import Scorer, ScoreRequest

KEY_VERSION = 1


def score_key(identity: ModelIdentity, prm: PrmSpec, request: ScoreRequest) -> str:
    """Return the key of a prefix: SHA-256 over canonical JSON of all that shapes its rewards.

    What the layout does not read (the policy's prompt, or the bare problem) and the question's id
    are left out.
    """
    shape: dict[str, object] = {
        "version": KEY_VERSION,
        "model": identity.id,
        "revision": identity.revision,
        "engine": identity.engine,
        "parameters": list_parameters(prm),
        "steps": list(request.steps),
    }
    if prm.layout == "self_certainty":
        shape["log_probs"] = request.log_probs
    elif prm.layout in ("likelihood", "density_ratio"):
        messages = request.messages
        shape["messages"] = [m.model_dump() for m in messages] if messages is not None else None
        shape["prompt"] = request.prompt
    else:
        shape["problem"] = request.problem
    return hash_shape(shape)


class CachedScorer:
    """Implements ``Scorer``; counts hits and misses.

    Args:
        inner: The scorer, or None to answer from the cache alone.
        cache: Where rewards are kept.
        identity: The scorer's identity (part of every key).
        prm: Its layout and parameters (part of every key).
    """

    def __init__(
        self, inner: Scorer | None, cache: ScoreCache, identity: ModelIdentity, prm: PrmSpec
    ) -> None:
        self._inner = inner
        self._cache = cache
        self._identity = identity
        self._prm = prm
        self._under_way: Once[str, tuple[float, ...]] = Once(0)
        self.n_hits = 0
        """Requests answered by the cache, or by an equal request that was under way."""
        self.n_misses = 0

    @property
    def identity(self) -> ModelIdentity:
        """Which weights score."""
        return self._identity

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Answer from the cache, else from the scorer; stored before it is returned.

        Raises:
            NotCached: There is no scorer and the prefix is missing.
            SamplerError: The scorer's own.
        """
        key = score_key(self._identity, self._prm, request)
        known = self._cache.get_scores([key])
        if known:
            self.n_hits += 1
            return known[key]
        if self._inner is None:
            what = f"a prefix of {len(request.steps)} steps of {request.question_id}"
            raise NotCached(f"{what} is not scored in the cache")
        self.n_hits += self._under_way.is_under_way(key)
        return await self._under_way.get(key, partial(self._ask, self._inner, key, request))

    async def close(self) -> None:
        """Close the scorer; the cache belongs to the caller."""
        if self._inner is not None:
            await self._inner.close()

    async def _ask(self, inner: Scorer, key: str, request: ScoreRequest) -> tuple[float, ...]:
        self.n_misses += 1
        rewards = await inner.score(request)
        parameters = list_parameters(self._prm)
        asked = describe_score(
            self._identity, parameters, request.question_id, inner.identity.engine
        )
        self._cache.put_scores({key: rewards}, asked)
        return rewards
