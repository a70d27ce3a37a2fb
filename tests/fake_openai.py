"""A small real HTTP server that speaks vLLM's API without a model.

Texts come from ``answer(payload, sample_index)`` (``payload["prompt"]`` is the rendered text also
where the client sent token ids or messages); the default text is derived from prompt and seed, as
real samples are, and differs from sample to sample where no seed was sent. A list of prompts is
answered in its order, ``n`` samples each, all with the one seed of the request. A token is a word
with the white space before it. ``faults`` are used up one a request; so 429, 500, a reset, cut
JSON, a missing choice, an empty text and a stall can be had when needed, and ``choose_fault`` draws
them by request. ``freeze`` lets ``/health`` be fine while no token moves, ``die`` closes the
listener and every connection, and opens them again on the same port.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Answer = Callable[[dict[str, Any], int], str]
Fault = Literal[
    "429", "400", "401", "500", "503", "reset", "cut", "fewer", "stall", "abort", "empty", "hollow"
]
"""``empty``: a choice without text and tokens. ``hollow``: one that has lost its text alone."""
BOS = "<|bos|>"
_UNSEEDED = count(1)
"""Stands for what an engine draws where it was sent no seed."""
_PIECE = re.compile(r"<\|\w+\|>|\s*[^\s<]+|\s*<|\s+")


def tell_random_story(payload: dict[str, Any], index: int) -> str:
    """Write a text that depends on prompt and seed + index only, as a sampled one does."""
    seed = payload.get("seed")
    drawn = next(_UNSEEDED) if seed is None else seed + index
    name = f"{payload['prompt']}\0{drawn}"
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    words = " ".join(f"w{byte}" for byte in digest[:5])
    return f"{words}.\n\nThe answer is \\boxed{{{digest[5] % 20}}}."


class FakeOpenAI:
    """The server, running in a thread.

    Args:
        answer: Writes the text of a sample; the default repeats for the same prompt and seed.
        model: Name that it serves.
        max_model_len: Context in tokens (words).
        api_key: Bearer token to ask for, if any.
        delay_s: Time a request takes.
        bos: Put before raw prompts, as some tokenizers do.
    """

    def __init__(
        self,
        answer: Answer = tell_random_story,
        *,
        model: str = "fake/model",
        max_model_len: int = 4096,
        api_key: str | None = None,
        delay_s: float = 0.0,
        bos: bool = False,
    ) -> None:
        self.answer = answer
        self.model = model
        self.max_model_len = max_model_len
        self.api_key = api_key
        self.delay_s = delay_s
        self.bos = bos
        self.faults: deque[Fault] = deque()
        self.choose_fault: Callable[[dict[str, Any]], Fault | None] = lambda payload: None
        self.retry_after = "0"
        self.stall_s = 5.0
        self.is_frozen = False
        self.has_metrics = False
        self.n_tokens = 0
        self.payloads: list[dict[str, Any]] = []
        """Every request for completions that was answered or failed, in order."""
        self.n_completions = 0
        self.n_in_flight = 0
        self.most_in_flight = 0
        self.url = ""
        self._lock = threading.Lock()
        self._is_over = False
        self._ids: dict[str, int] = {}
        self._pieces: list[str] = []

    @property
    def n_requests(self) -> int:
        """Requests for completions, failed ones too."""
        return len(self.payloads)

    @contextmanager
    def running(self) -> Iterator[FakeOpenAI]:
        """Serve on a free port of 127.0.0.1 until the block ends."""
        self.start(0)
        try:
            yield self
        finally:
            with self._lock:
                self._is_over = True
                self._stop()

    def die(self, back_after_s: float, model: str | None = None) -> None:
        """Close the listener and all connections, and come back on the same port.

        Args:
            back_after_s: Seconds until then.
            model: What it serves from then on; default: the same.
        """
        with self._lock:
            self._stop()
        time.sleep(back_after_s)
        self.is_frozen = False
        self.model = model or self.model
        with self._lock:
            if not self._is_over:
                self.start(int(self.url.rsplit(":", 1)[1]))

    def start(self, port: int) -> None:
        """Listen on a port and serve in a thread; 0: a free one."""
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(self._app(), log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        serve = self._server.run
        self._thread = threading.Thread(target=serve, args=([self._listener],), daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self._listener.close()

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/version", self._version),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._models),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/v1/completions", self._complete, methods=["POST"]),
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
            ]
        )

    async def _health(self, request: Request) -> Response:
        return Response()

    async def _version(self, request: Request) -> Response:
        return JSONResponse({"version": "0.0-fake"})

    async def _metrics(self, request: Request) -> Response:
        if not self.has_metrics:
            return refuse(404, "Not Found")
        return Response(f'vllm:generation_tokens_total{{engine="0"}} {float(self.n_tokens)}\n')

    async def _models(self, request: Request) -> Response:
        if not self._is_let_in(request):
            return refuse(401, "Unauthorized")
        entry = {"id": self.model, "root": self.model, "max_model_len": self.max_model_len}
        return JSONResponse({"object": "list", "data": [{**entry, "owned_by": "vllm"}]})

    async def _tokenize(self, request: Request) -> Response:
        body = await request.json()
        if "messages" in body:
            tokens = self._encode(render(body["messages"]))
        else:
            tokens = self._encode(self._add_bos(body, body["prompt"]))
        strings = [self._pieces[token] for token in tokens]
        return JSONResponse({"count": len(tokens), "tokens": tokens, "token_strs": strings})

    async def _complete(self, request: Request) -> Response:
        payload = await request.json()
        payload["prompt"] = self._read_prompt(payload)
        self.payloads.append(payload)
        self.n_in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.n_in_flight)
        try:
            await asyncio.sleep(self.delay_s)
            while self.is_frozen:
                await asyncio.sleep(0.02)
            return await self._respond(request, payload)
        finally:
            self.n_in_flight -= 1

    async def _respond(self, request: Request, payload: dict[str, Any]) -> Response:
        fault = self.faults.popleft() if self.faults else self.choose_fault(payload)
        if (failed := await self._fail(request, fault)) is not None:
            return failed
        if payload.get("model") != self.model:
            return refuse(404, f"The model `{payload.get('model')}` does not exist.")
        prompts = payload["prompt"]
        prompts = prompts if isinstance(prompts, list) else [prompts]
        n_prompt = max(len(self._encode(prompt)) for prompt in prompts)
        if n_prompt >= self.max_model_len or payload["max_tokens"] > self.max_model_len:
            limit = f"This model's maximum context length is {self.max_model_len} tokens."
            return refuse(400, limit)
        choices = [
            self._choose({**payload, "prompt": prompt}, index)
            for prompt in prompts
            for index in range(payload.get("n") or 1)
        ]
        for place, choice in enumerate(choices):
            choice["index"] = place
        if fault == "fewer":
            choices.pop()
        if fault == "abort":
            choices[0]["finish_reason"] = "abort"
        if fault in ("empty", "hollow"):
            spoken = {"message": {"content": None}} if "messages" in payload else {"text": ""}
            choices[-1] |= spoken | ({"token_ids": []} if fault == "empty" else {})
        self.n_completions += len(choices)
        n_tokens = sum(len(choice["token_ids"]) for choice in choices)
        self.n_tokens += n_tokens
        usage = {"prompt_tokens": n_prompt, "completion_tokens": n_tokens}
        response = JSONResponse({"choices": choices, "usage": usage, "model": self.model})
        if fault == "cut":
            return Response(response.body[: len(response.body) // 2], media_type="application/json")
        return response

    async def _fail(self, request: Request, fault: Fault | None) -> Response | None:
        """Answer as a fault has it that shows before any text is looked at; None: go on."""
        if not self._is_let_in(request):
            return refuse(401, f"Unauthorized {request.headers.get('authorization')}")
        if fault in ("429", "400", "401", "500", "503"):
            headers = {"Retry-After": self.retry_after} if fault == "429" else {}
            return refuse(int(fault), f"fault {fault}", headers)
        if fault == "reset":
            return _Reset()
        if fault == "stall":
            await asyncio.sleep(self.stall_s)
        return None

    def _choose(self, payload: dict[str, Any], index: int) -> dict[str, Any]:
        """Cut an answer at its first stop string and at the token limit."""
        text = " eight" if is_probe(payload) else self.answer(payload, index)
        stop_reason = None
        for stop in payload.get("stop") or []:
            if stop in text:
                text, stop_reason = text[: text.index(stop)], stop
        tokens = self._encode(text)
        reason = "stop"
        if len(tokens) > payload["max_tokens"]:
            tokens, stop_reason, reason = tokens[: payload["max_tokens"]], None, "length"
            text = "".join(self._pieces[token] for token in tokens)
        has_logprobs = payload.get("logprobs") is not None and "messages" not in payload
        spoken = {"message": {"role": "assistant", "content": text}}
        return {
            "index": index,
            **(spoken if "messages" in payload else {"text": text}),
            "finish_reason": reason,
            "stop_reason": stop_reason,
            "token_ids": tokens + self._encode(stop_reason or "") or self._encode("<|end|>"),
            **({"logprobs": {"token_logprobs": [-0.5] * len(tokens)}} if has_logprobs else {}),
        }

    def _read_prompt(self, payload: dict[str, Any]) -> Any:
        if "messages" in payload:
            return render(payload["messages"])
        prompt = payload["prompt"]
        if isinstance(prompt, str):
            return self._add_bos(payload, prompt)
        if not isinstance(prompt[0], int):
            return [self._read_prompt({**payload, "prompt": one}) for one in prompt]
        return "".join(self._pieces[token] for token in prompt)

    def _add_bos(self, payload: dict[str, Any], prompt: str) -> str:
        return BOS + prompt if self.bos and payload.get("add_special_tokens", True) else prompt

    def _encode(self, text: str) -> list[int]:
        pieces = _PIECE.findall(text)
        for piece in pieces:
            if piece not in self._ids:
                self._ids[piece] = len(self._pieces)
                self._pieces.append(piece)
        return [self._ids[piece] for piece in pieces]

    def _is_let_in(self, request: Request) -> bool:
        return self.api_key in (None, request.headers.get("authorization", "")[len("Bearer ") :])


class _Reset(Response):
    """A connection that breaks in the middle of the headers."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionResetError("as the test asked")


def is_probe(payload: dict[str, Any]) -> bool:
    """Tell whether a request is a client's look at whether tokens move."""
    return str(payload["prompt"]).removeprefix(BOS).startswith("One and one are two, ")


def render(messages: list[dict[str, str]]) -> str:
    """Render a chat up to where the assistant speaks."""
    said = "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in messages)
    return f"{said}<|assistant|>"


def refuse(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with an error as vLLM writes it."""
    error = {"message": message, "type": "Error", "code": status}
    return JSONResponse({"error": error}, status, headers)
