"""A build that is killed again and again ends as if it had not been, and pays nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from butwait.pipelines.tables import file_sha256
from tests.build_world import add, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

pytestmark = pytest.mark.timeout(900)
MAIN = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()"]
N_KILLS = 20
N_QUESTIONS = 48
N_SAMPLES = 4
IN_FLIGHT = 4
JUST_NOW_S = 0.5
"""A reply that was sent so shortly before a kill may not have been stored yet."""


class CountingServer(FakeOpenAI):
    """Knows when each reply was ready."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(add, delay_s=delay_s)
        self.replied: list[float] = []

    def _choose(self, payload: dict[str, Any], index: int) -> dict[str, Any]:
        self.replied.append(time.monotonic())
        return super()._choose(payload, index)


@pytest.fixture
def server() -> Iterator[CountingServer]:
    # Slow enough that a kill finds requests under way.
    counting = CountingServer(delay_s=0.15)
    with counting.running():
        yield counting


def start(folder: Path, out: str) -> subprocess.Popen[bytes]:
    """Start a build in a process group of its own, as a user does."""
    arguments = ["build", "recipe.yaml", "--out", out, "--cache", f"{out}.sqlite"]
    with (folder / f"{out}.log").open("ab") as log:
        return subprocess.Popen(
            [*MAIN, *arguments], cwd=folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip


def dataset(folder: Path, out: str) -> dict[str, str]:
    """Hashes of everything that is published, and of the ledger."""
    run = folder / out / "sums"
    files = [*sorted((run / "rows").rglob("*.parquet")), run / "ledger.json"]
    assert len(files) == 5
    return {str(path.relative_to(run)): file_sha256(path) for path in files}


def test_a_build_killed_at_twenty_points_equals_one_that_was_not(
    tmp_path: Path, server: CountingServer
) -> None:
    """Builds one after the other, each killed until it comes through; 20 kills in all."""
    write_questions(tmp_path / "sums.jsonl", N_QUESTIONS)
    rows = {"default": {"transform": "verified"}, "but_wait": {"transform": "but_wait"}}
    document = recipe_document(server.url, block_size=4, shards=2, rows=rows)
    document["server"] = {**document["server"], "max_in_flight": IN_FLIGHT}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
    began = time.monotonic()
    assert run_until(tmp_path, "whole", 300, server) is None
    lasted = time.monotonic() - began
    paid_once, wanted = server.n_completions, dataset(tmp_path, "whole")

    rng = random.Random(7)
    n_killed = n_builds = 0
    while n_killed < N_KILLS:
        out, server.n_completions, lost, n_here = f"killed-{n_builds}", 0, 0, 0
        while (
            taken := run_until(tmp_path, out, rng.uniform(0.2, 1.0) * lasted, server)
        ) is not None:
            lost, n_here = lost + taken, n_here + 1
        assert dataset(tmp_path, out) == wanted
        assert paid_once <= server.n_completions <= paid_once + lost
        assert server.n_completions <= paid_once + n_here * 2 * IN_FLIGHT * N_SAMPLES
        n_killed, n_builds = n_killed + n_here, n_builds + 1


def run_until(folder: Path, out: str, seconds: float, server: CountingServer) -> int | None:
    """Build and kill after some seconds; return the samples that were under way.

    None: it came to its end before.
    """
    process = start(folder, out)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        in_flight = server.n_in_flight
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        since = time.monotonic() - JUST_NOW_S
        return in_flight * N_SAMPLES + sum(at > since for at in server.replied)
    assert process.returncode == 0, (folder / f"{out}.log").read_text()
    return None
