"""Progress: a live display in a terminal, plain lines elsewhere, and counts kept over time."""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import os
import pty
import re
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from build_world import add, build, recipe_document, write_questions
from fake_openai import FakeOpenAI
from rich.console import Console

from butwait.pipelines import progress
from butwait.pipelines.live import render
from butwait.pipelines.progress import StageProgress, StatusFile, Timeline, sum_status
from butwait.pipelines.rates import Rates
from butwait.pipelines.terminal import is_live

COUNTS = {"questions": 5, "tokens": 900, "correct": 30, "incorrect": 10, "cached": 7,
          "in_flight": 16, "failed": 2, "steps": 3}  # fmt: skip


def count(folder: str) -> None:
    StatusFile(Path(folder)).add(**COUNTS)


def work(folder: Path, seconds: float) -> None:
    """Two processes count, as Beam's workers do."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=count, args=(str(folder),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    time.sleep(seconds)


def read_terminal(master: int) -> str:
    """All that was written to a terminal whose other end is closed."""
    text = b""
    while True:
        try:
            found = os.read(master, 65536)
        except OSError:
            return text.decode()
        if not found:
            return text.decode()
        text += found


def test_a_terminal_shows_stages_speed_verdicts_and_what_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("CI", raising=False)
    master, slave = pty.openpty()
    held: list[str] = []
    reader = threading.Thread(target=lambda: held.append(read_terminal(master)))
    reader.start()
    with os.fdopen(slave, "w") as stream:
        with StageProgress("trajectories", tmp_path / "s", 40, "questions", stream):
            work(tmp_path / "s", 1.0)
    reader.join()
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", held[0])
    for words in ("✓ questions", "▸ trajectories", "· rows", "10/40 questions", "left",
                  "questions/s", "tokens/s (1800 in all)", "32 samples in flight",
                  "14 from the cache", "4 failed", "75% correct", "25% incorrect"):  # fmt: skip
        assert words in text, words
    assert held[0].count("\x1b[?25l") == held[0].count("\x1b[?25h") == 1  # the cursor is back
    assert text.rstrip().endswith("done")


def test_a_pipe_gets_a_plain_line_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.2)
    stream = io.StringIO()
    with StageProgress("trajectories", tmp_path / "s", 40, "questions", stream):
        work(tmp_path / "s", 0.6)
    *during, last = stream.getvalue().splitlines()
    assert during and last.endswith("done")
    assert all(line.startswith("trajectories: ") and "\x1b" not in line for line in during)
    assert "10/40 questions" in last and "1800 tokens" in last
    assert "14 cached · 60 correct · 20 incorrect · 4 failed · 6 steps" in last


@pytest.mark.parametrize(
    ("term", "ci", "live"),
    [("xterm", "", True), ("dumb", "", False), ("", "", False), ("xterm", "true", False)],
)
def test_a_dumb_terminal_and_ci_get_plain_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, ci: str, live: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("CI", ci)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        assert is_live(stream) is live
    os.close(master)
    assert not is_live(io.StringIO())


def test_a_narrow_terminal_loses_words_not_lines() -> None:
    reading = Rates("questions", 40).read(10.0, COUNTS)
    console = Console(file=io.StringIO(), width=24, force_terminal=True)
    console.print(render("trajectories (cache)", reading))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("\n") == 4


def test_speed_is_of_the_last_half_minute_not_of_what_the_cache_gave_before() -> None:
    rates = Rates("questions", 1000)
    for second in range(101):
        done = 500 if second <= 1 else 500 + second
        reading = rates.read(float(second), {"questions": done, "tokens": 10 * done})
    assert reading.per_s == pytest.approx(1.0)
    assert reading.left_s == pytest.approx(400.0)
    assert Rates("questions", 0).read(1.0, {"questions": 3}).left_s is None


def test_what_a_burst_ended_with_is_written_soon(tmp_path: Path) -> None:
    status = StatusFile(tmp_path)

    async def burst() -> None:
        writing = asyncio.create_task(status.keep_written())
        for _ in range(100):
            status.add(in_flight=1)
        assert sum_status(tmp_path)["in_flight"] < 100
        await asyncio.sleep(1.0)
        writing.cancel()

    asyncio.run(burst())
    assert sum_status(tmp_path)["in_flight"] == 100


def test_a_timeline_is_dense_at_first_and_small_after_a_week(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    timeline = Timeline(path, "trajectories")
    for second in range(7 * 24 * 3600):
        timeline.note(float(second), Counter(questions=second))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seconds"] for line in lines[:3]] == [0.0, 1.0, 2.0]
    assert path.stat().st_size < 4_000_000
    gaps = [b["seconds"] - a["seconds"] for a, b in pairwise(lines)]
    assert max(gaps) <= 30


def test_a_disk_that_is_full_does_not_stop_the_build() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    timeline = Timeline(Path("/dev/full"), "trajectories")
    timeline.note(0.0, Counter(questions=1))
    timeline.note(5.0, Counter(questions=2), is_last=True)


def test_a_build_keeps_its_counts_and_tells_what_the_cache_gave(tmp_path: Path) -> None:
    write_questions(tmp_path / "sums.jsonl", 12)
    with FakeOpenAI(add).running() as server:
        run = build(tmp_path, recipe_document(server.url))
        first = [json.loads(line) for line in run.timeline.read_text().splitlines()]
        again = build(tmp_path, recipe_document(server.url, name="again"))
    assert first[-1]["counts"]["questions"] == 12
    assert first[-1]["counts"]["in_flight"] == 0
    assert first[-1]["counts"]["cached"] == 0
    last = json.loads(again.timeline.read_text().splitlines()[-1])
    n_asked = sum(n for name, n in last["counts"].items() if name in ("correct", "incorrect"))
    assert last["counts"]["cached"] == n_asked > 48
    build(tmp_path, recipe_document("http://127.0.0.1:9", name="again"), from_stage="rows")
    assert json.loads(again.timeline.read_text().splitlines()[-1]) == last
