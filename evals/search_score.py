"""Score the searches of a run: is the chosen answer right, is any solution, at what cost.

Reads stored trees and questions only. Every question counts: one whose search found nothing is
wrong, one that has no tree makes the run incomplete and is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from butwait.evals.intervals import logit_interval
from butwait.evals.statistics import Estimate
from butwait.schemas.errors import ConfigError

_BATCH = 8  # trees may hold tens of thousands of nodes
_COLUMNS = ["question_id", "method", "budget", "selected", "nodes", "usage"]


@dataclass(frozen=True)
class SearchScore:
    """Scores of one search a problem over K problems."""

    method: str
    budget: int
    n_problems: int
    selected: Estimate
    """Share of problems whose chosen answer is right."""
    any_right: Estimate
    """Share of problems with a right solution in the tree."""
    n_samples: float
    """Solutions begun a problem, mean."""
    n_tokens: float
    """Tokens generated a problem, mean, dead branches included."""


def score_searches(run: Path, problems: list[str]) -> SearchScore | None:
    """Score the search trees of a run folder; None where there are none.

    Args:
        run: Run folder.
        problems: Ids of all its questions.

    Raises:
        ConfigError: Questions without a tree, or trees of several methods or budgets.
    """
    found = {row["question_id"]: row for row in _read(run)}
    if not found:
        return None
    missing = [i for i in problems if i not in found]
    if missing:
        raise ConfigError(
            f"{run} is incomplete: {len(missing)} of {len(problems)} problems have no search tree, "
            f"e.g. {missing[0]}; a score over the rest would have another denominator"
        )
    kinds = {(row["method"], row["budget"]) for row in found.values()}
    if len(kinds) > 1:
        raise ConfigError(f"{run} mixes searches: {sorted(kinds)}")
    rows = [found[i] for i in problems]
    method, budget = kinds.pop()
    return SearchScore(
        method=method,
        budget=budget,
        n_problems=len(rows),
        selected=logit_interval(np.array([float(row["is_right"]) for row in rows])),
        any_right=logit_interval(np.array([float(row["has_right"]) for row in rows])),
        n_samples=float(np.mean([row["n_samples"] for row in rows])),
        n_tokens=float(np.mean([row["n_tokens"] for row in rows])),
    )


def _read(run: Path) -> Iterator[dict[str, Any]]:
    """Yield what counts of each tree; of the nodes no more than a batch is held."""
    for path in sorted((run / "trajectories" / "trees").glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=_COLUMNS):
                yield from map(_count, batch.to_pylist())


def _count(tree: dict[str, Any]) -> dict[str, Any]:
    verdicts = [node["verdict"] for node in tree["nodes"]]
    selected = tree["selected"]
    return {
        "question_id": tree["question_id"],
        "method": tree["method"],
        "budget": tree["budget"],
        "is_right": int(selected is not None and verdicts[selected] == "correct"),
        "has_right": int("correct" in verdicts),
        "n_samples": tree["usage"]["n_samples"],
        "n_tokens": tree["usage"]["n_tokens"],
    }
