"""Replies of a server that may be of any size, cut off where no honest one can be.

Bodies are counted while they arrive. A compressed one is refused, because its size says nothing;
clients ask for none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx

MAX_REPLY_BYTES = 128 << 20
"""Ten times what 64 samples of 16,384 tokens take with their token ids."""
NO_COMPRESSION = {"Accept-Encoding": "identity"}


class HugeReply(httpx.TransportError):
    """A reply that is larger than any honest one, or compressed."""


class _Stream(httpx.AsyncByteStream, httpx.SyncByteStream):
    def __init__(self, inner: object) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._inner, httpx.AsyncByteStream)
        n_bytes = 0
        async for part in self._inner:
            n_bytes += len(part)
            _check(n_bytes)
            yield part

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._inner, httpx.SyncByteStream)
        n_bytes = 0
        for part in self._inner:
            n_bytes += len(part)
            _check(n_bytes)
            yield part

    async def aclose(self) -> None:
        assert isinstance(self._inner, httpx.AsyncByteStream)
        await self._inner.aclose()

    def close(self) -> None:
        assert isinstance(self._inner, httpx.SyncByteStream)
        self._inner.close()


def bound(response: httpx.Response) -> None:
    """Limit what will be read of a reply; a response hook of a client.

    Raises:
        HugeReply: It is compressed, or says that it is too large.
    """
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise HugeReply(f"the server sends a reply in {encoding[:20]!r}, which was not asked for")
    said = response.headers.get("content-length", "")
    _check(int(said) if said.isascii() and said.isdigit() and len(said) < 20 else 0)
    response.stream = _Stream(response.stream)


async def bound_later(response: httpx.Response) -> None:
    """Do as `bound`; a response hook of an asynchronous client."""
    bound(response)


def _check(n_bytes: int) -> None:
    if n_bytes > MAX_REPLY_BYTES:
        raise HugeReply(f"a reply of more than {MAX_REPLY_BYTES >> 20} MiB")
