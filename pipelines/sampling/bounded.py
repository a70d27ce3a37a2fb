"""Replies of a server that may be of any size, cut off where no honest one can be.

Bodies are counted while they arrive. A compressed one is refused, because its size says nothing;
clients ask for none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import aiohttp
import httpx

MAX_REPLY_BYTES = 128 << 20
"""Ten times what 64 samples of 16,384 tokens take with their token ids."""
NO_COMPRESSION = {"Accept-Encoding": "identity"}


class HugeReply(httpx.TransportError, aiohttp.ClientError):
    """A reply that is larger than any honest one, or compressed."""


class _Stream(httpx.SyncByteStream):
    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._inner, httpx.SyncByteStream)
        n_bytes = 0
        for part in self._inner:
            n_bytes += len(part)
            _check(n_bytes)
            yield part

    def close(self) -> None:
        assert isinstance(self._inner, httpx.SyncByteStream)
        self._inner.close()


def bound(response: httpx.Response) -> None:
    """Limit what will be read of a reply; a response hook of a client.

    Raises:
        HugeReply: It is compressed, or says that it is too large.
    """
    _check_headers(response.headers)
    response.stream = _Stream(response.stream)


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read a reply whole.

    Raises:
        HugeReply: It is compressed or too large.
    """
    _check_headers(response.headers)
    parts: list[bytes] = []
    n_bytes = 0
    async for part in response.content.iter_any():
        n_bytes += len(part)
        _check(n_bytes)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_headers(headers: Mapping[str, str]) -> None:
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise HugeReply(f"the server sends a reply in {encoding[:20]!r}, which was not asked for")
    said = headers.get("content-length", "")
    _check(int(said) if said.isascii() and said.isdigit() and len(said) < 20 else 0)


def _check(n_bytes: int) -> None:
    if n_bytes > MAX_REPLY_BYTES:
        raise HugeReply(f"a reply of more than {MAX_REPLY_BYTES >> 20} MiB")
