"""Builds of growing size from recorded trajectories: memory and processor time a question.

``python -m benchmarks.scale.run --sizes 10000 100000 1000000``. Each size is a corpus of its own
with the same first rows, and a build of its own; processor time, because machines are shared. What
a start costs is measured with 100 questions and taken off.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean

from benchmarks.scale.corpus import N_TEXTS, write_corpus
from benchmarks.sections import replace_section

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
START, END = "<!-- scale -->", "<!-- /scale -->"
LIMIT_MB = 1536
DRIFT = 0.10
_A_SHARD = 20_000
_MAIN = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()"]


@dataclass(frozen=True)
class Measured:
    """One build."""

    n_questions: int
    text_gb: float
    seconds: float
    cpu_s: float
    peak_mb: float
    """Highest sum of the resident memory of all its processes."""
    rows: int
    yardstick_ms: float
    """Mean processor time of a fixed piece of work during the build."""


def measure(work: Path, n_questions: int, a_shard: int = _A_SHARD) -> Measured:
    """Write a corpus, build it, remove both; ``a_shard`` questions a shard."""
    folder = work / f"scale-{n_questions}"
    shutil.rmtree(folder, ignore_errors=True)
    n_bytes = write_corpus(folder / "corpus.parquet", n_questions)
    recipe = {
        "name": "scale",
        "sources": [
            {"path": "corpus.parquet", "columns": {"problem": "problem", "answer": "answer"}}
        ],
        "replay": {"path": "corpus.parquet"},
        "sampling": {"prompt": "none"},
        "decontaminate": {"enabled": False},
        "rows": {"default": {"transform": "verified"}, "rl": {"transform": "rl"}},
        "shards": max(1, n_questions // a_shard),
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe), "utf-8")  # JSON is YAML
    began = time.monotonic()
    with (folder / "build.log").open("w") as log:
        build = ["build", "recipe.yaml", "--out", "runs", "--cache", "cache.sqlite"]
        child = subprocess.Popen([*_MAIN, *build], cwd=folder, stdout=log, stderr=log)
        watch = Watch(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        watch.stop()
    if os.waitstatus_to_exitcode(status):
        raise SystemExit((folder / "build.log").read_text()[-2000:])
    seconds = time.monotonic() - began
    ledger = json.loads((folder / "runs/scale/manifest.json").read_text("utf-8"))
    rows = sum(f["rows"] for f in ledger["stages"]["rows"]["files"])
    shutil.rmtree(folder)
    cpu_s = usage.ru_utime + usage.ru_stime
    return Measured(
        n_questions, n_bytes / 1e9, seconds, cpu_s, watch.peak_mb, rows, mean(watch.yardsticks)
    )


class Watch:
    """Samples the resident memory of a process and all below it, and the machine's speed."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak_mb = 0.0
        self.yardsticks = [_yardstick()]
        """Processor milliseconds of the fixed work, each time."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        for turn in itertools.count():
            if self._done.wait(0.5):
                return
            self.peak_mb = max(self.peak_mb, _tree_mb(self._pid))
            if turn % 10 == 0:
                self.yardsticks.append(_yardstick())


def _yardstick() -> float:
    """Do what a build does much of, always the same, and return its processor milliseconds."""
    text = "the number of ways, 12 + 30 = 42. " * 60
    began = time.thread_time()
    for number in range(300):
        record = json.loads(json.dumps({"id": number, "text": text, "parts": [text] * 4}))
        re.findall(r"\d+ \+ \d+", record["text"])
        hashlib.sha256(text.encode()).hexdigest()
    return 1000 * (time.thread_time() - began)


def _tree_mb(root: int) -> float:
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    parents: dict[int, int] = {}
    size: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            size[int(folder.name)] = int((folder / "statm").read_text().split()[1]) * page
        except (OSError, IndexError):
            continue
    return sum(mb for pid, mb in size.items() if _is_below(pid, root, parents))


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        if pid == root:
            return True
        pid = parents.get(pid, 0)
    return False


def section(start: Measured, found: list[Measured]) -> str:
    """The page's section."""
    lines = [
        "## Builds of growing size",
        "",
        f"`make bench-scale`, {date.today().isoformat()}. {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, apache-beam {version('apache-beam')}, {platform.machine()}. "
        f"Questions with {N_TEXTS} recorded trajectories of about 2 KB: read, verified, rows, "
        "card. "
        f"A start costs {start.cpu_s:.1f} CPU s, which is taken off. *Yardstick*: a fixed piece of "
        "work, timed every five seconds beside each build; *at one speed* is what remains when "
        "every build's processor time is divided by it, times the first build's. The last line is "
        "the first size once more.",
        "",
        "| questions | texts, GB | rows | CPU ms a question | yardstick, ms | at one speed | "
        "to the first | wall, s | peak, MB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    speed = found[0].yardstick_ms
    even = [cost_ms(one, start, speed) for one in found]
    for one, ms in zip(found, even, strict=True):
        lines.append(
            f"| {one.n_questions:,} | {one.text_gb:.2f} | {one.rows:,} | "
            f"{cost_ms(one, start):.2f} | {one.yardstick_ms:.1f} | {ms:.2f} | "
            f"{100 * (ms / even[0] - 1):+.1f} % | {one.seconds:.0f} | {one.peak_mb:.0f} |"
        )
    drift = max(abs(ms / even[0] - 1) for ms in even)
    peak = max(one.peak_mb for one in found)
    memory, time_ = ("met" if good else "MISSED" for good in (peak < LIMIT_MB, drift <= DRIFT))
    lines += [
        "",
        f"Memory below {LIMIT_MB:,} MB: {memory}. Time a question constant within "
        f"{100 * DRIFT:.0f} %, at one speed: {time_} for these sizes.",
    ]
    return "\n".join(lines)


def cost_ms(one: Measured, start: Measured, speed: float | None = None) -> float:
    """Processor ms a question; at the speed at which the yardstick takes ``speed`` ms, if given."""

    def cpu_ms(build: Measured) -> float:
        scale = 1 if speed is None else speed / build.yardstick_ms
        return 1000 * build.cpu_s * scale

    return (cpu_ms(one) - cpu_ms(start)) / (one.n_questions - start.n_questions)


def main() -> None:
    """Measure all sizes and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--work", type=Path, default=Path("runs/bench-scale"))
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write into")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    start = measure(options.work, 100)
    found: list[Measured] = []
    for size in [*options.sizes, *options.sizes[:1]]:
        found.append(measure(options.work, size))
        print(found[-1], flush=True)
        # Written after every size: a run that is broken off has shown something.
        replace_section(options.out, START, END, section(start, found))


if __name__ == "__main__":
    main()
