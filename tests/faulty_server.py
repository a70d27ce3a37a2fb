"""Faults by a seeded schedule: which request fails how depends on nothing but seed and request.

Neither time nor order counts, so the same schedule strikes the same requests on a slow machine.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from butwait.pipelines.run_folder import RunFolder
from tests.build_world import add, build, dataset_bytes
from tests.fake_openai import FakeOpenAI, Fault

Strike = Callable[[FakeOpenAI], None]


class Schedule:
    """Draws a fault for each attempt of each request.

    Args:
        seed: Of the schedule.
        shares: How often each fault strikes; what is left is no fault.
    """

    def __init__(self, seed: int, shares: Mapping[Fault, float]) -> None:
        self._seed = seed
        self._shares = shares
        self._attempts: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def __call__(self, payload: dict[str, Any]) -> Fault | None:
        """Draw for one attempt."""
        name = f"{payload['prompt']}\0{payload.get('seed')}\0{payload.get('n')}"
        self._attempts[name] += 1
        drawn = hashlib.sha256(f"{self._seed}\0{self._attempts[name]}\0{name}".encode()).digest()
        luck = int.from_bytes(drawn[:4]) / 2**32
        for fault, share in self._shares.items():
            luck -= share
            if luck < 0:
                self.struck[fault] += 1
                return fault
        return None


@contextmanager
def striking(server: FakeOpenAI, strikes: Mapping[int, Strike]) -> Iterator[None]:
    """Do something to a server once it has had so many requests, while the block runs."""
    over = threading.Event()

    def watch() -> None:
        for n_requests, strike in sorted(strikes.items()):
            while server.n_requests < n_requests:
                if over.wait(0.01):
                    return
            strike(server)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def freeze(for_s: float) -> Strike:
    """Let no token move for a while, health being fine."""

    def strike(server: FakeOpenAI) -> None:
        server.is_frozen = True
        time.sleep(for_s)
        server.is_frozen = False

    return strike


def kill(for_s: float) -> Strike:
    """Close everything, and come back on the same port."""
    return lambda server: server.die(for_s)


def build_without_faults(folder: Path, document: dict[str, Any]) -> dict[str, bytes]:
    """Build on a server of its own, in whatever process this is; return the rows' files."""
    with FakeOpenAI(add).running() as server:
        document["server"]["url"] = server.url
        return rows_of(build(folder, document, out="whole", cache="whole.sqlite"))


def rows_of(run: RunFolder) -> dict[str, bytes]:
    """All published files of a run but the card, which shows the recipe."""
    return {name: data for name, data in dataset_bytes(run).items() if name != "card"}
