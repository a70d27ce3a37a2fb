"""Progress of a build: workers count into files, the driver shows the sum.

Files rather than callbacks, because workers may be other processes. In a terminal the driver
shows a live line (rich); elsewhere one plain line every ten seconds.
"""

from __future__ import annotations

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
from butwait.pipelines.tables import write_text
from butwait.schemas.errors import ConfigError

PLAIN_EVERY_S = 10.0
LIVE_EVERY_S = 0.25
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
        """Add to the counts."""
        self._counts.update(counts)
        if time.monotonic() - self._written > self._every_s:
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


class StageProgress:
    """Context manager that shows a stage's counts while it runs.

    Args:
        stage: Name to show.
        folder: Where the workers count.
        total: Items in all, 0 if not known.
        item: What is counted (``questions``).
        stream: Where to show; a terminal gets a live line.
    """

    def __init__(
        self, stage: str, folder: AnyPath, total: int, item: str, stream: TextIO | None = None
    ) -> None:
        self._stage, self._folder, self._total, self._item = stage, folder, total, item
        self._stream = stream or sys.stderr
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._begun = time.monotonic()

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
        if kind is None:
            print(f"{self._line()}  done", file=self._stream, flush=True)

    def _watch(self) -> None:
        if self._stream.isatty():
            self._watch_live()
        else:
            while not self._stop.wait(self._wait_s(PLAIN_EVERY_S)):
                print(self._line(), file=self._stream, flush=True)

    def _watch_live(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(file=self._stream)
        with Live(Text(""), console=console, transient=True, auto_refresh=False) as live:
            while not self._stop.wait(self._wait_s(LIVE_EVERY_S)):
                live.update(Text(self._line()), refresh=True)

    def _wait_s(self, here_s: float) -> float:
        return here_s if isinstance(self._folder, Path) else REMOTE_EVERY_S

    def _line(self) -> str:
        counts = sum_status(self._folder)
        seconds = time.monotonic() - self._begun
        done = counts.pop(self._item, 0)
        of = f"/{self._total}" if self._total else ""
        rate = f"{done / seconds:.1f}/s" if seconds > 0 else ""
        parts = [f"{self._stage}: {done}{of} {self._item}", f"{seconds:.0f} s", rate]
        tokens = counts.pop("tokens", 0)
        if tokens:
            parts.append(f"{tokens} tokens ({tokens / seconds:.0f}/s)")
        if self._total and 0 < done < self._total:
            parts.append(f"about {seconds / done * (self._total - done):.0f} s left")
        parts += [f"{count} {name}" for name, count in sorted(counts.items()) if count]
        return " · ".join(parts)
