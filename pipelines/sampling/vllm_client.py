"""A sampler over vLLM's OpenAI-compatible API: one client a process, many requests at once.

Chat requests go to ``/v1/chat/completions``, raw prompts to ``/v1/completions``. A chat request
with a prefix is rendered by the server's ``/tokenize`` (messages and generation prompt), the
prefix's tokens follow, and the whole is sent as token ids. ``continue_final_message`` would be one
call, but it treats the prefix as a finished message: templates that trim lose its last blank line,
templates that drop old thinking refuse it, and the ``<think>`` that a generation prompt opens is
missing. Left out: streaming, logprobs, servers other than vLLM.
"""

from __future__ import annotations

import asyncio
from typing import Any

from butwait.pipelines.sampling.http import Asker
from butwait.pipelines.sampling.tokens import ServerTokens
from butwait.pipelines.sampling.wire import (
    is_hollow,
    read_completions,
    write_messages,
    write_sampling,
)
from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest


class VllmClient:
    """Implements ``Sampler``.

    Args:
        asker: Asks the server.
        served_name: Model name to send.
        identity: Which weights the server has.
        bos: Text of the beginning-of-text token that the server puts before a raw prompt; left off
            where the prompt brings its own (the server does not notice a second one).
        context: Tokens of prompt and answer together, as the server says; 0: not told.
        max_in_flight: Requests held open at once.
    """

    def __init__(
        self,
        asker: Asker,
        served_name: str,
        identity: ModelIdentity,
        *,
        bos: str = "",
        context: int = 0,
        max_in_flight: int = 64,
    ) -> None:
        self.asker = asker
        self._model = served_name
        self._tokens = ServerTokens(asker, served_name)
        self._identity = identity
        self.bos = bos
        self._context = context
        self._max_in_flight = max_in_flight
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def identity(self) -> ModelIdentity:
        """Which weights answer."""
        return self._identity

    @property
    def served_name(self) -> str:
        """Model name that is sent."""
        return self._model

    async def sample(self, request: SampleRequest) -> list[Completion]:
        """Answer with exactly ``request.n`` completions in index order.

        Raises:
            RequestRefused: This request has no answer; others may have.
            ServerGone: The server is dead; so is every further request of this client.
        """
        self._open()
        async with self._slots:
            path, payload = await self._write(request)
            try:
                return await self._ask(path, payload, request)
            except RequestRefused as refusal:
                if not request.fits_context or refusal.reason != "context_overflow":
                    raise
                fitted = self.fit(request, len(await self.tokenize(request)))
                if fitted is request:
                    raise  # the prompt alone is too long
                shorter = {**payload, "max_tokens": fitted.parameters.max_tokens}
                return await self._ask(path, shorter, request)

    async def close(self) -> None:
        """Close the connections."""
        await self.asker.close()
        self._loop = None

    def fit(self, request: SampleRequest, n_prompt: int) -> SampleRequest:
        """Return a request that may be shortened with what its prompt leaves of the context."""
        left = self._context - n_prompt
        if not request.fits_context or not 1 <= left < request.parameters.max_tokens:
            return request
        parameters = request.parameters.model_copy(update={"max_tokens": left})
        return request.model_copy(update={"parameters": parameters})

    async def _ask(
        self, path: str, payload: dict[str, Any], request: SampleRequest
    ) -> list[Completion]:
        completions = await self.asker.ask(path, payload, lambda r: read_completions(r, request))
        if any(is_hollow(completion) for completion in completions):
            # Tokens without a text. The seed gives a true sample a second time: believe that one.
            return await self.asker.ask(path, payload, lambda r: read_completions(r, request))
        return completions

    def _open(self) -> None:
        """Have slots that belong to the running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._slots = asyncio.Semaphore(self._max_in_flight)

    async def _write(self, request: SampleRequest) -> tuple[str, dict[str, Any]]:
        """Write path and payload of a request."""
        payload = write_sampling(request, self._model)
        if request.prompt is not None:
            payload["prompt"] = request.prompt + request.prefix
            payload["add_special_tokens"] = not (self.bos and request.prompt.startswith(self.bos))
        elif request.prefix:
            payload["prompt"] = await self.tokenize(request)
        else:
            return "/v1/chat/completions", {**payload, "messages": write_messages(request)}
        return "/v1/completions", payload

    async def tokenize(self, request: SampleRequest) -> tuple[int, ...]:
        """Tokenize a request: up to where the assistant speaks, and what it has said.

        Raises:
            RequestRefused: The server does not tokenize it.
        """
        if request.prompt is not None:
            special = not (self.bos and request.prompt.startswith(self.bos))
            head = await self._tokens.of_text(request.prompt, special=special)
        else:
            head = await self._tokens.of_chat(request.messages or (), speak=True)
        if request.prefix_tokens is not None:
            return head + request.prefix_tokens
        return head + (await self._tokens.of_text(request.prefix) if request.prefix else ())
