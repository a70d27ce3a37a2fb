"""A forest plot: every arm's paired difference to the base, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.evals.compare import Table
from butwait.evals.names import name_row
from butwait.evals.paired import Difference
from butwait.schemas.errors import ConfigError

INK = "#808080"  # readable on white and on near black
COLOURS = {"better": "#2a9d8f", "worse": "#d1495b", "no difference shown": INK}
SUFFIXES = (".svg", ".png", ".pdf")


@dataclass(frozen=True)
class ForestLine:
    """One arm."""

    label: str
    differences: tuple[Difference | None, ...]
    """One a panel; None: nothing is drawn."""
    finding: str
    """Colours the first panel: ``better``, ``worse`` or ``no difference shown``."""
    marker: str = "o"
    """matplotlib's marker of the estimate."""


def draw_table(table: Table, path: Path) -> None:
    """Draw expected@1 and pass@k of every arm that was compared.

    Raises:
        ConfigError: Nothing was compared, or the file is of another kind.
    """
    draw_forest(*forest_lines(table), path)


def forest_lines(table: Table) -> tuple[list[ForestLine], list[str]]:
    """Return the arms that were compared, and the titles of the panels.

    Raises:
        ConfigError: Nothing was compared.
    """
    compared = [row for row in table.rows if row.difference is not None]
    if not compared:
        raise ConfigError("nothing was compared: a forest plot needs a base and another arm")
    several = len({row.score.record.benchmark for row in compared}) > 1
    lines = [
        ForestLine(
            (f"{row.score.record.benchmark}: " if several else "") + name_row(row),
            (row.difference, row.difference_at_k),
            row.finding,
        )
        for row in compared
    ]
    ks = sorted({row.score.k for row in compared if row.difference_at_k is not None})
    titles = ["expected@1", f"pass@{', '.join(map(str, ks))}"]
    if not ks:
        lines = [ForestLine(x.label, x.differences[:1], x.finding) for x in lines]
    return lines, titles[: 1 + bool(ks)]


def draw_forest(lines: Sequence[ForestLine], titles: Sequence[str], path: Path) -> None:
    """Draw one panel a title, an arm a line, the first on top.

    Args:
        lines: Arms; each has as many differences as there are titles.
        titles: Panels.
        path: ``.svg``, ``.png`` or ``.pdf``.

    Raises:
        ConfigError: The file is of another kind.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"plot {path}: the name must end with one of {', '.join(SUFFIXES)}")
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("a plot needs matplotlib: `pip install matplotlib`") from error
    matplotlib.use("agg")
    from matplotlib import pyplot

    style: Any = {"svg.hashsalt": "butwait", "svg.fonttype": "path", "font.size": 10}
    with pyplot.rc_context({**style, "text.color": INK}):
        size = (0.6 + 4.0 * len(titles), 0.36 * len(lines) + 1.2)
        figure, grid = pyplot.subplots(1, len(titles), sharey=True, figsize=size, squeeze=False)
        draw_panels(grid[0], lines, titles, {**COLOURS, "ink": INK})
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, transparent=True, bbox_inches="tight", dpi=150, metadata=metadata)
        pyplot.close(figure)


def draw_panels(
    grid: Sequence[Any],
    lines: Sequence[ForestLine],
    titles: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    """Draw on axes that share their y-axis, one a title; colours by finding, and of ``ink``."""
    for panel, (axes, title) in enumerate(zip(grid, titles, strict=True)):
        _draw_panel(axes, title, lines, panel, colours)
    grid[0].set_yticks(range(len(lines)), [line.label for line in lines])
    grid[0].set_ylim(len(lines) - 0.5, -0.5)


def _draw_panel(
    plot: Any, title: str, lines: Sequence[ForestLine], panel: int, colours: Mapping[str, str]
) -> None:
    ink = colours["ink"]
    for place, line in enumerate(lines):
        found = line.differences[panel]
        if found is None:
            continue
        middle, low, high = (100 * x for x in (found.value, found.low, found.high))
        colour = colours.get(line.finding, ink) if panel == 0 else ink
        plot.plot([low, high], [place, place], color=colour, linewidth=2)
        plot.plot([middle], [place], line.marker, color=colour)
    plot.axvline(0, color=ink, linewidth=1, linestyle="--")
    plot.set_title(title, color=ink, fontsize=10)
    plot.set_xlabel("points above the base, 95 % interval", color=ink)
    plot.tick_params(colors=ink)
    plot.grid(axis="x", color=ink, alpha=0.25, linewidth=0.6)
    for name, spine in plot.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(ink)
