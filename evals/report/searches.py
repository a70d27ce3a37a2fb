"""Count the search trees of a build: how even the weights stayed, and what the scores were worth.

Memory is one batch of trees and some histograms.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from butwait.evals.report.samples import known_verdict
from butwait.evals.report.stream import Notes, stream

_COLUMNS = ("method", "budget", "selected", "nodes", "resamplings", "usage")
_BATCH = 8  # trees may hold tens of thousands of nodes
N_BINS = 50
MOST_STEPS = 60
"""Later steps are counted as this one."""


@dataclass
class SearchTally:
    """Counts of search trees."""

    n_trees: int = 0
    n_tokens: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    chosen_right: int = 0
    any_right: int = 0
    evenness: dict[int, Counter[int]] = field(default_factory=dict)
    """By step: resamplings by effective sample size over particles, in ``N_BINS`` bins."""
    scores: dict[str, Counter[int]] = field(default_factory=dict)
    """By verdict: finished leaves by process reward, in ``N_BINS`` bins."""

    def add(self, tree: dict[str, Any]) -> None:
        """Count one tree."""
        nodes = tree["nodes"] or []
        selected = tree["selected"]
        self.n_trees += 1
        self.n_tokens += int((tree["usage"] or {}).get("n_tokens") or 0)
        if len(self.methods) < 100:
            self.methods[f"{tree['method']}, budget {tree['budget']}"] += 1
        verdicts = [node["verdict"] for node in nodes]
        self.any_right += "correct" in verdicts
        if selected is not None and 0 <= selected < len(nodes):
            self.chosen_right += verdicts[selected] == "correct"
        for node in nodes:
            if node["fate"] == "finished" and node["score"] is not None and node["verdict"]:
                bins = self.scores.setdefault(known_verdict(node["verdict"]), Counter())
                bins[find_bin(node["score"])] += 1
        for found in tree["resamplings"] or []:
            n = len(found["particles"] or [])
            if n and found["ess"] is not None:
                step = min(int(found["step"]), MOST_STEPS)
                self.evenness.setdefault(step, Counter())[find_bin(found["ess"] / n)] += 1


def tally_searches(run: Path, notes: Notes) -> SearchTally:
    """Count all search trees of a build."""
    tally = SearchTally()
    for path in sorted((run / "trajectories" / "trees").glob("part-*.parquet")):
        for tree in stream(path, _COLUMNS, notes, batch=_BATCH):
            tally.add(tree)
    return tally


def find_bin(value: float) -> int:
    """Return the bin of a value in [0, 1]."""
    return min(max(int(value * N_BINS), 0), N_BINS - 1) if value == value else 0


def quantile(bins: Counter[int], q: float) -> float:
    """Return the middle of the bin in which a quantile lies.

    >>> quantile(Counter({0: 1, 25: 1, 49: 1}), 0.5)
    0.51
    """
    left = q * bins.total()
    for place, count in sorted(bins.items()):
        left -= count
        if left <= 0:
            return (place + 0.5) / N_BINS
    return 1.0


def area_under_curve(right: Counter[int], wrong: Counter[int]) -> float | None:
    """Return the chance that a right leaf has a higher score than a wrong one, ties half."""
    if not right.total() or not wrong.total():
        return None
    below, won = 0, 0.0
    for place in range(N_BINS):
        won += right[place] * (below + wrong[place] / 2)
        below += wrong[place]
    return won / (right.total() * wrong.total())
