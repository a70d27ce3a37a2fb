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
import random
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.sampling.wire import (
    read_completions,
    read_refusal,
    shorten,
    write_messages,
    write_sampling,
)
from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest

T = TypeVar("T")
MAX_PAUSE_S = 30.0
MAX_RETRY_AFTER_S = 120.0


def report_no_death() -> str | None:
    """Answer for a server that somebody else runs: not known to be dead."""
    return None


@dataclass(frozen=True)
class Patience:
    """How much a client asks at once and how long it bears with a server."""

    max_in_flight: int = 64
    """Requests held open at once."""
    request_timeout_s: float = 900.0
    """Longest wait for one reply."""
    n_retries: int = 5
    """Further attempts after a failure that may pass."""
    pause_s: float = 0.5
    """First pause between attempts; it doubles up to 30 s, less a random part."""


class _Passing(Exception):
    """A failure that another attempt may cure."""

    def __init__(
        self, refusal: RequestRefused, after_s: float = 0.0, no_connection: bool = False
    ) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.after_s = after_s
        self.no_connection = no_connection


class VllmClient:
    """Implements ``Sampler``.

    Args:
        url: Base URL without ``/v1``.
        served_name: Model name to send.
        identity: Which weights the server has.
        bos: Text of the beginning-of-text token that the server puts before a raw prompt; left off
            where the prompt brings its own (the server does not notice a second one).
        patience: Limits and retries.
        api_key: Sent as a bearer token, never shown.
        find_death: Says how a server that we run died, or None; asked around every attempt.
    """

    def __init__(
        self,
        url: str,
        served_name: str,
        identity: ModelIdentity,
        *,
        bos: str = "",
        patience: Patience = Patience(),
        api_key: str | None = None,
        find_death: Callable[[], str | None] = report_no_death,
    ) -> None:
        self._url = url
        self._model = served_name
        self._identity = identity
        self._bos = bos
        self._max_in_flight = patience.max_in_flight
        self._timeout_s = patience.request_timeout_s
        self._n_retries = patience.n_retries
        self._pause_s = patience.pause_s
        self._api_key = api_key
        self._find_death = find_death
        self._gone: str | None = None
        self._jitter = random.Random(url)
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
            return await self._ask(path, payload, lambda reply: read_completions(reply, request))

    async def close(self) -> None:
        """Close the connections."""
        if self._loop is asyncio.get_running_loop():
            await self._http.aclose()
        self._loop = None

    def _open(self) -> None:
        """Open connections that belong to the running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._slots = asyncio.Semaphore(self._max_in_flight)
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers=authorize(self._api_key),
            timeout=httpx.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=not is_loopback(self._url),
        )

    async def _write(self, request: SampleRequest) -> tuple[str, dict[str, Any]]:
        """Write path and payload of a request."""
        payload = write_sampling(request, self._model)
        if request.prompt is not None:
            payload["prompt"] = request.prompt + request.prefix
            payload["add_special_tokens"] = not (self._bos and request.prompt.startswith(self._bos))
        elif request.prefix:
            payload["prompt"] = await self._tokenize_prefixed(request)
        else:
            return "/v1/chat/completions", {**payload, "messages": write_messages(request)}
        return "/v1/completions", payload

    async def _tokenize_prefixed(self, request: SampleRequest) -> list[int]:
        """Tokenize the chat up to where the assistant speaks, and what it has said."""
        chat = {"messages": write_messages(request), "add_generation_prompt": True}
        prefix = {"prompt": request.prefix, "add_special_tokens": False}
        parts = [
            await self._ask("/tokenize", {"model": self._model, **what}, _read_tokens)
            for what in (chat, prefix)
        ]
        return parts[0] + parts[1]

    async def _ask(self, path: str, payload: dict[str, Any], read: Callable[[object], T]) -> T:
        """Ask until there is an answer, a refusal, or no attempt left."""
        for attempt in range(self._n_retries + 1):
            self._check_server()
            try:
                return await self._attempt(path, payload, read)
            except _Passing as failure:
                self._check_server()
                if attempt == self._n_retries:
                    raise self._give_up(failure) from failure
                await asyncio.sleep(self._choose_pause(attempt, failure.after_s))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(self, path: str, payload: dict[str, Any], read: Callable[[object], T]) -> T:
        """Ask once.

        Raises:
            RequestRefused: The server says no.
            _Passing: Something that another attempt may cure.
        """
        try:
            # httpx limits the wait for each piece; a reply that trickles needs a limit of its own.
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.post(path, json=payload)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            refusal = RequestRefused("unreachable", f"no connection to {self._url} ({error})")
            raise _Passing(refusal, no_connection=True) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            refusal = RequestRefused("timeout", f"no reply within {self._timeout_s:g} s")
            raise _Passing(refusal) from error
        except httpx.TransportError as error:
            refusal = RequestRefused("unreachable", f"{type(error).__name__} {error}".strip())
            raise _Passing(refusal) from error
        return self._read(response, read)

    def _read(self, response: httpx.Response, read: Callable[[object], T]) -> T:
        try:
            parsed: object = response.json()
        except ValueError as error:
            if response.status_code == 200:
                refusal = RequestRefused("bad_reply", f"no JSON: {shorten(response.text, 120)!r}")
                raise _Passing(refusal) from error
            parsed = None
        if response.status_code != 200:
            body = self._hide(response.text)
            refusal = read_refusal(response.status_code, body, _hide_in(parsed, self._hide))
            if refusal.reason == "server_error":
                raise _Passing(refusal, after_s=read_retry_after(response))
            raise refusal
        try:
            return read(parsed)
        except RequestRefused as refusal:
            if refusal.reason == "bad_reply":
                raise _Passing(refusal) from refusal
            raise

    def _check_server(self) -> None:
        """Raise ServerGone where the server is known to be dead."""
        self._gone = self._gone or self._find_death()
        if self._gone:
            raise ServerGone(self._gone)

    def _give_up(self, failure: _Passing) -> RequestRefused | ServerGone:
        """Choose the error after the last attempt."""
        if failure.no_connection:
            self._gone = (
                f"nobody answers at {self._url} ({self._n_retries + 1} attempts); is the server "
                "still running? finished questions are kept: start it and run the build again"
            )
            return ServerGone(self._gone)
        return RequestRefused(
            failure.refusal.reason, f"{failure.refusal.detail} ({self._n_retries + 1} attempts)"
        )

    def _choose_pause(self, attempt: int, after_s: float) -> float:
        """Choose seconds to wait: what the server asked for, else doubling with jitter."""
        grown = min(MAX_PAUSE_S, self._pause_s * 2.0**attempt)
        return min(after_s, MAX_RETRY_AFTER_S) + grown * self._jitter.uniform(0.5, 1.0)

    def _hide(self, text: str) -> str:
        """Take the API key out of a server's message."""
        return text.replace(self._api_key, "***") if self._api_key else text


def _hide_in(parsed: object, hide: Callable[[str], str]) -> object:
    """Hide the key in every string of parsed JSON."""
    if isinstance(parsed, str):
        return hide(parsed)
    if isinstance(parsed, dict):
        return {hide(str(key)): _hide_in(value, hide) for key, value in parsed.items()}
    if isinstance(parsed, list):
        return [_hide_in(value, hide) for value in parsed]
    return parsed


def _read_tokens(reply: object) -> list[int]:
    tokens = reply.get("tokens") if isinstance(reply, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise RequestRefused("bad_reply", f"no tokens in {shorten(repr(reply), 120)}")
    return tokens


def authorize(api_key: str | None) -> dict[str, str]:
    """Make the header of an API key."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def is_loopback(url: str) -> bool:
    """Tell whether a URL is of this machine, where no proxy may stand between."""
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")


def read_retry_after(response: httpx.Response) -> float:
    """Read ``Retry-After`` as seconds; 0.0 where it is missing, a date in the past or nonsense."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers.get("date", value))
        return max(0.0, (date - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0
