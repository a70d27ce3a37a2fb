"""A small real HTTP server that speaks vLLM's API of reward models, without a model.

Beside what ``fake_openai`` speaks: ``/detokenize``, ``/pooling``, ``/classify``, and completions
with ``logprob_token_ids`` or ``prompt_logprobs``. Rewards come from ``judge(text)``, a number in
[0, 1] that depends on the text alone; ``spoil`` changes a text's row before it is sent. ``faults``
are used up one a request, as there. Endpoints left out of ``tasks`` are not found.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

from fake_openai import FakeOpenAI, refuse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STEP = "<extra_0>"
Spoil = Callable[[str, Any], Any]


def judge(text: str) -> float:
    """Return a number in [0, 1] that depends on the text alone."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] / 256


def log_odds(text: str) -> float:
    """Return the good mark's log-probability less the bad one's."""
    return 4.0 * judge(text) - 2.0


class FakePrm(FakeOpenAI):
    """The server.

    Args:
        tasks: Endpoints that it has, of ``/pooling``, ``/classify`` and ``/v1/completions``.
        tag: Step token; None where it pools every token.
        more: As for ``FakeOpenAI``.
    """

    def __init__(
        self, tasks: tuple[str, ...] = ("/pooling",), *, tag: str | None = STEP, **more: Any
    ) -> None:
        super().__init__(**more)
        self.tasks = tasks
        self.tag = tag
        self.spoil: Spoil = lambda text, row: row
        self.n_tokenized = 0
        self.n_labels = 1
        self.puts_blanks = False

    def _app(self) -> Starlette:
        routes = [
            Route("/health", self._health),
            Route("/version", self._version),
            Route("/v1/models", self._models),
            Route("/tokenize", self._count_tokenized, methods=["POST"]),
            Route("/detokenize", self._detokenize, methods=["POST"]),
        ]
        routes += [Route(path, self._score, methods=["POST"]) for path in self.tasks]
        return Starlette(routes=routes)

    async def _count_tokenized(self, request: Request) -> Response:
        self.n_tokenized += 1
        body = await request.json()
        if body.get("add_generation_prompt") is False:
            said = "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in body["messages"])
            return JSONResponse({"tokens": self._encode(said)})
        return await self._tokenize(request)

    async def _detokenize(self, request: Request) -> Response:
        tokens = (await request.json())["tokens"]
        blank = " " if self.puts_blanks else ""
        return JSONResponse({"prompt": blank.join(self._pieces[token] for token in tokens)})

    async def _score(self, request: Request) -> Response:
        payload = await request.json()
        given = payload.get("input", payload.get("prompt"))
        special = payload.get("add_special_tokens", True)
        payload["texts"] = [
            "".join(self._pieces[t] for t in one)
            if isinstance(one, list)
            else self._add_bos({"add_special_tokens": special}, one)
            for one in given
        ]
        payload["path"] = request.url.path
        self.payloads.append(payload)
        self.n_in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.n_in_flight)
        try:
            await asyncio.sleep(self.delay_s)
            return await self._reply(request, payload)
        finally:
            self.n_in_flight -= 1

    async def _reply(self, request: Request, payload: dict[str, Any]) -> Response:
        fault = self.faults.popleft() if self.faults else None
        if (failed := await self._fail(request, fault)) is not None:
            return failed
        if any(len(self._encode(text)) > self.max_model_len for text in payload["texts"]):
            limit = f"This model's maximum context length is {self.max_model_len} tokens."
            return refuse(400, limit)
        write = {"/pooling": self._pool, "/classify": self._classify}
        rows = [
            write.get(payload["path"], self._complete_one)(i, text, payload)
            for i, text in enumerate(payload["texts"])
        ]
        if fault == "fewer":
            rows.pop()
        name = "choices" if payload["path"] == "/v1/completions" else "data"
        body = json.dumps({name: rows[::-1], "model": self.model})  # NaN as Python writes it
        return Response(body[: len(body) // 2] if fault == "cut" else body)

    def _pool(self, i: int, text: str, payload: dict[str, Any]) -> dict[str, Any]:
        if self.tag is None:
            ends = self._encode(text)
            row: Any = [[0.5, 0.5] for _ in ends]
        else:
            parts = text.split(self.tag)[:-1]
            heads = [self.tag.join(parts[: k + 1]) for k in range(len(parts))]
            row = [[1 - judge(head), judge(head)] for head in heads]
        return {"index": i, "object": "pooling", "data": self.spoil(text, row)}

    def _classify(self, i: int, text: str, payload: dict[str, Any]) -> dict[str, Any]:
        probs = [judge(text)] if self.n_labels == 1 else [1 - judge(text), judge(text)]
        return {"index": i, "probs": self.spoil(text, probs), "num_classes": self.n_labels}

    def _complete_one(self, i: int, text: str, payload: dict[str, Any]) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": i, "text": "x", "logprobs": None}
        if "logprob_token_ids" in payload:
            good, bad = payload["logprob_token_ids"]
            found = {f"token_id:{good}": -3.0, f"token_id:{bad}": -3.0 - log_odds(text)}
            choice["logprobs"] = {"top_logprobs": [self.spoil(text, found)]}
        if "prompt_logprobs" in payload:
            rows = [
                {str(token): {"logprob": self.find_log_prob(k, token), "rank": 1}}
                for k, token in enumerate(payload["prompt"][i])
            ]
            choice["prompt_logprobs"] = self.spoil(text, [None, *rows[1:]])
        return choice

    def find_log_prob(self, position: int, token: int) -> float:
        """Return a log-probability that depends on place and piece alone."""
        return math.log(0.05 + 0.9 * judge(f"{position} {self._pieces[token]}"))

    def cut(self, text: str) -> list[str]:
        """Cut a text into its pieces."""
        return [self._pieces[token] for token in self._encode(text)]
