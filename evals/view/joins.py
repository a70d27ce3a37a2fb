"""Columns that are not stored: source and pass rate of samples and trees, from their block.

A fragment ``part-SSSSS-GGGGG`` of a run belongs to row group GGGGG of question shard SSSSS, and
holds everything of its questions: one block is read, never the dataset.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from butwait.evals.view.collections import QUESTIONS, Collection, View
from butwait.evals.view.shards import UNREADABLE, Shard

UNGRADED = ("gold_unusable", "timeout", "error")
"""Verdicts that say nothing of the model and leave a pass rate's denominator."""


class Joins:
    """Computes columns; keeps what it read of the last fragment only."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._kept: dict[tuple[str, Path], dict[str, Any]] = {}

    def needs(self, path: str, collection: Collection) -> tuple[str, ...]:
        """Return the stored columns that a computed one is made of."""
        if collection.layout.kind == "tree" and path in ("@verdict", "@pass_rate"):
            return ("selected", "nodes.verdict", "nodes.fate")
        return ("question_id",)

    def column(
        self, path: str, collection: Collection, shard: Shard, batch: pa.RecordBatch
    ) -> pa.Array:
        """Compute a column for a batch."""
        if path == "@verdict":
            return _chosen_verdicts(batch)
        if path == "@pass_rate" and collection.layout.kind == "tree":
            return _right_shares(batch)
        known = self._of_fragment(path, shard)
        kind = pa.float64() if path == "@pass_rate" else pa.string()
        ids = batch.column(batch.schema.get_field_index("question_id")).to_pylist()
        return pa.array([known.get(i) for i in ids], type=kind)

    def _of_fragment(self, path: str, shard: Shard) -> dict[str, Any]:
        self._kept = {key: kept for key, kept in self._kept.items() if key[1] == shard.path}
        if (path, shard.path) not in self._kept:
            column = path.removeprefix("@")
            made = _pass_rates(shard) if column == "pass_rate" else self._of(column, shard)
            self._kept[path, shard.path] = made
        return self._kept[path, shard.path]

    def _of(self, column: str, shard: Shard) -> dict[str, Any]:
        return {
            row["id"]: row[column]
            for batch in question_block(self._view, shard.name, ["id", column])
            for row in batch.to_pylist()
        }


def question_block(view: View, fragment: str, leaves: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the questions that a fragment was made of, batch by batch; nothing where unknown."""
    found = re.search(r"part-(\d{5})-(\d{5})", fragment)
    questions = next((c for c in view.collections if c.name == QUESTIONS), None)
    if found is None or questions is None:
        return
    group = int(found[2])
    for shard in questions.shards:
        if shard.name.startswith(f"questions-{found[1]}-") and group < len(shard.groups):
            try:
                with shard.opened() as reader:
                    yield from reader.batches(group, leaves, 512)
            except UNREADABLE:
                return


def _pass_rates(shard: Shard) -> dict[str, Any]:
    right: Counter[str] = Counter()
    graded: Counter[str] = Counter()
    with shard.opened() as reader:
        for group in range(len(shard.groups)):
            for batch in reader.batches(group, ["question_id", "parent_id", "verdict"], 8192):
                for row in batch.to_pylist():
                    if row.get("parent_id") is None and row["verdict"] not in UNGRADED:
                        graded[row["question_id"]] += 1
                        right[row["question_id"]] += row["verdict"] == "correct"
    return {question: right[question] / n for question, n in graded.items()}


def _nodes(batch: pa.RecordBatch) -> tuple[Any, Any]:
    nodes = batch.column(batch.schema.get_field_index("nodes"))
    offsets = nodes.offsets.to_numpy()
    return offsets, nodes.values


def _chosen_verdicts(batch: pa.RecordBatch) -> pa.Array:
    """Return the verdict of every tree's chosen leaf."""
    offsets, nodes = _nodes(batch)
    selected = batch.column(batch.schema.get_field_index("selected"))
    place = pc.add(pa.array(offsets[:-1].astype(np.int64)), selected.cast(pa.int64()))
    return pc.take(pc.struct_field(nodes, "verdict"), place)


def _right_shares(batch: pa.RecordBatch) -> pa.Array:
    """Return the share of right leaves of every tree, among those with a verdict on the merits."""
    offsets, nodes = _nodes(batch)
    verdicts = pc.struct_field(nodes, "verdict").to_pylist()
    shares = []
    for start, end in pairwise(offsets):
        graded = [v for v in verdicts[start:end] if v is not None and v not in UNGRADED]
        shares.append(graded.count("correct") / len(graded) if graded else None)
    return pa.array(shares, type=pa.float64())
