"""Scores of single problems: expected@1, pass@k, maj@k, each unbiased over the n samples.

Arrays of one number a problem, for means, intervals and paired differences. What cannot be
computed is refused with the reason, never 0 or 1. Leaves out how answers come to be equivalent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction
from math import comb

import numpy as np
from numpy.typing import NDArray

from butwait.evals.statistics import Counts
from butwait.schemas.errors import ConfigError

Scores = NDArray[np.float64]
"""One score a problem, each in [0, 1], shape (K,)."""


def problem_scores(n_correct: Counts, n_samples: int, *, k: int | None = None) -> Scores:
    """Return each problem's expected@1, or its unbiased pass@k.

    Args:
        n_correct: c_i, shape (K,), each in [0, n].
        n_samples: n.
        k: None for expected@1 (c_i / n); else 1 to n.

    Returns:
        Shape (K,).

    Raises:
        ConfigError: No problem, k outside [1, n], or counts outside [0, n].

    Source: 1 - C(n - c, k) / C(n, k), arXiv 2107.03374, section 2.1.

    >>> problem_scores(np.array([8, 0, 1]), 8, k=4).tolist()
    [1.0, 0.0, 0.5]
    """
    if len(n_correct) == 0:
        raise ConfigError("no problems: the score is undefined")
    if n_samples < 1 or n_correct.min() < 0 or n_correct.max() > n_samples:
        raise ConfigError(f"counts must lie in [0, n = {n_samples}]")
    return score_of_count(n_samples, k)[n_correct]


def score_of_count(n_samples: int, k: int | None = None) -> Scores:
    """Return the score of a problem with 0, 1, ..., n correct samples, shape (n + 1,).

    Args:
        n_samples: n.
        k: None for expected@1; else 1 to n.

    Raises:
        ConfigError: k outside [1, n].

    >>> score_of_count(2).tolist(), score_of_count(2, 2).tolist()
    ([0.0, 0.5, 1.0], [0.0, 1.0, 1.0])
    """
    if k is None:
        return np.arange(n_samples + 1) / n_samples
    _check_k(k, n_samples, "pass")
    total = comb(n_samples, k)
    return np.array([1 - comb(n_samples - c, k) / total for c in range(n_samples + 1)])


def majority_at_k(answers: Sequence[Hashable | None], right: Hashable, k: int) -> float:
    """Return the chance that the majority of k of a problem's n samples is right.

    Exact over all subsets of k samples. A sample without an answer does not vote. Where several
    answers have most votes, each is chosen with the same chance. Where nobody votes, no answer
    is given, and that is wrong.

    Args:
        answers: The class of equivalent answers of each sample, None for none; length n.
        right: The class that is right.
        k: Samples that vote, 1 to n.

    Returns:
        In [0, 1].

    Raises:
        ConfigError: k outside [1, n].

    >>> majority_at_k(["7", "7", "3", None], "7", 4)
    1.0
    >>> majority_at_k(["7", "3"], "7", 2)
    0.5
    >>> round(majority_at_k(["7", "7", "3", None], "7", 2), 4)  # of 6 pairs 3 win, 2 tie, 1 loses
    0.6667
    """
    n = len(answers)
    _check_k(k, n, "maj")
    votes = Counter(answer for answer in answers if answer is not None)
    n_right = votes.pop(right, 0)
    n_silent = n - n_right - votes.total()
    won = sum(
        (
            comb(n_right, most) * _ways_behind(list(votes.values()), n_silent, most, k - most)
            for most in range(1, min(n_right, k) + 1)
        ),
        Fraction(0),
    )
    return float(won / comb(n, k))


def best_at_k(scores: Sequence[float], right: Sequence[bool], k: int) -> float:
    """Return the chance that the best scored of k of a problem's n samples is right.

    Exact over all subsets of k samples; of equal scores each is chosen with the same chance.

    Args:
        scores: Of a reward model, one a sample, length n; minus infinity for none.
        right: Whether each sample is right, length n.
        k: Samples among which the best is chosen, 1 to n.

    Returns:
        In [0, 1].

    Raises:
        ConfigError: k outside [1, n].

    >>> best_at_k([0.9, 0.1, 0.2], [True, False, True], 3)
    1.0
    >>> round(best_at_k([0.9, 0.1, 0.2], [False, False, True], 2), 4)  # of 3 pairs one wins
    0.3333
    """
    n = len(scores)
    _check_k(k, n, "best")
    total, below, chance = comb(n, k), 0, Fraction(0)
    for score in sorted(set(scores)):
        tied = [hit for other, hit in zip(scores, right, strict=True) if other == score]
        # Subsets whose best score is this one; within them every tied sample is as likely.
        ways = comb(below + len(tied), k) - comb(below, k)
        chance += Fraction(ways * sum(tied), total * len(tied))
        below += len(tied)
    return float(chance)


def _ways_behind(others: list[int], n_silent: int, most: int, left: int) -> Fraction:
    """Ways to draw ``left`` samples so that no other answer has more than ``most`` votes.

    A way in which j others have just as many counts 1 / (j + 1).
    """
    ways: Counter[tuple[int, int]] = Counter({(0, 0): 1})  # (samples drawn, answers level) -> ways
    for votes in others:
        grown: Counter[tuple[int, int]] = Counter()
        for (drawn, level), count in ways.items():
            for more in range(min(votes, most, left - drawn) + 1):
                key = drawn + more, level + (more == most)
                grown[key] += count * comb(votes, more)
        ways = grown
    return sum(
        (
            Fraction(count * comb(n_silent, left - drawn), level + 1)
            for (drawn, level), count in ways.items()
        ),
        Fraction(0),
    )


def _check_k(k: int, n_samples: int, name: str) -> None:
    if not 1 <= k <= n_samples:
        raise ConfigError(
            f"{name}@{k} is undefined with n = {n_samples} samples a problem: "
            f"k must be 1 to n; sample more or ask for {name}@{n_samples}"
        )
