"""Many unseeded samples of many prompts in one request to vLLM: what a step-wise search needs.

A request with a list of prompts has one seed for all of them, so equal prompts would give equal
texts; without a seed they differ. Reproducibility comes from the completion cache, where a seed
still names each sample. Prompts go as token ids, prefixes as the tokens that were sampled, so that
nothing is tokenized twice and the server's prefix cache finds them. Left out: seeded requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from butwait.pipelines.sampling.apart import ask_apart
from butwait.pipelines.sampling.gather import Gather
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.pipelines.sampling.wire import read_unseeded, write_sampling
from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest, SamplingParameters

MAX_BATCH = 128
"""Samples a request: 64 to 256 were equally fast on two cores, 32 slower (docs/search.md)."""
MAX_IN_FLIGHT = 4
"""Requests open at once: 512 sequences, twice what the CPU build runs together."""


@dataclass(frozen=True, slots=True)
class Item:
    """One sample that is wanted."""

    request: SampleRequest
    index: int
    """Which of the request's samples."""
    prompt: tuple[int, ...]
    """Token ids of prompt and prefix."""


class BatchClient:
    """Samples of many questions, gathered into few requests.

    Args:
        client: A client of the server.
        max_batch: Samples a request.
        max_in_flight: Requests open at once.
    """

    def __init__(
        self, client: VllmClient, *, max_batch: int = MAX_BATCH, max_in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        self._client = client
        self._gather: Gather[Item, Completion] = Gather(
            self._send, max_batch=max_batch, max_in_flight=max_in_flight
        )

    @property
    def identity(self) -> ModelIdentity:
        """Which weights the server has."""
        return self._client.identity

    async def sample_each(
        self, request: SampleRequest, indices: Sequence[int]
    ) -> list[Completion | RequestRefused]:
        """Answer with some samples of a request, each a completion or its refusal, in order.

        Raises:
            ServerGone: The server is dead.
        """
        try:
            prompt = await self._client.tokenize(request)
        except RequestRefused as refusal:
            return [refusal] * len(indices)
        request = self._client.fit(request, len(prompt))
        items = [Item(request, index, prompt) for index in indices]
        return list(await asyncio.gather(*map(self._sample, items)))

    async def close(self) -> None:
        """Drop what waits, close the connections."""
        await self._gather.close()
        await self._client.close()

    async def _sample(self, item: Item) -> Completion | RequestRefused:
        try:
            return await self._gather.ask(item.request.question_id, item)
        except RequestRefused as refusal:
            return refusal

    async def _send(self, items: list[Item]) -> list[Completion | RequestRefused]:
        """Answer a batch; samples with other parameters travel apart."""
        groups: dict[tuple[SamplingParameters, bool, bool], list[int]] = {}
        for place, item in enumerate(items):
            wanted = item.request
            key = (wanted.parameters, wanted.with_tokens, wanted.with_log_probs)
            groups.setdefault(key, []).append(place)
        answers: dict[int, Completion | RequestRefused] = {}
        for places in groups.values():
            part = await self._ask([items[place] for place in places])
            answers.update(zip(places, part, strict=True))
        return [answers[place] for place in range(len(items))]

    async def _ask(self, items: list[Item]) -> list[Completion | RequestRefused]:
        """Ask for all; what the server will not answer together is asked for alone, once more."""
        try:
            return await ask_apart(items, self._ask_once, lambda item: item.prompt)
        except RequestRefused as refusal:
            if len(items) == 1:
                return [refusal]
        alone = await asyncio.gather(*(self._ask([item]) for item in items))
        return [answer for [answer] in alone]

    async def _ask_once(self, items: list[Item]) -> list[Completion | RequestRefused]:
        request = items[0].request
        payload = write_sampling(request, self._client.served_name)
        del payload["seed"]
        payload |= {"prompt": [item.prompt for item in items], "n": 1}
        payload["return_token_ids"] = True  # ``usage`` counts the samples of all prompts together
        if request.with_log_probs:
            payload["logprobs"] = 0
        wanted = [(item.request, item.index, len(item.prompt)) for item in items]
        return [
            *await self._client.asker.ask(
                "/v1/completions", payload, lambda reply: read_unseeded(reply, wanted)
            )
        ]
