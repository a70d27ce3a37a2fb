"""A forest plot: every arm's paired difference to the base, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from benchmarks.lab.table import Line

INK = "#808080"  # readable on white and on near black
COLOURS = {"better": "#2a9d8f", "worse": "#d1495b", "no difference shown": INK}
_METRICS = (("expected@1", "difference"), ("pass@8", "difference_at_8"))


def draw_forest(lines: Sequence[Line], path: Path) -> None:
    """Draw two panels, expected@1 and pass@8, an arm a line."""
    pyplot.rcParams.update(
        {"svg.hashsalt": "butwait", "svg.fonttype": "path", "font.size": 10, "text.color": INK}
    )
    compared = [line for line in lines if line.difference is not None]
    figure, panels = pyplot.subplots(1, 2, sharey=True, figsize=(8.6, 0.36 * len(compared) + 1.2))
    for axes, (title, field) in zip(panels, _METRICS, strict=True):
        for place, line in enumerate(compared):
            found = getattr(line, field)
            middle, low, high = (100 * x for x in (found.value, found.low, found.high))
            colour = COLOURS[line.finding] if field == "difference" else INK
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot([middle], [place], "o" if line.n_seeds > 1 else "D", color=colour)
        axes.axvline(0, color=INK, linewidth=1, linestyle="--")
        axes.set_title(title, color=INK, fontsize=10)
        axes.set_xlabel("points above the base, 95 % interval", color=INK)
        axes.tick_params(colors=INK)
        axes.grid(axis="x", color=INK, alpha=0.25, linewidth=0.6)
        for name, spine in axes.spines.items():
            spine.set_visible(name == "bottom")
            spine.set_color(INK)
    panels[0].set_yticks(range(len(compared)), [_label(line) for line in compared])
    panels[0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def _label(line: Line) -> str:
    seeds = f"{line.n_seeds} seeds" if line.n_seeds > 1 else "1 seed"
    names = {"base-bare": "base, no system prompt", "grpo-best": "GRPO from the best SFT",
             "grpo-base": "GRPO from base"}  # fmt: skip
    return f"{names.get(line.arm.name, line.arm.dataset)} ({seeds})"
