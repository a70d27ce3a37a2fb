"""Progress of a build: workers count into files, the driver shows the sum and keeps it over time.

Files rather than callbacks, because workers may be other processes. In a terminal the driver
shows a live display (``live.py``); elsewhere one plain line every ten seconds. Leaves out what the
counts mean: whoever counts names them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

from butwait.pipelines.places import AnyPath, remove_tree
from butwait.pipelines.rates import Rates, Reading
from butwait.pipelines.tables import write_text
from butwait.pipelines.terminal import is_live
from butwait.schemas.errors import ConfigError

PLAIN_EVERY_S = 10.0
LIVE_EVERY_S = 0.25
RECORDED_EVERY_S = 1.0
"""Of a young stage; an older one is recorded at a sixtieth of its age, at most every 30 s, so that
a week of sampling is some megabytes."""
_WRITE_EVERY_S = 0.2
REMOTE_EVERY_S = 20.0
"""Remote stores want no object written, and none looked at, more often than needed."""


class StatusFile:
    """A worker's counts, written to a file of its own at most five times a second."""

    def __init__(self, folder: AnyPath) -> None:
        self._path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
        self._counts: Counter[str] = Counter()
        self._every_s = _WRITE_EVERY_S if isinstance(folder, Path) else REMOTE_EVERY_S
        self._written = 0.0

    def add(self, **counts: int) -> None:
        """Add to the counts; negative where something is no longer so."""
        self._counts.update(counts)
        if time.monotonic() - self._written > self._every_s:
            self.write()

    async def keep_written(self) -> None:
        """Write now and then until cancelled: what a burst ended with would not be seen."""
        while True:
            await asyncio.sleep(2 * _WRITE_EVERY_S)
            self.write()

    def write(self) -> None:
        """Write the counts now; a disk that is full is the work's to find."""
        with suppress(ConfigError):
            write_text(self._path, json.dumps(self._counts))
        self._written = time.monotonic()


def sum_status(folder: AnyPath) -> Counter[str]:
    """Return the sum of all workers' counts."""
    total: Counter[str] = Counter()
    for path in folder.glob("*.json"):
        try:
            total.update(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue  # replaced while it was read; the next look finds it whole
    return total


class Timeline:
    """A stage's counts over time, a line of JSON each interval: label, begun, seconds, counts.

    A build that goes on appends to what the interrupted one left.

    Args:
        path: The file.
        label: Names the stage in every line.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._path: Path | None = path
        self._begun = {"label": label, "begun": int(time.time())}
        self._next_s = 0.0

    def note(self, seconds: float, counts: Counter[str], *, is_last: bool = False) -> None:
        """Keep the counts if a line is due; a disk that is full must not stop the build."""
        if self._path is None or (seconds < self._next_s and not is_last):
            return
        self._next_s = seconds + min(30.0, max(RECORDED_EVERY_S, seconds / 60))
        line = {**self._begun, "seconds": round(seconds, 2), "counts": dict(sorted(counts.items()))}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError:
            self._path = None


class StageProgress:
    """Context manager that shows a stage's counts while it runs.

    Args:
        stage: Name to show.
        folder: Where the workers count.
        total: Items in all, 0 if not known.
        item: What is counted (``questions``).
        stream: Where to show; a terminal gets a live display.
        timeline: File to keep the counts over time in; None: they are not kept.
    """

    def __init__(
        self,
        stage: str,
        folder: AnyPath,
        total: int,
        item: str,
        stream: TextIO | None = None,
        timeline: AnyPath | None = None,
    ) -> None:
        self._stage, self._folder = stage, folder
        self._stream = stream or sys.stderr
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._begun = time.monotonic()
        self._rates = Rates(item, total)
        # A remote store cannot append, and the counts are not worth an object an interval.
        self._timeline = Timeline(timeline, stage) if isinstance(timeline, Path) else None

    def __enter__(self) -> StageProgress:
        remove_tree(self._folder)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)
        reading = self._read(is_last=True)
        if kind is None:
            # The mean of the whole stage, not what the last seconds were like.
            line = Rates(self._rates.item, self._rates.total).read(reading.seconds, reading.counts)
            print(f"{line.describe(self._stage)}  done", file=self._stream, flush=True)

    def _watch(self) -> None:
        if is_live(self._stream):
            self._watch_live()
        else:
            self._watch_plain()

    def _watch_plain(self) -> None:
        next_s = PLAIN_EVERY_S
        while not self._stop.wait(min(PLAIN_EVERY_S, RECORDED_EVERY_S)):
            passed = time.monotonic() - self._begun
            if passed < next_s and self._timeline is None:
                continue
            reading = self._read()
            if passed >= next_s:
                next_s = passed + PLAIN_EVERY_S
                print(reading.describe(self._stage), file=self._stream, flush=True)

    def _watch_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        from butwait.pipelines.live import render

        console = Console(file=self._stream)
        with Live(console=console, transient=True, auto_refresh=False) as live:
            while not self._stop.wait(self._wait_s(LIVE_EVERY_S)):
                live.update(render(self._stage, self._read()), refresh=True)

    def _wait_s(self, here_s: float) -> float:
        return here_s if isinstance(self._folder, Path) else REMOTE_EVERY_S

    def _read(self, *, is_last: bool = False) -> Reading:
        counts = sum_status(self._folder)
        seconds = time.monotonic() - self._begun
        if self._timeline is not None:
            self._timeline.note(seconds, counts, is_last=is_last)
        return self._rates.read(seconds, counts)
