"""Steps for a search: from the cache where it has them, else from the engine; failures one by one.

Where a plain sampler refuses a request as a whole, a search goes on with the samples that came
back: a refusal stands in the place of its own sample.
"""

from __future__ import annotations

from typing import Protocol

from butwait.pipelines.cache import CompletionCache, completion_keys, describe_request
from butwait.pipelines.cached import NotCached
from butwait.pipelines.sampling.batches import BatchClient
from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import Completion, ModelIdentity, Sampler, SampleRequest

Grown = Completion | RequestRefused


class Steps(Protocol):
    """Who grows steps for a search."""

    @property
    def identity(self) -> ModelIdentity:
        """Which weights grow them."""
        ...

    async def grow(self, request: SampleRequest) -> list[Grown]:
        """Answer with ``request.n`` samples in index order, each a completion or its refusal.

        Raises:
            NotCached: There is no engine and a sample is missing.
            SamplerError: The engine is gone.
        """
        ...


class StepSampler:
    """Implements ``Steps`` with a batching client; requests carry no seed.

    Args:
        engine: A batching client of a vLLM server, or None to answer from the cache alone.
        cache: Where finished samples are kept; None: nowhere.
        identity: The engine's identity (part of every key).
    """

    def __init__(
        self, engine: BatchClient | None, cache: CompletionCache | None, identity: ModelIdentity
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._identity = identity
        self.n_hits = 0

    @property
    def identity(self) -> ModelIdentity:
        """Which weights grow steps."""
        return self._identity

    async def grow(self, request: SampleRequest) -> list[Grown]:
        """Answer from the cache, the rest from the engine; stored before it is returned."""
        request = request.model_copy(update={"is_seeded": False, "with_tokens": True})
        keys = completion_keys(self._identity, request)
        known = self._cache.get(keys) if self._cache is not None else {}
        answers: dict[int, Grown] = {i: known[key] for i, key in enumerate(keys) if key in known}
        missing = [i for i in range(request.n) if i not in answers]
        self.n_hits += len(answers)
        if missing:
            if self._engine is None:
                raise NotCached(f"{len(missing)} steps of {request.question_id} are not cached")
            fresh = await self._engine.sample_each(request, missing)
            answers.update(zip(missing, fresh, strict=True))
            done = {c.index: c for c in fresh if isinstance(c, Completion)}
            if done and self._cache is not None:
                asked = describe_request(self._identity, request, self._engine.identity.engine)
                self._cache.put({keys[i]: c for i, c in done.items()}, asked)
        # The index belongs to this request: another may have stored the same sample.
        return [_number(answers[i], i) for i in range(request.n)]


class SeededSteps:
    """Implements ``Steps`` with an engine that takes one prompt and one seed a request.

    Args:
        sampler: The engine with its cache; what it refuses is refused for all copies.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    @property
    def identity(self) -> ModelIdentity:
        """Which weights grow steps."""
        return self._sampler.identity

    async def grow(self, request: SampleRequest) -> list[Grown]:
        """Ask for all samples of one prompt together."""
        try:
            return [*await self._sampler.sample(request)]
        except RequestRefused as refusal:
            return [refusal] * request.n


def _number(answer: Grown, index: int) -> Grown:
    if isinstance(answer, RequestRefused) or answer.index == index:
        return answer
    return answer.model_copy(update={"index": index})
