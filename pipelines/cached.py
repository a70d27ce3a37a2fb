"""A sampler with the completion cache below it: asks the engine only for what is missing.

What many requests read or store within a moment is one query and one transaction: a transaction a
sample cost more than the sample's own work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from butwait.pipelines.cache import (
    Asked,
    CompletionCache,
    completion_keys,
    describe_request,
)
from butwait.pipelines.cache.claims import LOOK_S
from butwait.pipelines.moment import Moment
from butwait.schemas.errors import SamplerError
from butwait.schemas.sampling import Completion, ModelIdentity, Sampler, SampleRequest


class NotCached(SamplerError):
    """Asked without an engine for a sample that the cache does not hold."""


PAUSE_S = 0.01
"""How long a finished sample may wait for others to be stored with."""
Stored = tuple[Mapping[str, Completion], Asked]


class SharedCache:
    """A cache that many requests use at the same time.

    Args:
        cache: Where finished samples are kept.
    """

    def __init__(self, cache: CompletionCache) -> None:
        self._cache = cache
        self.claims = cache.claims
        """Claims of builds that share the cache; None where there are none."""
        self._reads: Moment[Sequence[str], dict[str, Completion]] = Moment(self._read)
        self._writes: Moment[Stored, None] = Moment(self._write, pause_s=PAUSE_S)

    async def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Return what is known of ``keys``; of other keys as well."""
        return await self._reads.ask(keys)

    async def put(self, items: Mapping[str, Completion], asked: Asked) -> None:
        """Store completions; they are stored when it returns."""
        await self._writes.ask((items, asked))

    def _read(self, asked: list[Sequence[str]]) -> list[dict[str, Completion]]:
        found = self._cache.get(list(dict.fromkeys(key for keys in asked for key in keys)))
        return [found] * len(asked)

    def _write(self, entries: list[Stored]) -> list[None]:
        self._cache.put_all(entries)
        return [None] * len(entries)


class CachedSampler:
    """Implements ``Sampler``; counts hits and misses.

    Args:
        inner: The engine, or None to answer from the cache alone.
        cache: Where finished samples are kept; shared with other samplers, where it is shared.
        identity: The engine's identity (part of every key).
    """

    def __init__(
        self,
        inner: Sampler | None,
        cache: CompletionCache | SharedCache,
        identity: ModelIdentity,
    ) -> None:
        self._inner = inner
        self._cache = cache if isinstance(cache, SharedCache) else SharedCache(cache)
        self._identity = identity
        self.n_hits = 0
        self.n_misses = 0
        self._n_told = 0

    def take_hits(self) -> int:
        """Return the hits since the last call."""
        new, self._n_told = self.n_hits - self._n_told, self.n_hits
        return new

    @property
    def identity(self) -> ModelIdentity:
        """Which weights answer."""
        return self._identity

    async def sample(self, request: SampleRequest) -> list[Completion]:
        """Answer from the cache, the rest from the engine; stored before it is returned.

        What another build is asking for is waited for, where the cache can tell.

        Raises:
            NotCached: There is no engine and a sample is missing.
            SamplerError: The engine's own.
        """
        keys = completion_keys(self._identity, request)
        known = await self._cache.get(keys)
        answers = {i: known[k] for i, k in enumerate(keys) if k in known}
        n_missing = request.n - len(answers)
        self.n_hits += len(answers)
        if n_missing and self._inner is None:
            raise NotCached(f"{n_missing} samples of {request.question_id} are not cached")
        if n_missing:
            answers |= await self._fill(request, keys, answers)
        # The index belongs to this request: another may have stored the same sample.
        return [_place(answers[i], i) for i in range(request.n)]

    async def _fill(
        self, request: SampleRequest, keys: Sequence[str], known: Mapping[int, Completion]
    ) -> dict[int, Completion]:
        """Ask for what is missing, unless another build brings it."""
        missing = [i for i in range(request.n) if i not in known]
        claims = self._cache.claims
        if claims is None:
            return await self._ask_and_store(request, keys, missing)
        found: dict[int, Completion] = {}
        while not claims.take(keys[missing[0]]):
            await asyncio.sleep(LOOK_S)
            found |= await self._look(keys, missing)
            missing = [i for i in missing if i not in found]
            if not missing:
                return found
        async with claims.held(keys[missing[0]]):
            # Stored between the first look and the claim.
            found |= await self._look(keys, missing)
            missing = [i for i in missing if i not in found]
            return found | await self._ask_and_store(request, keys, missing)

    async def _look(self, keys: Sequence[str], missing: Sequence[int]) -> dict[int, Completion]:
        known = await self._cache.get([keys[i] for i in missing])
        found = {i: known[keys[i]] for i in missing if keys[i] in known}
        self.n_hits += len(found)
        return found

    async def _ask_and_store(
        self, request: SampleRequest, keys: Sequence[str], missing: list[int]
    ) -> dict[int, Completion]:
        answers: dict[int, Completion] = {}
        for first, count in _runs(missing):
            fresh = await self._ask(request, first, count)
            n = first + count
            asked = request if n == request.n else request.model_copy(update={"n": n})
            by = self._inner.identity.engine if self._inner is not None else ""
            await self._cache.put(
                {keys[c.index]: c for c in fresh}, describe_request(self._identity, asked, by)
            )
            answers.update({c.index: c for c in fresh})
        return answers

    async def _ask(self, request: SampleRequest, first: int, count: int) -> list[Completion]:
        """Ask for samples first .. first+count-1; sample i is the one of seed + i."""
        assert self._inner is not None
        part = request
        if (first, count) != (0, request.n):
            part = request.model_copy(update={"n": count, "seed": request.seed + first})
        fresh = await self._inner.sample(part)
        self.n_misses += count
        return [_place(c, c.index + first) for c in fresh]

    async def close(self) -> None:
        """Close the engine; the cache belongs to the caller."""
        if self._inner is not None:
            await self._inner.close()


def _place(completion: Completion, index: int) -> Completion:
    """Give a completion its index."""
    if completion.index == index:
        return completion
    return completion.model_copy(update={"index": index})


def _runs(indices: list[int]) -> list[tuple[int, int]]:
    """Group sorted indices into runs of (first, count)."""
    runs: list[tuple[int, int]] = []
    for i in indices:
        if runs and i == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((i, 1))
    return runs
