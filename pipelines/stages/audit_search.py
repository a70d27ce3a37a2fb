"""What searches found, counted from the trees of one shard."""

from __future__ import annotations

from collections import Counter

from butwait.pipelines.places import files_in
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.tables import read_columns

SEARCH_ITEM = "-search"
"""Ends the name of a search's dead letter."""


def count_searches(run: RunFolder, shard: int) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    """Count one shard; memory is one batch of trees.

    Returns:
        Searches by outcome, leaves by fate, and the reasons of the searches without a solution.
    """
    failed: dict[str, str] = {}
    for path in files_in(run.dead_letters, f"trajectories-part-{shard:05d}-*.parquet"):
        for row in read_columns(path, ["item", "question_id", "reason"]):
            if row["item"].endswith(SEARCH_ITEM):
                failed[row["question_id"]] = row["reason"]
    searches: Counter[str] = Counter()
    leaves: Counter[str] = Counter()
    for path in files_in(run.trees, f"part-{shard:05d}-*.parquet"):
        for row in read_columns(path, ["question_id", "selected", "nodes"], batch_size=8):
            nodes = row["nodes"]
            searches[_tell_outcome(row, failed.get(row["question_id"]))] += 1
            parents = {node["parent"] for node in nodes}
            for node in nodes:
                if node["id"] not in parents:
                    leaves[node["verdict"] or _tell_dead(node)] += 1
    return searches, leaves, failed


def _tell_outcome(row: dict[str, object], failure: str | None) -> str:
    if failure is not None:
        return f"failed: {failure}"
    nodes, selected = row["nodes"], row["selected"]
    assert isinstance(nodes, list)
    if not isinstance(selected, int) or nodes[selected]["extracted"] is None:
        return "no_answer"
    return "solved" if nodes[selected]["verdict"] == "correct" else "answered"


def _tell_dead(node: dict[str, object]) -> str:
    return f"cut: {node['cut']}" if node["fate"] == "cut" else str(node["fate"])
