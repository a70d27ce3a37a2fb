"""A search tree as a picture: places of its nodes, their fates, and the paths that became rows.

Equal siblings may be drawn as one. Steps go to the right, a parent stands in the middle of its
children. No recursion: a tree may be a thousand steps deep. Leaves out drawing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from butwait.evals.view.collections import Collection, View
from butwait.evals.view.present import clean
from butwait.evals.view.rows import find_question, read_row, rows_of_question

MOST_NODES = 2000
_SHOWN_STEP = 4000
_GRADED = ("correct", "incorrect")


@dataclass
class _Drawn:
    """One node, or equal siblings."""

    parent: int | None
    depth: int
    text: str
    nodes: list[Mapping[str, Any]] = field(default_factory=list)
    y: float = 0.0
    is_alive: bool = False
    """Whether a finished solution grew from it."""


def present_tree(
    view: View, collection: Collection, shard: str, number: int, *, merge: bool
) -> dict[str, Any]:
    """Return one tree for the page.

    Args:
        view: The run.
        collection: Its trees.
        shard: Shard of the tree.
        number: Row of the shard.
        merge: Whether equal siblings are one.

    Raises:
        ConfigError: There is no such tree, or its file cannot be read.
    """
    tree = read_row(collection, shard, number)
    nodes = [node for node in tree.get("nodes") or () if isinstance(node, dict)]
    drawn, places = _draw(nodes[:MOST_NODES], merge)
    question_id = str(tree.get("question_id") or "")
    question = find_question(view, collection, shard, question_id) or {}
    selected = tree.get("selected")
    rows = [
        {**row, "nodes": _path(drawn, _ends(row["parents"], places))}
        for row in rows_of_question(view, question_id, shard)
    ]
    picture: dict[str, Any] = clean(
        {
            "id": question_id,
            "question": question.get("problem"),
            "gold": question.get("gold"),
            "n_nodes": len(nodes),
            "n_drawn": min(len(nodes), MOST_NODES),
            "nodes": [_node(i, line, places, selected) for i, line in enumerate(drawn)],
            "selected": _find_place(selected, places),
            "rows": rows,
            "votes": (tree.get("votes") or [])[:20],
            "about": _about(tree),
        }
    )
    return picture


def _find_place(node: Any, places: Sequence[int]) -> int | None:
    """Return where a node is drawn; None where it is not."""
    return places[node] if isinstance(node, int) and 0 <= node < len(places) else None


def _draw(nodes: Sequence[Mapping[str, Any]], merge: bool) -> tuple[list[_Drawn], list[int]]:
    """Return what is drawn, parents first, and for every node its place in it."""
    drawn: list[_Drawn] = []
    places: list[int] = []
    known: dict[tuple[int | None, str], int] = {}
    for number, node in enumerate(nodes):
        parent, text = node.get("parent"), str(node.get("text") or "")
        above = places[parent] if isinstance(parent, int) and 0 <= parent < number else None
        key = (above, text.strip() if merge else f"{number}")
        if key not in known:
            known[key] = len(drawn)
            depth = 0 if above is None else drawn[above].depth + 1
            drawn.append(_Drawn(above, depth, text))
        places.append(known[key])
        drawn[known[key]].nodes.append(node)
    _place(drawn)
    for line in reversed(drawn):
        line.is_alive |= any(node.get("fate") == "finished" for node in line.nodes)
        if line.parent is not None:
            drawn[line.parent].is_alive |= line.is_alive
    return drawn, places


def _place(drawn: list[_Drawn]) -> None:
    """Give leaves consecutive lines, in depth-first order, and parents the middle."""
    children: dict[int | None, list[int]] = {}
    for i, line in enumerate(drawn):
        children.setdefault(line.parent, []).append(i)
    at = 0.0
    stack = list(reversed(children.get(None, [])))
    while stack:
        i = stack.pop()
        below = children.get(i, [])
        stack += reversed(below)
        if not below:
            drawn[i].y = at
            at += 1
    for i in range(len(drawn) - 1, -1, -1):
        below = children.get(i, [])
        if below:
            drawn[i].y = (drawn[below[0]].y + drawn[below[-1]].y) / 2


def _ends(parents: Sequence[str], places: Sequence[int]) -> list[int]:
    """Return where the nodes that a row names as its parents are drawn."""
    numbers = [p.rpartition("-node-")[2] for p in parents if "-node-" in p]
    found = [_find_place(int(n), places) for n in numbers if n.isdecimal()]
    return [place for place in found if place is not None]


def _path(drawn: Sequence[_Drawn], ends: Sequence[int]) -> list[int]:
    found: dict[int, None] = {}
    for end in ends:
        at: int | None = end
        while at is not None and at not in found:
            found[at] = None
            at = drawn[at].parent
    return sorted(found)


def _node(i: int, line: _Drawn, places: Sequence[int], selected: Any) -> dict[str, Any]:
    scores = [n["score"] for n in line.nodes if isinstance(n.get("score"), float)]
    verdicts = Counter(str(n["verdict"]) for n in line.nodes if n.get("verdict"))
    fates = Counter(_fate(n) for n in line.nodes)
    first = line.nodes[0]
    return {
        "id": i,
        "parent": line.parent,
        "x": line.depth,
        "y": line.y,
        "text": line.text[:_SHOWN_STEP],
        "n": len(line.nodes),
        "numbers": [n.get("id") for n in line.nodes[:50]],
        "score": max(scores) if scores else None,
        "step_score": first.get("step_score"),
        "log_weight": first.get("log_weight"),
        "log_prob": first.get("log_prob"),
        "n_tokens": first.get("n_tokens"),
        "fates": dict(fates),
        "verdict": verdicts.most_common(1)[0][0] if verdicts else None,
        "extracted": first.get("extracted"),
        "dead": not line.is_alive,
        "selected": _find_place(selected, places) == i,
    }


def _fate(node: Mapping[str, Any]) -> str:
    fate = str(node.get("fate") or "unknown").replace("_", " ")
    return f"{fate}: {node['cut']}" if node.get("cut") else fate


def _about(tree: Mapping[str, Any]) -> list[list[Any]]:
    names = ("method", "budget", "model", "model_revision", "prm", "prm_revision", "temperature",
             "top_p", "prompt_preset", "engine", "parameters")  # fmt: skip
    usage = tree.get("usage")
    cost = usage if isinstance(usage, dict) else {}
    return [[n, tree[n]] for n in names if tree.get(n) is not None] + [[n, cost[n]] for n in cost]
