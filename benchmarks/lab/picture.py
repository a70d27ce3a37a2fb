"""The lab's forest plot: every arm's paired difference to the base, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.lab.table import Line
from butwait.evals import forest

_NAMES = {
    "base-bare": "base, no system prompt",
    "grpo-best": "GRPO from the best SFT",
    "grpo-base": "GRPO from base",
}


def draw_forest(lines: Sequence[Line], path: Path) -> None:
    """Draw two panels, expected@1 and pass@8, an arm a line; a diamond has one seed."""
    drawn = [
        forest.ForestLine(
            label=_label(line),
            differences=(line.difference, line.difference_at_8),
            finding=line.finding,
            marker="o" if line.n_seeds > 1 else "D",
        )
        for line in lines
        if line.difference is not None
    ]
    forest.draw_forest(drawn, ("expected@1", "pass@8"), path)


def _label(line: Line) -> str:
    seeds = f"{line.n_seeds} seeds" if line.n_seeds > 1 else "1 seed"
    return f"{_NAMES.get(line.arm.name, line.arm.dataset)} ({seeds})"
