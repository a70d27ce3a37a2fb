"""What all sides of the comparison share; standard library only, the peer's venv imports it too.

A job is one JSON file that a side reads; a result is one that it writes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, TypedDict

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "bench-search"
QUESTIONS = ROOT / "pipelines" / "pocket" / "data" / "test.jsonl"
SEPARATOR = "\n\n"
TEMPERATURE = 0.8
MAX_STEP_TOKENS = 160
MAX_STEPS = 40
PARTICLES = 32


class Job(TypedDict):
    """What a side is asked to do."""

    url: str
    """Policy server, without ``/v1``."""
    model: str
    system: str
    problems: list[str]
    n_particles: int
    prm_url: str | None
    """Pooling server; None: every prefix is scored 0.5 without a server."""
    prm_model: str
    prm: str | None
    """Our address of the pooling server, as JSON."""
    record: str | None
    """Where requests are written to (ours) or read from (the bare loop)."""
    how: str
    """``plain`` or ``log_probs`` for ours; ``each`` or ``gathered`` for the peer; ``LISTxOPEN`` for
    the bare loop."""


class Clock:
    """Wall time, processor time, and the time in which no generation request was open."""

    def __init__(self) -> None:
        self.began_at = time.time()
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self._n_open, self._since, self._idle_s = 0, self._began, 0.0
        self.n_requests = 0

    def opened(self) -> None:
        """A generation request was sent."""
        if self._n_open == 0:
            self._idle_s += time.perf_counter() - self._since
        self._n_open += 1
        self.n_requests += 1

    def closed(self) -> None:
        """Its reply is here."""
        self._n_open -= 1
        self._since = time.perf_counter()

    def read(self) -> dict[str, Any]:
        """What has passed since the clock was made."""
        now = time.perf_counter()
        idle_s = self._idle_s + (now - self._since if self._n_open == 0 else 0.0)
        return {
            "began_at": self.began_at,
            "ended_at": time.time(),
            "wall_s": now - self._began,
            "cpu_s": time.process_time() - self._cpu,
            "client_idle": idle_s / (now - self._began),
            "n_requests": self.n_requests,
        }


def peak_mb() -> float:
    """Largest resident size of this process so far (``getrusage`` would begin at its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def read_problems(n: int) -> list[str]:
    """The first held-out problems of the pocket world."""
    with QUESTIONS.open(encoding="utf-8") as lines:
        return [json.loads(line)["problem"] for line in lines][:n]


def read_job(path: str) -> Job:
    """Read a job."""
    job: Job = json.loads(Path(path).read_text())
    return job


def write_result(path: str, result: dict[str, Any]) -> None:
    """Write a result."""
    Path(path).write_text(json.dumps(result))
