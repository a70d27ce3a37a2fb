"""A loopback server that answers every request after a fixed time, and counts what was open.

``python -m benchmarks.sampling.loopback --latency-s 0.2 --limit 256`` prints its port. It speaks as
much of vLLM's API as clients need, without a model: the answer to "... a red and b blue ..." is
their sum, or three times in ten a wrong number. All sides are timed here, between the first request
that arrives and the last reply that is sent. ``/reset`` begins a new count, ``/stats`` tells it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
import zlib
from typing import Any

MODEL = "loopback/model"
N_STEPS = 12
_BEADS = re.compile(rb"(\d+) red and (\d+) blue")
_N = re.compile(rb'"n": ?(\d+)')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
_STEP = "Step {}: take the red beads and the blue beads together, and count what that gives."


class Clock:
    """When requests came and went.

    Args:
        limit: Requests that a client was told to hold open.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: list[tuple[float, int]] = []

    def note(self, change: int) -> None:
        """Note that a request came (+1) or was answered (-1)."""
        self._events.append((time.monotonic(), change))

    def read(self) -> dict[str, float]:
        """What has passed: seconds from the first request to the last reply, and fewer-than-limit.

        ``below_s`` are the seconds with fewer than ``limit`` open before the last request came:
        what comes after is the end of the work, and no client could do better.
        """
        events = self._events
        while len(events) > 2 and events[1][1] < 0:
            events = events[2:]  # one request that was answered before any other came: a look
        if not events:
            return {"n": 0, "seconds": 0.0, "below_s": 0.0, "most": 0}
        last_came = max(at for at, change in events if change > 0)
        n_open = most = n_requests = 0
        below_s, since = 0.0, events[0][0]
        for at, change in events:
            if n_open < self._limit and since < last_came:
                below_s += min(at, last_came) - since
            n_open, since = n_open + change, at
            n_requests += change > 0
            most = max(most, n_open)
        seconds = events[-1][0] - events[0][0]
        return {"n": n_requests, "seconds": seconds, "below_s": below_s, "most": most}


class Loopback(asyncio.Protocol):
    """One connection."""

    def __init__(self, latency_s: float, limit: int, clock: list[Clock]) -> None:
        self._latency_s, self._limit, self._clock = latency_s, limit, clock
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            found = _LENGTH.search(head)
            size = int(found[1]) if found else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._handle(head.split(b" ", 2)[1].decode(), body)

    def _handle(self, path: str, body: bytes) -> None:
        if path.endswith("/completions"):
            clock = self._clock[0]
            clock.note(1)
            asyncio.get_running_loop().call_later(self._latency_s, self._complete, body, clock)
        elif path == "/reset":
            self._clock[0] = Clock(self._limit)
            self._send({})
        elif path == "/stats":
            self._send(self._clock[0].read())
        elif path.endswith("/models"):
            listed = {"id": MODEL, "object": "model", "max_model_len": 8192, "owned_by": "vllm"}
            self._send({"object": "list", "data": [listed]})
        elif path == "/version":
            self._send({"version": "loopback"})
        else:
            self._send({"tokens": [], "token_strs": [], "count": 0})

    def _complete(self, body: bytes, clock: Clock) -> None:
        if not self._transport.is_closing():
            self._send(answer(body))
        clock.note(-1)

    def _send(self, reply: dict[str, Any]) -> None:
        body = json.dumps(reply).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        self._transport.write(head.encode() + b"\r\n\r\n" + body)


def answer(body: bytes) -> dict[str, Any]:
    """Write the reply to a chat request."""
    found = _BEADS.search(body)
    asked = _N.search(body)
    n = int(asked[1]) if asked else 1
    total = int(found[1]) + int(found[2]) if found else 0
    chance = zlib.crc32(found[0]) if found else 0
    choices = []
    for index in range(n):
        said = total + (7 if (chance + 17 * index) % 10 < 3 else 0)
        steps = [_STEP.format(step) for step in range(N_STEPS)]
        text = "\n\n".join([*steps, f"The answer is \\boxed{{{said}}}."])
        choices.append(
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                "stop_reason": None,
                "token_ids": list(range(100, 100 + len(text) // 4)),
            }
        )
    n_tokens = sum(len(choice["token_ids"]) for choice in choices)
    usage = {"prompt_tokens": 40, "completion_tokens": n_tokens, "total_tokens": 40 + n_tokens}
    return {
        "id": "cmpl-0", "object": "chat.completion", "created": 0, "model": MODEL,
        "choices": choices, "usage": usage,
    }  # fmt: skip


async def serve(latency_s: float, limit: int) -> None:
    """Serve until the process is stopped; print the port."""
    clock = [Clock(limit)]
    server = await asyncio.get_running_loop().create_server(
        lambda: Loopback(latency_s, limit, clock), "127.0.0.1", 0, backlog=2048
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-s", type=float, default=0.2)
    parser.add_argument("--limit", type=int, default=256)
    options = parser.parse_args()
    asyncio.run(serve(options.latency_s, options.limit))


if __name__ == "__main__":
    main()
