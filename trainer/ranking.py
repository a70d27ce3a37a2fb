"""How well scores rank right over wrong *inside one problem*, with an interval.

A model that only knows which problems are hard looks good across problems and is useless to a
search. So the number is P(score(right) > score(wrong)) over the pairs of one problem (ties count
half), averaged over problems, with a 95 % bootstrap interval over problems. It covers the choice of
problems, not the training seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

N_DRAWS = 2_000
Judged = tuple[bool, float]
"""Right or wrong, and its score."""


def bootstrap_mean(scores: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Mean of per-question scores (0 to 1) with its 95 % interval, in per cent."""
    values = np.asarray(scores, dtype=float)
    draws = np.random.default_rng(seed).integers(0, len(values), (N_DRAWS, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    rounded = {"mean": values.mean(), "low": low, "high": high}
    return {name: round(100 * float(value), 1) for name, value in rounded.items()}


def rank_pairs(judged: Iterable[Judged]) -> float | None:
    """P(score(right) > score(wrong)), ties half; None where one kind is missing.

    >>> rank_pairs([(True, 0.9), (False, 0.1), (False, 0.9)])
    0.75
    """
    pairs = list(judged)
    right = np.array([score for label, score in pairs if label])
    wrong = np.array([score for label, score in pairs if not label])
    if not len(right) or not len(wrong):
        return None
    above = (right[:, None] > wrong).mean() + 0.5 * (right[:, None] == wrong).mean()
    return float(above)


def rank_within(groups: Iterable[Iterable[Judged]]) -> dict[str, float]:
    """Rank inside each group and average over groups: mean, interval, number of groups."""
    ranked = [share for group in groups if (share := rank_pairs(group)) is not None]
    if not ranked:
        return {"n_groups": 0}
    return {**bootstrap_mean(ranked), "n_groups": len(ranked)}
