"""A server that answers without end does not fill the memory, and no reply unpacks itself."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from butwait.pipelines.sampling import bounded
from butwait.pipelines.sampling.connect import look
from butwait.pipelines.sampling.http import Asker
from butwait.pipelines.sampling.patience import Patience
from butwait.schemas.errors import RequestRefused, SamplerError

LIMIT = 4 << 20


@contextmanager
def answering(
    write: Callable[[socket.socket], None], seen: list[bytes] | None = None
) -> Iterator[str]:
    """Answer every connection's first request with what is written; yield the address.

    The requests are added to ``seen``.
    """
    requests = [] if seen is None else seen
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                requests.append(client.recv(1 << 16))
                try:
                    write(client)
                except OSError:
                    continue  # the client has seen enough

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def ask(url: str) -> Any:
    async def run() -> Any:
        asker = Asker([url], patience=Patience(n_retries=0, request_timeout_s=60.0))
        try:
            return await asker.ask("/v1/completions", {"prompt": "p"}, lambda reply: reply)
        finally:
            await asker.close()

    return asyncio.run(run())


class Endless:
    """Sends a gigabyte and counts how much of it was taken."""

    def __init__(self) -> None:
        self.n_sent = 0

    def __call__(self, client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        part = b"x" * (1 << 20)
        for _ in range(1024):
            client.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            self.n_sent += len(part)


def test_a_reply_of_a_gigabyte_is_refused_by_name_after_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded, "MAX_REPLY_BYTES", LIMIT)
    endless = Endless()
    with answering(endless) as url, pytest.raises(RequestRefused) as caught:
        ask(url)
    assert caught.value.reason == "bad_reply"
    assert "more than 4 MiB" in caught.value.detail
    assert endless.n_sent < LIMIT + (32 << 20)  # what the sockets' buffers take


def test_a_reply_that_says_that_it_is_huge_is_not_read_at_all() -> None:
    def write(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{")
        client.recv(1)

    with answering(write) as url, pytest.raises(RequestRefused, match="more than 128 MiB"):
        ask(url)


def test_a_reply_that_would_unpack_to_a_gigabyte_is_refused() -> None:
    bomb = gzip.compress(b"x" * (64 << 20))

    def write(client: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        client.sendall(head % len(bomb) + bomb)

    with answering(write) as url, pytest.raises(RequestRefused, match="'gzip'"):
        ask(url)


def test_a_reply_nested_deeper_than_python_reads_is_a_bad_reply() -> None:
    def write(client: socket.socket) -> None:
        body = b"[" * 200_000
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with answering(write) as url, pytest.raises(RequestRefused, match="bad_reply"):
        ask(url)


def test_looking_at_a_server_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_REPLY_BYTES", LIMIT)
    endless = Endless()
    with answering(endless) as url, pytest.raises(SamplerError, match="more than 4 MiB"):
        look(url)
    assert endless.n_sent < LIMIT + (32 << 20)


def test_every_client_of_servers_asks_for_no_compression() -> None:
    seen: list[bytes] = []

    def write(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")

    with answering(write, seen) as url:
        with pytest.raises(SamplerError):
            look(url)
        with pytest.raises(RequestRefused):
            ask(url)
    assert b"POST /v1/completions" in seen[-1]
    assert len(seen) >= 2
    assert all(b"accept-encoding: identity" in request.lower() for request in seen)
