"""Steps for a search: from the cache where it has them, else from the engine; failures one by one.

Where a plain sampler refuses a request as a whole, a search goes on with the samples that came
back: a refusal stands in the place of its own sample.
"""

from __future__ import annotations

import asyncio

from butwait.pipelines.cache import CompletionCache, completion_keys
from butwait.pipelines.cached import NotCached
from butwait.pipelines.sampling.batches import BatchClient
from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import Completion, ModelIdentity, Sampler, SampleRequest

Grown = Completion | RequestRefused


class StepSampler:
    """Grows steps.

    Args:
        engine: A batching client of a vLLM server; any other sampler, whose requests are seeded;
            or None to answer from the cache alone.
        cache: Where finished samples are kept; None: nowhere.
        identity: The engine's identity (part of every key).
        is_seeded: Whether the engine takes a seed a request (it then has one prompt each).
    """

    def __init__(
        self,
        engine: BatchClient | Sampler | None,
        cache: CompletionCache | None,
        identity: ModelIdentity,
        *,
        is_seeded: bool = False,
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._is_seeded = is_seeded
        self.identity = identity
        self.n_hits = 0

    async def grow(self, request: SampleRequest) -> list[Grown]:
        """Answer with ``request.n`` samples in index order, each a completion or its refusal.

        Raises:
            NotCached: There is no engine and a sample is missing.
            SamplerError: The engine is gone.
        """
        request = request.model_copy(update={"is_seeded": self._is_seeded, "with_tokens": True})
        keys = completion_keys(self.identity, request)
        known = self._cache.get(keys) if self._cache is not None else {}
        missing = [i for i, key in enumerate(keys) if key not in known]
        self.n_hits += request.n - len(missing)
        if missing and self._engine is None:
            raise NotCached(f"{len(missing)} steps of {request.question_id} are not cached")
        fresh = await self._ask(request, missing)
        done = {keys[i]: c for i, c in fresh.items() if isinstance(c, Completion)}
        if done and self._cache is not None:
            self._cache.put(done)
        answers: list[Grown] = []
        for i, key in enumerate(keys):
            answer: Grown = known[key] if key in known else fresh[i]
            if isinstance(answer, Completion) and answer.index != i:
                answer = answer.model_copy(update={"index": i})
            answers.append(answer)
        return answers

    async def _ask(self, request: SampleRequest, missing: list[int]) -> dict[int, Grown]:
        engine = self._engine
        if not missing or engine is None:
            return {}
        if isinstance(engine, BatchClient):
            answers: list[Grown] = await engine.sample_each(request, missing)
        else:
            asked = (_ask_seeded(engine, request, index) for index in missing)
            answers = list(await asyncio.gather(*asked))
        return dict(zip(missing, answers, strict=True))


async def _ask_seeded(engine: Sampler, request: SampleRequest, index: int) -> Grown:
    """Ask a sampler that takes one prompt and one seed a request."""
    one = request.model_copy(update={"n": 1, "seed": request.seed + index})
    try:
        [completion] = await engine.sample(one)
    except RequestRefused as refusal:
        return refusal
    return completion.model_copy(update={"index": index})
