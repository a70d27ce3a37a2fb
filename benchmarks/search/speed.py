"""One policy server, four ways to run the same particle filter over the same questions.

Sides take turns; a figure is the median over the turns. Tokens are counted by the server. A server
is idle while the main thread of its engine waits for work (looked at every few milliseconds).
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.search.setting import ROOT, WORK, Job

LOOK_EVERY_S = 0.005
SIDE_TIMEOUT_S = 900
BARE = ("128x4", "256x3")


class Side(NamedTuple):
    """One way to run the job."""

    name: str
    module: str
    how: str


OURS = Side("ours", "ours", "plain")
OURS_FULL = Side("ours, log-probabilities kept", "ours", "log_probs")
EACH = Side("its_hub", "peer", "each")
GATHERED = Side("its_hub, gathered", "peer", "gathered")
BARES = tuple(Side(f"bare loop {how}", "bare", how) for how in BARE)


class Engines:
    """Looks at the main threads of engine processes until it is stopped."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._seen: list[tuple[float, tuple[bool, ...]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self._seen.append((time.time(), tuple(is_waiting(pid) for pid in self._pids)))

    def __enter__(self) -> Engines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def idle(self, began_at: float, ended_at: float) -> list[float]:
        """Share of looks in a time span that found each engine waiting."""
        within = [waits for at, waits in self._seen if began_at <= at <= ended_at]
        return [statistics.fmean(column) for column in zip(*within, strict=True)]


def is_waiting(pid: int) -> bool:
    """Whether a process's main thread sleeps."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


class Server(NamedTuple):
    """Processes of a local server."""

    url: str
    front: int
    """Listens, tokenizes, writes JSON."""
    engine: int


def find_server(url: str) -> Server:
    """Find the processes behind a local server: the engine is below the one that listens."""
    listener = _find_listener(int(url.rpartition(":")[2]))
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if name.startswith(b"VLLM::EngineCore") and parent == listener:
            return Server(url, listener, int(folder.name))
    raise RuntimeError(f"no engine process below {listener}, which listens at {url}")


def _find_listener(port: int) -> int:
    inodes = {
        fields[9]
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            return int(link.parts[2])
    raise RuntimeError(f"nobody listens at port {port}")


def spent_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def count_tokens(url: str) -> int:
    """Tokens that a server has generated since it started."""
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    return int(
        sum(map(float, re.findall(r"^vllm:generation_tokens_total\{.*\} (\S+)", text, re.M)))
    )


def run_side(side: Side, job: Job, peer_python: str, servers: Sequence[Server]) -> dict[str, Any]:
    """One side in a fresh process."""
    source, out = WORK / "job.json", WORK / "result.json"
    source.write_text(json.dumps({**job, "how": side.how}))
    python = peer_python if side.module == "peer" else sys.executable
    command = [python, "-m", f"benchmarks.search.{side.module}", str(source), str(out)]
    before = count_tokens(job["url"])
    spent = [(spent_s(server.front), spent_s(server.engine)) for server in servers]
    with Engines([server.engine for server in servers]) as looked:
        subprocess.run(command, check=True, timeout=SIDE_TIMEOUT_S, cwd=ROOT)
    result: dict[str, Any] = json.loads(out.read_text())
    tokens = count_tokens(job["url"]) - before
    return {
        **result,
        "side": side.name,
        "tokens": tokens,
        "tokens_s": tokens / result["wall_s"],
        "idle": looked.idle(result["began_at"], result["ended_at"]),
        "front_cpu_s": [spent_s(s.front) - was[0] for s, was in zip(servers, spent, strict=True)],
        "engine_cpu_s": [spent_s(s.engine) - was[1] for s, was in zip(servers, spent, strict=True)],
    }
