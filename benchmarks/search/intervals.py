"""Accuracies and paired differences with 95 % intervals over the choice of questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from butwait.evals.intervals import logit_interval
from butwait.evals.statistics import Estimate

N_DRAWS = 2000
SEED = 0
REFERENCES = ("particle filter", "best-of-N")


def estimate(right: Sequence[int]) -> Estimate:
    """Share of right answers."""
    return logit_interval(np.array(right, dtype=np.float64))


def difference(right: Sequence[int], other: Sequence[int]) -> Estimate:
    """Difference of two shares over the same questions, drawn together."""
    gaps = np.array(right, dtype=np.float64) - np.array(other, dtype=np.float64)
    rng = np.random.default_rng(SEED)
    means = [gaps[rng.integers(0, len(gaps), size=len(gaps))].mean() for _ in range(N_DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(gaps.mean()), float(low), float(high))


def compare(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each cell its estimates and its differences to the reference methods."""
    known = {(row["method"], row["budget"]): row for row in rows}
    done = []
    for row in rows:
        against = {}
        for name in REFERENCES:
            other = known.get((name, row["budget"]))
            if other is not None and name != row["method"]:
                against[name] = difference(row["right"], other["right"])
        done.append(
            {
                **row,
                "accuracy": estimate(row["right"]),
                "by_vote": estimate(row["right_by_vote"]),
                "ceiling": estimate(row["any_right"]),
                "against": against,
            }
        )
    return done
