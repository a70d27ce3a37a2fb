"""Two runs on the same problems: the paired difference, and what chance alone would show.

Pure functions of scores by problem. Leaves out who is compared with whom, and tables.

A pair needs no second level of resampling: a problem's mean score already carries the noise of its
samples, so the spread of the differences between problems holds both kinds of variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from butwait.evals.student import t_quantile
from butwait.schemas.errors import ConfigError

EXACT_UP_TO = 14
"""Problems that differ, up to which all 2^K sign patterns are listed."""
N_DRAWS = 19_999
"""Sign patterns drawn where they are too many to list; the smallest p-value is 1 / 20,000."""
_CHUNK = 1000  # sign patterns held at once: 1000 x K numbers


@dataclass(frozen=True)
class Difference:
    """A difference of two scores, as fractions, with its 95 % interval and p-value."""

    value: float
    low: float
    high: float
    p_value: float
    """Two-sided, of no difference."""

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def paired_difference(
    scores: NDArray[np.float64], base: NDArray[np.float64], rng: np.random.Generator
) -> Difference:
    """Return how much higher one run scores than another on the same problems.

    The interval is Student's over the K differences; the p-value flips their signs. Where all
    differences are the same, their spread says nothing, and the interval is the exact one for K
    problems of which none was seen to differ.

    Args:
        scores: Mean score by problem, shape (K,), each in [0, 1].
        base: The other run's, same shape, same order of problems; may rest on another n.
        rng: Source of sign patterns where they are too many to list.

    Raises:
        ConfigError: Not the same problems, fewer than two, or scores outside [0, 1].

    >>> rng = np.random.default_rng(0)
    >>> str(paired_difference(np.array([1, 0.5, 0.25]), np.array([0.5, 0.5, 0]), rng))
    '+25.0 [-37.1, 87.1]'
    """
    gaps = _subtract(scores, base)
    value = float(gaps.mean())
    low, high = _interval(gaps)
    return Difference(value, low, high, sign_flip_p_value(gaps, rng))


def sign_flip_p_value(gaps: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return the two-sided p-value of differences that are as likely up as down.

    Exact up to ``EXACT_UP_TO`` differing problems, by ``N_DRAWS`` random patterns beyond; the
    observed pattern counts as one of them, so that the p-value is never 0.

    Args:
        gaps: Differences by problem, shape (K,).
        rng: Source of the patterns.

    Source: Phipson and Smyth 2010, doi 10.2202/1544-6115.1585, for the + 1.

    >>> sign_flip_p_value(np.array([0.1, 0.2, 0.3]), np.random.default_rng(0))
    0.25
    """
    moved = gaps[gaps != 0]
    if len(moved) == 0:
        return 1.0
    # Sums in another order differ in their last digits: a tie must stay a tie.
    seen = abs(float(moved.sum())) - 1e-9
    if len(moved) <= EXACT_UP_TO:
        patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ moved) >= seen))
    n_as_far = 0
    for start in range(0, N_DRAWS, _CHUNK):
        n = min(_CHUNK, N_DRAWS - start)
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(n, len(moved)), dtype=np.int8)
        n_as_far += int(np.sum(np.abs(signs @ moved) >= seen))
    return (n_as_far + 1) / (N_DRAWS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values: of m arms, the chance of any false alarm stays at alpha.

    Args:
        p_values: One an arm, each in [0, 1].

    Returns:
        Adjusted, in the same order, never smaller than what went in, at most 1.

    Raises:
        ConfigError: A p-value outside [0, 1].

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.

    >>> holm([0.01, 0.5, 0.03])
    [0.03, 0.5, 0.06]
    """
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise ConfigError(f"a p-value lies in [0, 1], not {wrong[0]}")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def verdict(difference: Difference, adjusted_p: float, *, alpha: float = 0.05) -> str:
    """Return ``better``, ``worse`` or ``no difference shown``.

    A difference is named only when its interval leaves out zero *and* its adjusted p-value is at
    most alpha.

    Args:
        difference: Run minus base.
        adjusted_p: Its p-value after Holm's correction across the arms of the table.
        alpha: Largest chance of a false alarm.

    >>> verdict(Difference(0.047, 0.010, 0.087, 0.02), 0.02)
    'better'
    >>> verdict(Difference(0.047, 0.010, 0.087, 0.02), 0.4)
    'no difference shown'
    """
    if not adjusted_p <= alpha:
        return "no difference shown"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no difference shown"


def _subtract(scores: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    both = [np.asarray(run, dtype=np.float64) for run in (scores, base)]
    shapes = [run.shape for run in both]
    if shapes[0] != shapes[1] or len(shapes[0]) != 1:
        raise ConfigError(
            f"scores of {shapes[0]} and {shapes[1]} problems cannot be paired: "
            "score both runs on the same problems, in the same order"
        )
    if len(both[0]) < 2:
        raise ConfigError(
            f"{len(both[0])} problem(s) show no spread: a comparison needs at least two"
        )
    for run in both:
        wrong = run[~((run >= 0) & (run <= 1))]
        if len(wrong):
            raise ConfigError(f"a problem's mean score lies in [0, 1], not {wrong[0]}")
    # 0.3 - 0.1 and 0.2 are the same gap: what differs in the last digits is no difference.
    return np.round(both[0] - both[1], 12)


def _interval(gaps: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the mean difference; within [-1, 1]."""
    k, value = len(gaps), float(gaps.mean())
    if all(a == b for a, b in pairwise(gaps)):
        # None of K problems differs from the others: at most this share of all problems does.
        share = 1 - 0.025 ** (1 / k)
        low, high = (1 - share) * value - share, (1 - share) * value + share
    else:
        half = t_quantile(0.975, k - 1) * float(gaps.std(ddof=1)) / k**0.5
        low, high = value - half, value + half
    return max(-1.0, low), min(1.0, high)
