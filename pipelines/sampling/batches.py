"""Many unseeded samples of many prompts in one request to vLLM: what a step-wise search needs.

A request with a list of prompts has one seed for all of them, so equal prompts would give equal
texts; without a seed they differ. Reproducibility comes from the completion cache, where a seed
still names each sample. Prompts go as token ids, prefixes as the tokens that were sampled, so that
nothing is tokenized twice and the server's prefix cache finds them. Left out: seeded requests.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from butwait.pipelines.sampling.gather import Gather
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.pipelines.sampling.wire import (
    read_token_ids,
    read_unseeded,
    write_messages,
    write_sampling,
)
from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import Completion, SampleRequest, SamplingParameters

MAX_BATCH = 128
"""Samples a request: 64 to 256 were equally fast on two cores, 32 slower (docs/search.md)."""
MAX_IN_FLIGHT = 4
"""Requests open at once: 512 sequences, twice what the CPU build runs together."""
MAX_TOKENIZING = 8
"""Prompts tokenized at once: hundreds of connections opened together cost more than they win."""
MAX_HEADS = 4096
"""Rendered prompts that are remembered."""


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
        self._heads: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._slots_loop: asyncio.AbstractEventLoop | None = None
        self._gather: Gather[Item, Completion] = Gather(
            self._send, max_batch=max_batch, max_in_flight=max_in_flight
        )

    async def sample_each(
        self, request: SampleRequest, indices: Sequence[int]
    ) -> list[Completion | RequestRefused]:
        """Answer with some samples of a request, each a completion or its refusal, in order.

        Raises:
            ServerGone: The server is dead.
        """
        try:
            prompt = await self._prompt(request)
        except RequestRefused as refusal:
            return [refusal] * len(indices)
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

    async def _ask(self, items: Sequence[Item]) -> list[Completion | RequestRefused]:
        """Ask for all; where the server refuses the list, for each half, down to the guilty one."""
        request = items[0].request
        payload = write_sampling(request, self._client.served_name)
        del payload["seed"]
        payload |= {"prompt": [item.prompt for item in items], "n": 1}
        if request.with_log_probs:
            payload["logprobs"] = 0
        wanted = [(item.request, item.index, len(item.prompt)) for item in items]
        try:
            return [
                *await self._client.asker.ask(
                    "/v1/completions", payload, lambda reply: read_unseeded(reply, wanted)
                )
            ]
        except RequestRefused as refusal:
            if len(items) == 1:
                return [refusal]
            half = len(items) // 2
            return await self._ask(items[:half]) + await self._ask(items[half:])

    async def _prompt(self, request: SampleRequest) -> tuple[int, ...]:
        head = await self._head(request)
        if request.prefix_tokens is not None:
            return head + request.prefix_tokens
        if not request.prefix:
            return head
        return head + await self._tokenize({"prompt": request.prefix, "add_special_tokens": False})

    async def _head(self, request: SampleRequest) -> tuple[int, ...]:
        """Tokens of the prompt up to where the assistant speaks; asked for once a question."""
        key = request.model_dump_json(include={"messages", "prompt"})
        if key not in self._heads:
            self._heads[key] = await self._tokenize(self._write_head(request))
            while len(self._heads) > MAX_HEADS:
                self._heads.popitem(last=False)
        return self._heads[key]

    def _write_head(self, request: SampleRequest) -> dict[str, Any]:
        if request.prompt is None:
            return {"messages": write_messages(request), "add_generation_prompt": True}
        bos = self._client.bos
        brings_its_own = bool(bos) and request.prompt.startswith(bos)
        return {"prompt": request.prompt, "add_special_tokens": not brings_its_own}

    async def _tokenize(self, what: dict[str, Any]) -> tuple[int, ...]:
        payload = {"model": self._client.served_name, **what}
        async with self._slots():
            return tuple(await self._client.asker.ask("/tokenize", payload, read_token_ids))

    def _slots(self) -> asyncio.Semaphore:
        """Return the slots of the running loop."""
        loop = asyncio.get_running_loop()
        if self._slots_loop is not loop:
            self._slots_loop, self._semaphore = loop, asyncio.Semaphore(MAX_TOKENIZING)
        return self._semaphore
