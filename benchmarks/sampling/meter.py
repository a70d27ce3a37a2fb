"""Reads vLLM's own counters while a side runs: tokens, and when they moved."""

from __future__ import annotations

import re
import threading
import time

import httpx

EVERY_S = 0.25
_TOKENS = re.compile(r"^vllm:generation_tokens_total\{[^}]*\}\s+(\S+)", re.M)
_OPEN = re.compile(r"^vllm:num_requests_(?:running|waiting)\{[^}]*\}\s+(\S+)", re.M)


class Meter:
    """Samples ``/metrics`` of a server until it is read.

    Args:
        url: Of the server, without ``/v1``.
        limit: Requests that are to be open.
    """

    def __init__(self, url: str, limit: int) -> None:
        self._url, self._limit = url, limit
        self._seen: list[tuple[float, float, float]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def read(self) -> dict[str, float]:
        """Stop, and tell what was seen."""
        self._done.set()
        self._thread.join()
        return summarize(self._seen, self._limit)

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=30.0) as http:
            while True:
                text = http.get(f"{self._url}/metrics").text
                tokens = sum(map(float, _TOKENS.findall(text)))
                n_open = sum(map(float, _OPEN.findall(text)))
                self._seen.append((time.monotonic(), tokens, n_open))
                if self._done.wait(EVERY_S):
                    return


def summarize(seen: list[tuple[float, float, float]], limit: int) -> dict[str, float]:
    """Tokens, seconds in which they moved, and the share with fewer than ``limit`` requests open.

    Args:
        seen: Time, tokens so far, requests open.
        limit: Requests that are to be open; the end of the work, after the last time that many
            were open, is left out of the share.
    """
    moved = [i for i in range(1, len(seen)) if seen[i][1] > seen[i - 1][1]]
    if not moved:
        return {"tokens": 0.0, "seconds": 0.0, "below": 0.0}
    first, last = moved[0] - 1, moved[-1]
    most = max(n_open for _, _, n_open in seen[first : last + 1])
    full = [i for i in range(first, last + 1) if seen[i][2] >= 0.9 * min(limit, most)]
    busy = [seen[i][2] for i in range(full[0], full[-1] + 1)]
    return {
        "tokens": seen[last][1] - seen[first][1],
        "seconds": seen[last][0] - seen[first][0],
        "below": sum(n_open < 0.9 * min(limit, most) for n_open in busy) / len(busy),
    }
