"""Accuracy against budget as a picture that is readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, NullLocator

# Middle tones with distinct lightness (after Okabe and Ito), readable on white and on near black.
STYLES = {
    "particle filter": ("#d1495b", "o", "-"),
    "particle filter, sound": ("#e09f3e", "s", "-"),
    "beam search": ("#3a86c8", "^", "--"),
    "DVTS": ("#7a6fd0", "v", "--"),
    "best-of-N": ("#2a9d8f", "D", "-"),
    "weighted best-of-N": ("#6aa84f", "P", ":"),
    "self-consistency": ("#8d8d8d", "X", "-"),
}
INK = "#808080"


def draw(cells: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the methods with a style; intervals as bands, greedy as a line across."""
    pyplot.rcParams.update(
        {"svg.hashsalt": "butwait", "svg.fonttype": "path", "font.size": 10, "text.color": INK}
    )
    figure, axes = pyplot.subplots(figsize=(7.6, 4.6))
    for name, (colour, marker, line) in STYLES.items():
        points = sorted((c["budget"], c["accuracy"]) for c in cells if c["method"] == name)
        if not points:
            continue
        x = [budget for budget, _ in points]
        axes.plot(
            x, [100 * a.value for _, a in points],
            color=colour, marker=marker, linestyle=line, linewidth=1.8, markersize=5, label=name,
        )  # fmt: skip
        low, high = [100 * a.low for _, a in points], [100 * a.high for _, a in points]
        axes.fill_between(x, low, high, color=colour, alpha=0.10, linewidth=0)
    for cell in cells:
        if cell["method"] == "greedy":
            axes.axhline(100 * cell["accuracy"].value, color=INK, linewidth=1, linestyle="-.")
            axes.annotate(
                "greedy", (1, 100 * cell["accuracy"].value), xycoords=("axes fraction", "data"),
                xytext=(4, -3), textcoords="offset points", color=INK,
            )  # fmt: skip
    _dress(axes, sorted({c["budget"] for c in cells if c["budget"] > 1}))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def _dress(axes: Any, budgets: Sequence[int]) -> None:
    """Axes, grid and legend in a grey that both pages show."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(budgets)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(budgets), [str(budget) for budget in budgets])
    axes.set_xlabel("solutions begun a question (log scale)", color=INK)
    axes.set_ylabel("right answers, %", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(INK)
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_color(INK)
