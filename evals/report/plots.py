"""The plots of a report that are bars, steps and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from butwait.evals.report.content import percent, shorten
from butwait.evals.report.svg import COLOURS, ROLES, drawing, to_svg

WIDTH = 9.6


def role_of(verdict: str) -> str:
    """Return the colour's role of a verdict; unknown ones are drawn as errors."""
    return verdict if verdict in ROLES else "error"


def draw_bars(
    values: Sequence[tuple[str, float]], axis: tuple[str, str], alt: tuple[str, str, str]
) -> str:
    """Draw a histogram of labelled bars.

    Args:
        values: Label and height of each.
        axis: Labels of the axes.
        alt: Name, title and description.
    """
    with drawing(WIDTH, 3.0) as figure:
        axes = figure.subplots()
        places = range(len(values))
        axes.bar(places, [v for _, v in values], width=0.9, color=COLOURS["first"])
        every = -(-len(values) // 16)
        axes.set_xticks(list(places)[::every], [shorten(label) for label, _ in values][::every])
        _finish(axes, *axis)
        return to_svg(figure, *alt)


def draw_stacks(
    edges: Sequence[float],
    heights: Mapping[str, Sequence[float]],
    axis: tuple[str, str],
    alt: tuple[str, str, str],
    *,
    log: bool = False,
) -> str:
    """Draw a stacked histogram.

    Args:
        edges: Of the bins, one more than there are bins.
        heights: By verdict; one a bin.
        axis: Labels of the axes.
        alt: Name, title and description.
        log: Whether the x-axis is logarithmic.
    """
    with drawing(WIDTH, 3.2) as figure:
        axes = figure.subplots()
        widths = [b - a for a, b in pairwise(edges)]
        below = [0.0] * len(widths)
        for verdict, values in heights.items():
            axes.bar(
                edges[:-1], values, width=widths, bottom=below, align="edge", linewidth=0.4,
                color=COLOURS[role_of(verdict)], edgecolor=COLOURS["paper"], label=verdict,
            )  # fmt: skip
            below = [a + b for a, b in zip(below, values, strict=True)]
        if log:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _finish(axes, *axis)
        _legend(figure, axes)
        return to_svg(figure, *alt)


def draw_overlay(
    edges: Sequence[float],
    shares: Mapping[str, Sequence[float]],
    axis: tuple[str, str],
    alt: tuple[str, str, str],
) -> str:
    """Draw histograms of shares over one another, as steps."""
    with drawing(WIDTH, 3.0) as figure:
        axes = figure.subplots()
        for verdict, values in shares.items():
            colour = COLOURS[role_of(verdict)]
            axes.stairs(values, edges, color=colour, linewidth=2, label=verdict)
            axes.stairs(values, edges, color=colour, alpha=0.15, fill=True)
        _finish(axes, *axis)
        _legend(figure, axes)
        return to_svg(figure, *alt)


def draw_shares(
    rows: Sequence[tuple[str, Mapping[str, int]]], axis: str, alt: tuple[str, str, str]
) -> str:
    """Draw one bar of shares a row, the first on top.

    Args:
        rows: Label, and counts by verdict.
        axis: Label of the x-axis.
        alt: Name, title and description.
    """
    names = list(dict.fromkeys(name for _, counts in rows for name in counts))
    names.sort(key=lambda name: ROLES.index(role_of(name)))
    with drawing(WIDTH, 1.2 + 0.34 * len(rows)) as figure:
        axes = figure.subplots()
        left = [0.0] * len(rows)
        for name in names:
            totals = [max(sum(counts.values()), 1) for _, counts in rows]
            part = [100 * c.get(name, 0) / t for (_, c), t in zip(rows, totals, strict=True)]
            axes.barh(
                range(len(rows)), part, left=left, height=0.7, label=shorten(name),
                color=COLOURS[role_of(name)], edgecolor=COLOURS["paper"], linewidth=0.4,
            )  # fmt: skip
            left = [a + b for a, b in zip(left, part, strict=True)]
        axes.set_yticks(range(len(rows)), [shorten(label) for label, _ in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel(axis)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        _legend(figure, axes)
        return to_svg(figure, *alt)


def draw_band(
    x: Sequence[float],
    middle: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    axis: tuple[str, str],
    alt: tuple[str, str, str],
) -> str:
    """Draw a line in [0, 1] with a band around it."""
    with drawing(WIDTH, 2.8) as figure:
        axes = figure.subplots()
        axes.fill_between(x, low, high, color=COLOURS["first"], alpha=0.2, linewidth=0)
        axes.plot(x, middle, color=COLOURS["first"], linewidth=2, marker="o", markersize=4)
        axes.set_ylim(0, 1.03)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _finish(axes, *axis)
        return to_svg(figure, *alt)


def draw_lines(
    panels: Sequence[tuple[str, Mapping[str, Sequence[tuple[float, float]]]]],
    x_label: str,
    alt: tuple[str, str, str],
    *,
    marks: Sequence[float] = (),
    steps: bool = False,
) -> str:
    """Draw panels below one another over one x-axis.

    Args:
        panels: Label of the y-axis, and points of each line by name.
        x_label: Label of the x-axis.
        alt: Name, title and description.
        marks: Places of dashed vertical lines.
        steps: Whether a value holds until the next point.
    """
    with drawing(WIDTH, 0.6 + 1.7 * len(panels)) as figure:
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, lines) in zip(grid, panels, strict=True):
            for place, (name, points) in enumerate(lines.items()):
                colour = COLOURS[("first", "second", "third")[place % 3]]
                style = {"drawstyle": "steps-post"} if steps else {}
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.6, label=name,
                          **style)  # fmt: skip
            for mark in marks:
                axes.axvline(mark, color=COLOURS["soft"], linewidth=1, linestyle="--")
            _finish(axes, "", label)
            if steps:
                axes.set_ylim(bottom=0)
            if len(lines) > 1:
                axes.legend(frameon=False, fontsize=10)
        grid[-1].set_xlabel(x_label)
        return to_svg(figure, *alt)


def _finish(axes: Any, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="y", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")


def _legend(figure: Any, axes: Any) -> None:
    n = len(axes.get_legend_handles_labels()[1])
    figure.legend(loc="outside upper left", ncols=min(n, 5), frameon=False, fontsize=10)


def describe_shares(counts: Mapping[str, int]) -> str:
    """Say shares in words, the largest first."""
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{percent(n, total)} {shorten(name)}" for name, n in ordered[:6])
