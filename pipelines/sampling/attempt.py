"""One request over one connection: an answer, a refusal, or a failure that may pass.

Left out: what a failure means for the requests beside it (``place.py``) and what is done about it
(``http.py``).

The connections are aiohttp's: httpx looks at every connection of its pool around every request,
which at 256 in flight cost 16 ms of processor time a request (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import aiohttp

from butwait.pipelines.sampling.bounded import NO_COMPRESSION, HugeReply, read_bounded
from butwait.pipelines.sampling.wire import read_refusal, shorten
from butwait.schemas.errors import RequestRefused

T = TypeVar("T")
CONNECT_S = 10.0
IDLE_S = 4.0
"""How long an idle connection is kept: vLLM closes them after five seconds."""
_write_json = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
Kind = Literal["refused", "gone", "broken", "timeout", "status", "busy", "garbage"]
"""``refused``: nobody accepts connections. ``gone``: the server says that it has no such model.
``broken``: a connection ended in the middle.
``status``: 5xx. ``busy``: 408, 425, 429. ``garbage``: a reply that cannot be read."""


class Reply(NamedTuple):
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")


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
        return self.is_certain or self.kind in ("broken", "timeout", "status")

    @property
    def is_certain(self) -> bool:
        """Whether no second failure is needed to know that the server is away."""
        return self.kind in ("refused", "gone")


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
        self._loop = asyncio.get_running_loop()
        self._http = aiohttp.ClientSession(
            headers=authorize(api_key) | NO_COMPRESSION,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_S, timeout_s)),
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=IDLE_S,
                # Reading certificates takes 50 ms, once a loop.
                ssl=_trust_certificates() if url.startswith("https") else False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=not is_loopback(url),
        )

    @property
    def n_open(self) -> int:
        """Requests that wait for their reply."""
        return len(self._limits)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def abandon(self) -> None:
        """Let go of connections of another event loop, which is closed or will not run again."""
        if self._loop.is_closed():
            await self._http.close()
        else:
            self._http.detach()

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
        limit = asyncio.timeout(self._timeout_s)
        self._limits.add(limit)
        try:
            async with limit:
                reply = await self.fetch(path, payload)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            refusal = RequestRefused("unreachable", f"no connection to {self.url} ({tell(error)})")
            raise PassingError(refusal, "refused") from error
        except TimeoutError as error:
            why = self._dropped.get(limit) or f"no reply within {self._timeout_s:g} s"
            raise PassingError(RequestRefused("timeout", why), "timeout") from error
        except HugeReply as error:
            raise PassingError(RequestRefused("bad_reply", str(error)), "garbage") from error
        except (aiohttp.ClientError, OSError) as error:
            refusal = RequestRefused("unreachable", tell(error))
            raise PassingError(refusal, "broken") from error
        finally:
            self._limits.discard(limit)
            self._dropped.pop(limit, None)
        return self._read(reply, read, str(payload.get("model") or ""))

    async def fetch(self, path: str, payload: Mapping[str, Any] | None = None) -> Reply:
        """Post a payload, or get where there is none; the caller limits the time.

        Raises:
            aiohttp.ClientError: No reply, half of one, or one that is too large.
            OSError: No reply, or half of one.
        """
        place = f"{self.url}{path}"
        if payload is None:
            asked = self._http.get(place, allow_redirects=False)
        else:
            body = _write_json(payload).encode()
            # aiohttp would try a dozen kinds of payload before it took these bytes as they are.
            data = aiohttp.BytesPayload(body, content_type="application/json")
            asked = self._http.post(place, data=data, allow_redirects=False)
        async with asked as response:
            return Reply(response.status, response.headers, await read_bounded(response))

    def _read(self, reply: Reply, read: Callable[[object], T], model: str) -> T:
        try:
            parsed: object = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            if reply.status == 200:
                refusal = RequestRefused("bad_reply", f"no JSON: {shorten(reply.text, 120)!r}")
                raise PassingError(refusal, "garbage") from error
            parsed = None
        if reply.status != 200:
            raise self._refuse(reply, parsed, model)
        try:
            return read(parsed)
        except RequestRefused as refusal:
            if refusal.reason == "bad_reply":
                raise PassingError(refusal, "garbage") from refusal
            raise

    def _refuse(self, reply: Reply, parsed: object, model: str) -> RequestRefused | PassingError:
        body = self._hide(reply.text)
        refusal = read_refusal(reply.status, body, _hide_in(parsed, self._hide))
        if reply.status == HTTPStatus.NOT_FOUND and model and model in reply.text:
            # Another server took its port: the request is as good as before, elsewhere or later.
            return PassingError(refusal, "gone")
        if refusal.reason != "server_error":
            return refusal
        kind: Kind = "status" if reply.status >= 500 else "busy"
        return PassingError(refusal, kind, after_s=read_retry_after(reply))

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


def tell(error: Exception) -> str:
    """Say what became of a connection."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        # The whole has the address twice and says nothing of the reason.
        return f"connection failed: {os.strerror(error.os_error.errno)}"
    return f"{type(error).__name__} {error}".strip()


def _trust_certificates() -> Any:
    """Make the same choice of certificates as the rest of butwait."""
    import httpx

    return httpx.create_ssl_context()


def authorize(api_key: str | None) -> dict[str, str]:
    """Make the header of an API key."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def is_loopback(url: str) -> bool:
    """Tell whether a URL is of this machine, where no proxy may stand between."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def read_retry_after(reply: Reply) -> float:
    """Read ``Retry-After`` as seconds; 0.0 where it is missing, a date in the past or nonsense."""
    value = reply.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
        now = parsedate_to_datetime(reply.headers.get("date", value))
        return max(0.0, (date - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0
