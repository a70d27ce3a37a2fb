"""How fast a build sampled, from the counts that it kept over time.

A build that was interrupted has several sessions; the time between them is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from butwait.evals.report.stream import Notes, read_lines, thin

MOST_POINTS = 150
MOST_SESSIONS = 40
COUNTED = ("questions", "tokens", "cached")
VERDICTS = ("correct", "incorrect")


@dataclass(frozen=True)
class Session:
    """One unbroken stretch of sampling."""

    label: str
    begun_s: float
    """Working time before it, in seconds."""
    seconds: float
    totals: dict[str, int]
    points: tuple[tuple[float, float, dict[str, float]], ...]
    """Intervals: working time at the beginning and end, and counts a second."""


def read_sessions(run: Path, notes: Notes) -> list[Session]:
    """Return the sessions of a build in order; none where an older version kept no counts."""
    lines = (
        line
        for line in read_lines(run / "trajectories" / "progress.jsonl", notes)
        if isinstance(line.get("seconds"), int | float) and isinstance(line.get("counts"), dict)
    )
    found: list[Session] = []
    before = 0.0
    for (label, _), group in groupby(lines, key=lambda x: (str(x.get("label")), x.get("begun"))):
        points = thin(group, MOST_POINTS // 2)
        session = _session(label, before, points)
        if session is not None and len(found) < MOST_SESSIONS:
            found.append(session)
            before += session.seconds
    return found


def _session(label: str, before: float, lines: list[dict[str, Any]]) -> Session | None:
    seconds = max(float(line["seconds"]) for line in lines)
    if seconds <= 0:
        return None
    points = tuple(_intervals(before, lines))
    last = _counts(lines[-1])
    return Session(label, before, seconds, {k: int(v) for k, v in last.items()}, points)


def _intervals(
    before: float, lines: list[dict[str, Any]]
) -> Iterator[tuple[float, float, dict[str, float]]]:
    at, known = 0.0, dict.fromkeys(COUNTED, 0.0)
    for line in lines:
        now, counts = float(line["seconds"]), _counts(line)
        # The last line comes at once after the one before it: too short to be a rate.
        if now - at < 0.5 and at > 0:
            continue
        if now > at:
            rates = {k: max(0.0, counts[k] - known[k]) / (now - at) for k in COUNTED}
            yield before + at, before + now, rates
        at, known = now, counts


def _counts(line: dict[str, Any]) -> dict[str, float]:
    found = line["counts"]
    return {k: float(v) if isinstance(v := found.get(k), int | float) else 0.0 for k in COUNTED}
