"""A flow diagram: bands between columns of nodes, as wide as what flows; several lanes in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from butwait.evals.report.svg import COLOURS, drawing, to_svg

_WIDTH = 9.6  # inches
_NODE = 0.12
_LABEL = 0.25
"""Inches that a node's label needs."""
_GAP = 0.07
_TITLE = 0.34
_BETWEEN = 0.3
_RIGHT = 3.1
"""Inches for the labels of the last column."""


@dataclass(frozen=True)
class Node:
    """One box."""

    label: str
    size: float
    """Share of the lane's height."""
    role: str


@dataclass(frozen=True)
class Link:
    """A band from a node to one of the next column; ``size`` as in ``Node``."""

    column: int
    start: int
    end: int
    size: float


@dataclass(frozen=True)
class Lane:
    """One flow."""

    title: str
    columns: tuple[tuple[Node, ...], ...]
    links: tuple[Link, ...]
    height: float = 1.2
    """Inches of the whole."""


def fan(title: str, columns: Sequence[Sequence[Node]], height: float = 1.2) -> Lane:
    """Return a lane in which every column is what became of the first node of the one before."""
    links = [
        Link(at, 0, end, node.size)
        for at, nodes in enumerate(columns[1:])
        for end, node in enumerate(nodes)
    ]
    return Lane(title, tuple(tuple(nodes) for nodes in columns), tuple(links), height)


def draw_flow(lanes: Sequence[Lane], name: str, title: str, description: str) -> str:
    """Draw lanes below one another; return the SVG."""
    heights = [_tall(lane) for lane in lanes]
    total = sum(heights) + _TITLE * len(lanes) + _BETWEEN * (len(lanes) - 1) + 0.1
    n_columns = max(len(lane.columns) for lane in lanes)
    with drawing(_WIDTH, total) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, _WIDTH)
        axes.set_ylim(total, 0)
        axes.axis("off")
        step = (_WIDTH - _RIGHT) / max(n_columns - 1, 1)
        top = 0.05
        for lane, height in zip(lanes, heights, strict=True):
            axes.text(0.02, top + 0.14, lane.title, va="center", fontsize=12, fontweight="bold")
            _draw_lane(axes, lane, top + _TITLE, step)
            top += _TITLE + height + _BETWEEN
        return to_svg(figure, name, title, description)


def _slot(node: Node, lane: Lane) -> float:
    return max(node.size * lane.height, _LABEL)


def _tall(lane: Lane) -> float:
    return max(
        sum(_slot(n, lane) for n in nodes) + _GAP * (len(nodes) - 1) for nodes in lane.columns
    )


def _draw_lane(axes: Any, lane: Lane, top: float, step: float) -> None:
    from matplotlib.patches import Rectangle

    places: list[list[tuple[float, float]]] = []
    for column, nodes in enumerate(lane.columns):
        y, x = top, 0.02 + column * step
        found = []
        for node in nodes:
            slot, height = _slot(node, lane), max(node.size * lane.height, 0.015)
            at = y + (slot - height) / 2
            found.append((x, at))
            colour = COLOURS[node.role]
            axes.add_patch(Rectangle((x, at), _NODE, height, facecolor=colour, linewidth=0))
            y += slot + _GAP
        places.append(found)
    _draw_links(axes, lane, places)
    for nodes, found in zip(lane.columns, places, strict=True):
        for node, (x, at) in zip(nodes, found, strict=True):
            middle = at + max(node.size * lane.height, 0.015) / 2
            axes.text(x + _NODE + 0.07, middle, node.label, va="center", fontsize=10.5)


def _draw_links(axes: Any, lane: Lane, places: list[list[tuple[float, float]]]) -> None:
    """Draw bands, stacked at both ends in the order of their other end."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    left: dict[tuple[int, int], float] = {}
    right: dict[tuple[int, int], float] = {}
    for link in lane.links:
        out, into = (link.column, link.start), (link.column + 1, link.end)
        (x0, y0), (x1, y1) = places[out[0]][out[1]], places[into[0]][into[1]]
        y0, y1 = y0 + left.get(out, 0.0), y1 + right.get(into, 0.0)
        height = max(link.size * lane.height, 0.008)
        left[out] = left.get(out, 0.0) + link.size * lane.height
        right[into] = right.get(into, 0.0) + link.size * lane.height
        x0, middle = x0 + _NODE, (x0 + _NODE + x1) / 2
        corners = [
            (x0, y0), (middle, y0), (middle, y1), (x1, y1), (x1, y1 + height),
            (middle, y1 + height), (middle, y0 + height), (x0, y0 + height), (x0, y0),
        ]  # fmt: skip
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
        colour = COLOURS[lane.columns[into[0]][into[1]].role]
        axes.add_patch(
            PathPatch(Path(corners, codes), facecolor=colour, alpha=0.28, linewidth=0, zorder=0)
        )
