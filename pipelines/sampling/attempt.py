"""One request over one connection: an answer, a refusal, or a failure that may pass.

Left out: what a failure means for the requests beside it (``place.py``) and what is done about it
(``http.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

import httpx

from butwait.pipelines.sampling.bounded import NO_COMPRESSION, HugeReply, bound_later
from butwait.pipelines.sampling.wire import read_refusal, shorten
from butwait.schemas.errors import RequestRefused

T = TypeVar("T")
CONNECT_S = 10.0
Kind = Literal["refused", "broken", "timeout", "status", "busy", "garbage"]
"""``refused``: nobody accepts connections. ``broken``: a connection ended in the middle.
``status``: 5xx. ``busy``: 408, 425, 429. ``garbage``: a reply that cannot be read."""


class PassingError(Exception):
    """A failure that another attempt may cure.

    Args:
        refusal: What the request is told when no attempt is left.
        kind: What was seen.
        after_s: How long the server asks to wait.
    """

    def __init__(self, refusal: RequestRefused, kind: Kind, after_s: float = 0.0) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.kind = kind
        self.after_s = after_s

    @property
    def is_servers(self) -> bool:
        """Whether it tells against the server rather than against one reply."""
        return self.kind in ("refused", "broken", "timeout", "status")


class Connection:
    """Connections to one server, of the running event loop.

    Args:
        url: Base URL without ``/v1``.
        timeout_s: Longest wait for one reply.
        api_key: Sent as a bearer token, never shown.
    """

    def __init__(self, url: str, timeout_s: float, api_key: str | None) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._limits: set[asyncio.Timeout] = set()
        self._dropped: dict[asyncio.Timeout, str] = {}
        self.http = httpx.AsyncClient(
            base_url=url,
            headers=authorize(api_key) | NO_COMPRESSION,
            event_hooks={"response": [bound_later]},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=not is_loopback(url),
            verify=url.startswith("https"),  # reading certificates takes 50 ms, once a loop
        )

    @property
    def n_open(self) -> int:
        """Requests that wait for their reply."""
        return len(self._limits)

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    def drop(self, why: str) -> None:
        """End every open request as one that ran out of time."""
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                self._dropped[limit] = why
                limit.reschedule(now)

    async def ask(self, path: str, payload: dict[str, Any], read: Callable[[object], T]) -> T:
        """Ask once.

        Raises:
            RequestRefused: The server says no.
            PassingError: Something that another attempt may cure.
        """
        # httpx limits the wait for each piece; a reply that trickles needs a limit of its own.
        limit = asyncio.timeout(self._timeout_s)
        self._limits.add(limit)
        try:
            async with limit:
                response = await self.http.post(path, json=payload)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            refusal = RequestRefused("unreachable", f"no connection to {self.url} ({error})")
            raise PassingError(refusal, "refused") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            why = self._dropped.get(limit) or f"no reply within {self._timeout_s:g} s"
            raise PassingError(RequestRefused("timeout", why), "timeout") from error
        except HugeReply as error:
            raise PassingError(RequestRefused("bad_reply", str(error)), "garbage") from error
        except httpx.TransportError as error:
            refusal = RequestRefused("unreachable", f"{type(error).__name__} {error}".strip())
            raise PassingError(refusal, "broken") from error
        finally:
            self._limits.discard(limit)
            self._dropped.pop(limit, None)
        return self._read(response, read)

    def _read(self, response: httpx.Response, read: Callable[[object], T]) -> T:
        try:
            parsed: object = response.json()
        except (ValueError, RecursionError) as error:  # the second: nested too deep
            if response.status_code == 200:
                refusal = RequestRefused("bad_reply", f"no JSON: {shorten(response.text, 120)!r}")
                raise PassingError(refusal, "garbage") from error
            parsed = None
        if response.status_code != 200:
            raise self._refuse(response, parsed)
        try:
            return read(parsed)
        except RequestRefused as refusal:
            if refusal.reason == "bad_reply":
                raise PassingError(refusal, "garbage") from refusal
            raise

    def _refuse(self, response: httpx.Response, parsed: object) -> RequestRefused | PassingError:
        body = self._hide(response.text)
        refusal = read_refusal(response.status_code, body, _hide_in(parsed, self._hide))
        if refusal.reason != "server_error":
            return refusal
        kind: Kind = "status" if response.status_code >= 500 else "busy"
        return PassingError(refusal, kind, after_s=read_retry_after(response))

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
