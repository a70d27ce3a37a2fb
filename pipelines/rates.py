"""From counts over time to what a person wants to know of a stage: how fast, how long yet.

Pure; rates are of the last half minute, so that a build that began with what the cache held does
not promise that speed for the rest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from butwait.schemas.verdict import VERDICT_NAMES

WINDOW_S = 30.0
_NAMED = ("tokens", "cached", "in_flight", "failed", *VERDICT_NAMES)


@dataclass(frozen=True)
class Reading:
    """A stage at one moment."""

    item: str
    """What is counted, e.g. ``questions``."""
    done: int
    total: int
    """0: not known."""
    seconds: float
    """Since the stage began."""
    counts: Counter[str]
    """Everything that the workers count."""
    per_s: float
    """Items a second, lately."""
    tokens_per_s: float

    @property
    def left_s(self) -> float | None:
        """Seconds that are left at this speed; None: cannot be told."""
        if not 0 < self.done < self.total or self.per_s <= 0:
            return None
        return (self.total - self.done) / self.per_s

    @property
    def verdicts(self) -> dict[str, float]:
        """Shares of the verdicts so far, those there are."""
        found = {name: self.counts[name] for name in VERDICT_NAMES if self.counts[name] > 0}
        total = sum(found.values())
        return {name: count / total for name, count in found.items()}

    @property
    def others(self) -> dict[str, int]:
        """Counts that have no place of their own."""
        named = (self.item, *_NAMED)
        return {k: n for k, n in sorted(self.counts.items()) if n > 0 and k not in named}

    def describe(self, stage: str) -> str:
        """Return one plain line."""
        of = f"/{self.total}" if self.total else ""
        parts = [f"{stage}: {self.done}{of} {self.item}", f"{self.seconds:.0f} s"]
        parts.append(f"{self.per_s:.1f}/s")
        if tokens := self.counts["tokens"]:
            parts.append(f"{tokens} tokens ({self.tokens_per_s:.0f}/s)")
        if self.left_s is not None:
            parts.append(f"about {tell_time(self.left_s)} left")
        if self.counts["in_flight"] > 0:
            parts.append(f"{self.counts['in_flight']} samples in flight")
        parts += [f"{self.counts[name]} {name}" for name in ("cached", *VERDICT_NAMES, "failed")
                  if self.counts[name] > 0]  # fmt: skip
        return " · ".join(parts + [f"{count} {name}" for name, count in self.others.items()])


class Rates:
    """Reads counts one after the other and tells how fast they grow.

    Args:
        item: The count that the total is of.
        total: Items in all, 0 if not known.

    >>> rates = Rates("questions", 100)
    >>> rates.read(10.0, {"questions": 20}).per_s
    2.0
    >>> slower = rates.read(30.0, {"questions": 40})
    >>> rates.read(45.0, {"questions": 55}).left_s  # one a second since the tenth second
    45.0
    """

    def __init__(self, item: str, total: int) -> None:
        self.item, self.total = item, total
        self._seen: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)])

    def read(self, seconds: float, counts: Mapping[str, int]) -> Reading:
        """Take in the counts of a moment and return what they tell."""
        known = Counter(counts)
        now = (seconds, known[self.item], known["tokens"])
        self._seen.append(now)
        while len(self._seen) > 2 and self._seen[1][0] <= seconds - WINDOW_S:
            self._seen.popleft()
        first = self._seen[0]
        passed = max(seconds - first[0], 1e-6)
        return Reading(
            item=self.item,
            done=now[1],
            total=self.total,
            seconds=seconds,
            counts=known,
            per_s=(now[1] - first[1]) / passed,
            tokens_per_s=(now[2] - first[2]) / passed,
        )


def tell_time(seconds: float) -> str:
    """Say how long, as roughly as it is known.

    >>> tell_time(42.3), tell_time(600), tell_time(9000), tell_time(200_000)
    ('42 s', '10 min', '2 h 30 min', '2 d 7 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
