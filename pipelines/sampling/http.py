"""Ask a server over HTTP until there is an answer, a refusal, or no attempt left.

What fails in passing (408, 429 with its ``Retry-After``, 5xx, a broken connection, a stall, cut
JSON) is asked again after a pause. Left out: what is asked and how a reply is read, which is the
caller's, and how many requests are open at once.
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
from butwait.pipelines.sampling.wire import read_refusal, shorten
from butwait.schemas.errors import RequestRefused

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


class Asker:
    """Requests to one server; outlives event loops, has connections in the running one.

    Args:
        url: Base URL without ``/v1``.
        patience: Time limit and retries.
        api_key: Sent as a bearer token, never shown.
        find_death: Says how a server that we run died, or None; asked around every attempt.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: Patience = Patience(),
        api_key: str | None = None,
        find_death: Callable[[], str | None] = report_no_death,
    ) -> None:
        self._url = url
        self._timeout_s = patience.request_timeout_s
        self._n_retries = patience.n_retries
        self._pause_s = patience.pause_s
        self._api_key = api_key
        self._find_death = find_death
        self._gone: str | None = None
        self._jitter = random.Random(url)
        self._loop: asyncio.AbstractEventLoop | None = None

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
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers=authorize(self._api_key),
            timeout=httpx.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=not is_loopback(self._url),
            verify=self._url.startswith("https"),  # reading certificates takes 50 ms, once a loop
        )

    async def ask(self, path: str, payload: dict[str, Any], read: Callable[[object], T]) -> T:
        """Ask until there is an answer, a refusal, or no attempt left.

        Args:
            path: Endpoint below the base URL.
            payload: Sent as JSON.
            read: Reads the parsed reply; a ``bad_reply`` that it raises is worth another attempt.

        Raises:
            RequestRefused: This request has no answer; others may have.
            ServerGone: The server is dead; so is every further request.
        """
        self._open()
        for attempt in range(self._n_retries + 1):
            self.check()
            try:
                return await self._attempt(path, payload, read)
            except _Passing as failure:
                self.check()
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

    def check(self) -> None:
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
