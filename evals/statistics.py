"""Scores of sampled solutions with their uncertainty. Pure functions of counts.

K problems, n samples each, c_i of them correct. Leaves out comparisons between runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
SEED = 0
"""Of the bootstrap draws: the same run prints the same interval."""


@dataclass(frozen=True)
class Estimate:
    """A score in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def expected_at_1(n_correct: Counts, n_samples: int) -> float:
    """Return the mean share of correct samples: sum of c_i over K n.

    Args:
        n_correct: c_i, shape (K,), each in [0, n].
        n_samples: n.

    Raises:
        ValueError: No problem, or counts out of range.

    >>> expected_at_1(np.array([8, 0, 4]), 8)
    0.5
    """
    _check(n_correct, n_samples)
    return float(n_correct.sum() / (len(n_correct) * n_samples))


def pass_at_k(n_correct: Counts, n_samples: int, k: int) -> float:
    """Return the unbiased estimate of solving a problem with k samples.

    1 - C(n - c_i, k) / C(n, k), averaged over problems (arXiv 2107.03374, section 2.1).

    Args:
        n_correct: c_i, shape (K,).
        n_samples: n.
        k: 1 to n.

    Raises:
        ValueError: k is not in [1, n], no problem, or counts out of range.

    >>> pass_at_k(np.array([8, 0, 1]), 8, 8)
    0.6666666666666666
    """
    _check(n_correct, n_samples)
    if not 1 <= k <= n_samples:
        raise ValueError(f"k must be 1 to n = {n_samples}, not {k}")
    total = comb(n_samples, k)
    return float(np.mean([1 - comb(n_samples - int(c), k) / total for c in n_correct]))


def bootstrap(
    n_correct: Counts,
    n_samples: int,
    rng: np.random.Generator,
    *,
    k: int | None = None,
    n_draws: int = 2000,
) -> Estimate:
    """Return expected@1 (or pass@k) with a 95 % interval over the choice of problems.

    Problems are drawn with replacement; the samples of a problem stay together. The percentile
    interval says nothing of another training seed or another prompt.

    Args:
        n_correct: c_i, shape (K,).
        n_samples: n.
        rng: Source of the draws.
        k: None for expected@1.
        n_draws: Bootstrap replicates.
    """
    _check(n_correct, n_samples)
    if k is None:
        scores = n_correct / n_samples
    else:
        scores = np.array(
            [pass_at_k(n_correct[i : i + 1], n_samples, k) for i in range(len(n_correct))]
        )
    # One replicate at a time: all at once would take n_draws x K numbers of memory.
    means = [scores[rng.integers(0, len(scores), size=len(scores))].mean() for _ in range(n_draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(scores.mean()), float(low), float(high))


def _check(n_correct: Counts, n_samples: int) -> None:
    if len(n_correct) == 0:
        raise ValueError("no problems: the score is undefined")
    if n_samples < 1 or n_correct.min() < 0 or n_correct.max() > n_samples:
        raise ValueError(f"counts must lie in [0, n = {n_samples}]")
