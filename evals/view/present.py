"""A row as the page shows it: question, texts, facts, provenance, links to what belongs to it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from butwait.evals.view.collections import ROWS, TRAJECTORIES, TREES, Collection, View
from butwait.evals.view.rows import find_question, find_samples, find_tree, has_samples, read_row
from butwait.evals.view.texts import content_of, last_box, other_texts, question_of, texts_of

_SAFE_INTEGER = 2**53 - 1
_SHOWN_VALUE = 4000
_FACTS = {
    "answer": "Gold answer",
    "gold": "Gold answer",
    "extracted": "Extracted answer",
    "verdict": "Verdict",
    "checked_at_build": "Verdict",
    "failure": "Failure",
    "rule": "Rule that decided",
    "flow": "Flow (first → final answer)",
    "first_answer": "First answer",
    "pass_rate": "Pass rate of the question",
    "n_transitions": "Transitions",
    "reason": "Reason",
    "detail": "Detail",
}
"""Columns beside the text, in this order; all others are provenance."""
_TEXTS = {
    "messages", "prompt", "completion", "spans", "chosen", "rejected", "completions", "labels",
    "values", "scores", "n_rollouts", "text", "problem", "solution", "excerpt", "nodes",
}  # fmt: skip
_IDS = {"id", "question_id", "schema_version"}
_MOST_PARENTS = 20
Places = Mapping[str, tuple[str, int]]
"""Shard and row by the id of a sample."""


def present_row(view: View, collection: Collection, shard: str, number: int) -> dict[str, Any]:
    """Return one row for the page.

    Raises:
        ConfigError: There is no such row, or its file cannot be read.
    """
    row = read_row(collection, shard, number)
    kind = collection.layout.kind
    question_id = _text(row.get(collection.layout.question))
    known = find_question(view, collection, shard, question_id) if question_id else None
    parents = _parents(row)[-_MOST_PARENTS:]
    places = find_samples(view, [p for p in parents if "-node-" not in p], shard)
    is_published = collection.name.startswith(ROWS)
    final = _final_parent(view, parents, places, shard) if is_published else None
    others = other_texts(_rest(row, kind))
    found: dict[str, Any] = clean(
        {
            "collection": collection.name,
            "kind": kind,
            "shard": shard,
            "row": number,
            "id": row.get("id") or question_id or f"row {number}",
            "question_id": question_id,
            "question": question_of(kind, row) or (known or {}).get("problem"),
            "texts": [*texts_of(kind, row), *others],
            "facts": _facts(row, known, final),
            "provenance": _provenance(row, kind, {text["title"] for text in others}),
            "links": _links(view, collection, shard, question_id, parents, places),
            "notes": _notes(row, kind),
        }
    )
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _parents(row: Mapping[str, Any]) -> list[str]:
    origin = row.get("provenance")
    parents = origin.get("parents") if isinstance(origin, dict) else None
    found = [p for p in parents or () if isinstance(p, str)]
    return [*found, row["parent_id"]] if isinstance(row.get("parent_id"), str) else found


def _final_parent(
    view: View, parents: list[str], places: Places, shard: str
) -> dict[str, Any] | None:
    """The sample or leaf that a row's final answer comes from, with its verdict."""
    if not parents:
        return None
    if parents[-1] in places:
        return read_row(view.find(TRAJECTORIES), *places[parents[-1]])
    question, _, node = parents[-1].rpartition("-node-")
    place = find_tree(view, question, shard) if node.isdecimal() else None
    nodes = read_row(view.find(TREES), *place).get("nodes") or [] if place else []
    return dict(nodes[int(node)]) if node.isdecimal() and int(node) < len(nodes) else None


def _facts(
    row: Mapping[str, Any], known: Mapping[str, Any] | None, sample: Mapping[str, Any] | None
) -> list[list[Any]]:
    """Name and value of what is compared: gold, extracted, verdict; then the rest."""
    found = {name: row[name] for name in _FACTS if row.get(name) not in (None, "")}
    if known and "answer" not in found and known.get("gold") is not None:
        found.setdefault("gold", known["gold"])
    for name in ("extracted", "verdict"):
        if sample and sample.get(name) is not None:
            found.setdefault(name, sample[name])
    origin = row.get("provenance")
    if "completion" in row and "extracted" not in found:
        found["extracted"] = last_box(content_of(row, "completion"))
    if "completion" in row and "verdict" not in found and isinstance(origin, dict):
        version = origin.get("verifier_version")
        found["checked_at_build"] = (
            f"verified at the build (verifier {version})" if version else None
        )
    return [[n, label, found[n]] for n, label in _FACTS.items() if found.get(n) is not None]


def _rest(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The columns that are neither a fact nor one of the layout's texts."""
    texts = set() if kind == "other" else _TEXTS
    return {n: v for n, v in row.items() if n not in texts and n not in _FACTS and n not in _IDS}


def _provenance(row: Mapping[str, Any], kind: str, shown: set[str]) -> list[list[Any]]:
    flat: dict[str, Any] = {}
    for name, value in _rest(row, kind).items():
        if isinstance(value, dict):
            flat |= value
        elif name not in shown:
            flat[name] = value
    return [[name, _show(value)] for name, value in flat.items() if value not in (None, "", [])]


def _show(value: Any) -> Any:
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value[:200])
    if isinstance(value, str):
        return value[:_SHOWN_VALUE] if value.strip() else json.dumps(value)
    return value


def _links(
    view: View,
    collection: Collection,
    shard: str,
    question_id: str,
    parents: list[str],
    places: Places,
) -> list[dict[str, Any]]:
    if view.run is None or not question_id:
        return []
    links: list[dict[str, Any]] = []
    tree = find_tree(view, question_id, shard)
    if tree is not None:
        nodes = [p.rpartition("-node-")[2] for p in parents if "-node-" in p]
        links.append(
            {"label": "Search tree", "collection": TREES, "shard": tree[0], "row": tree[1],
             "nodes": nodes}
        )  # fmt: skip
    for parent in parents:
        if parent in places:
            label = f"Parent {parent.removeprefix(question_id).strip('-')}"
            at = places[parent]
            links.append({"label": label, "collection": TRAJECTORIES, "shard": at[0], "row": at[1]})
    # Of a cell the other samples of the problem stand in the same file.
    of_samples = collection.name if collection.layout.kind == "cell" else TRAJECTORIES
    if has_samples(view) or collection.layout.kind == "cell":
        label = "All samples of the question"
        links.append({"label": label, "collection": of_samples, "question": question_id})
    return links


def _notes(row: Mapping[str, Any], kind: str) -> list[str]:
    notes = []
    if kind == "sft" and row.get("completion") is not None and row.get("spans") is None:
        notes.append("This row has no spans: its parts cannot be coloured.")
    if row.get("problem_of_line"):
        notes.append(str(row["problem_of_line"]))
    return notes


def clean(value: Any) -> Any:
    """Return a value that JSON and a browser can hold: long integers and non-numbers as text."""
    if isinstance(value, dict):
        return {str(name): clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)[:_SHOWN_VALUE]
