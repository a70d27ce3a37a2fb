"""Many unseeded samples of many prompts in one request to vLLM: what a step-wise search needs.

A request with a list of prompts has one seed for all of them, so equal prompts would give equal
texts; without a seed they differ. Reproducibility comes from the completion cache, where a seed
still names each sample. Prompts go as token ids, prefixes as the tokens that were sampled, so that
nothing is tokenized twice and the server's prefix cache finds them. Left out: seeded requests.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
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
from butwait.schemas.sampling import Completion, SampleRequest

MAX_BATCH = 128
"""Samples a request: 64 to 256 were equally fast on two cores, 32 slower (docs/search.md)."""
MAX_IN_FLIGHT = 4
"""Requests open at once: 512 sequences, twice what the CPU build runs together."""
MAX_HEADS = 4096
"""Rendered prompts that are remembered."""
Item = tuple[SampleRequest, int]
"""A request and which of its samples is wanted."""


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
        self._gather: Gather[Item, Completion] = Gather(
            self._send, max_batch=max_batch, max_in_flight=max_in_flight
        )

    async def sample(self, request: SampleRequest, index: int) -> Completion:
        """Answer with one sample of a request.

        Raises:
            RequestRefused: This sample has no answer.
            ServerGone: The server is dead.
        """
        return await self._gather.ask(request.question_id, (request, index))

    async def close(self) -> None:
        """Drop what waits."""
        await self._gather.close()

    async def _send(self, items: list[Item]) -> list[Completion | RequestRefused]:
        """Answer a batch; requests with other parameters travel apart."""
        answers: dict[int, Completion | RequestRefused] = {}
        groups: dict[str, list[int]] = {}
        for place, (request, _) in enumerate(items):
            groups.setdefault(request.parameters.model_dump_json(), []).append(place)
        for places in groups.values():
            part = [items[place] for place in places]
            answers.update(zip(places, await self._send_alike(part), strict=True))
        return [answers[place] for place in range(len(items))]

    async def _send_alike(self, items: Sequence[Item]) -> list[Completion | RequestRefused]:
        prompts: list[tuple[int, ...] | RequestRefused] = [
            await self._prompt(request) for request, _ in items
        ]
        able = [place for place, p in enumerate(prompts) if not isinstance(p, RequestRefused)]
        sent = await self._ask([items[i] for i in able], [prompts[i] for i in able])
        answers: list[Completion | RequestRefused] = [
            p if isinstance(p, RequestRefused) else RequestRefused("bad_reply", "not sent")
            for p in prompts
        ]
        for place, answer in zip(able, sent, strict=True):
            answers[place] = answer
        return answers

    async def _ask(
        self, items: Sequence[Item], prompts: Sequence[Any]
    ) -> list[Completion | RequestRefused]:
        """Ask for all; where the server refuses the list, for each half, down to the guilty one."""
        if not items:
            return []
        payload = write_sampling(items[0][0], self._client.served_name)
        del payload["seed"]
        payload |= {"prompt": [list(p) for p in prompts], "n": 1}
        if items[0][0].with_tokens:
            payload["logprobs"] = 0
        try:
            return list(
                await self._client.asker.ask(
                    "/v1/completions", payload, lambda reply: read_unseeded(reply, items, prompts)
                )
            )
        except RequestRefused as refusal:
            if len(items) == 1:
                return [refusal]
            half = len(items) // 2
            first = await self._ask(items[:half], prompts[:half])
            return first + await self._ask(items[half:], prompts[half:])

    async def _prompt(self, request: SampleRequest) -> tuple[int, ...] | RequestRefused:
        try:
            head = await self._head(request)
            if request.prefix_tokens is not None:
                return head + request.prefix_tokens
            if not request.prefix:
                return head
            return head + await self._tokenize(
                {"prompt": request.prefix, "add_special_tokens": False}
            )
        except RequestRefused as refusal:
            return refusal

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
        return tuple(await self._client.asker.ask("/tokenize", payload, read_token_ids))
