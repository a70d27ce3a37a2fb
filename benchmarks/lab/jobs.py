"""Jobs of the lab: `butwait` commands, two at a time, each done once.

A job whose command is the one that was done before is not done again, so that an interrupted lab
goes on where it was. Every job has a log and a record of its processor time.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

BUTWAIT = Path(sys.executable).with_name("butwait")
_TAIL_LINES = 15


class JobFailed(Exception):
    """A command of the lab failed; says which, with the last lines of its log."""


class Jobs:
    """Runs commands.

    Args:
        work: Folder for logs and records.
        slots: Commands at a time; each has one thread.
        program: What runs them.
    """

    def __init__(self, work: Path, slots: int = 2, program: str = str(BUTWAIT)) -> None:
        self._program = program
        self._folder = work / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._slots = asyncio.Semaphore(slots)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._begun = time.monotonic()

    async def run(self, name: str, command: Sequence[str]) -> None:
        """Run ``butwait`` with these arguments, unless that was done.

        Raises:
            JobFailed: It ended with another code than 0.
        """
        record = self._folder / f"{name}.json"
        # Two may ask for the same model: the second waits for the first.
        async with self._locks[name]:
            if _is_done(record, command):
                return
            async with self._slots:
                self._say(f"{name} ...")
                started = time.monotonic()
                cpu_s = await asyncio.to_thread(self._execute, name, command)
                seconds = time.monotonic() - started
            done = {"command": [*command], "cpu_s": round(cpu_s, 1), "seconds": round(seconds, 1)}
            record.write_text(json.dumps(done, indent=1), "utf-8")
            self._say(f"{name}: {seconds:.0f} s, {cpu_s:.0f} CPU s")

    def cpu_s(self) -> dict[str, float]:
        """Return the processor seconds of every job that was done."""
        records = sorted(self._folder.glob("*.json"))
        return {path.stem: json.loads(path.read_text("utf-8"))["cpu_s"] for path in records}

    def _execute(self, name: str, command: Sequence[str]) -> float:
        log = self._folder / f"{name}.log"
        env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        with log.open("w", encoding="utf-8") as file:
            child = subprocess.Popen(
                [self._program, *command], stdout=file, stderr=subprocess.STDOUT, env=env
            )
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            tail = log.read_text("utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
            raise JobFailed(f"{name} failed ({child.returncode}):\n" + "\n".join(tail))
        return usage.ru_utime + usage.ru_stime

    def _say(self, line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        print(f"[{minutes:02}:{seconds:02}] {line}", flush=True)


def _is_done(record: Path, command: Sequence[str]) -> bool:
    return record.is_file() and json.loads(record.read_text("utf-8"))["command"] == list(command)
