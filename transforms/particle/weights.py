"""Weights in log space: from rewards to log-odds, from log-weights to chances.

A reward r in [0, 1] enters as logit(r), so that a softmax at temperature 1 makes chances
proportional to the odds r / (1 - r) (code of arXiv 2502.01618; a softmax over r itself could favour
one particle over another by at most a factor e). Log-weights of -inf are dead particles; NaN is an
error wherever it appears.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from butwait.schemas.errors import ButwaitError
from butwait.schemas.recipe_search import Aggregation

Floats = NDArray[np.float64]
CLIP = 1e-7
"""Rewards are clipped to [1e-7, 1 - 1e-7], log-odds to +-16.1 (its_hub; the paper's code clips at
the machine's epsilon)."""


class WeightError(ButwaitError):
    """Weights that no particle can be drawn by: a number that is none, or nobody alive."""


def log_odds(reward: float, clip: float = CLIP) -> float:
    """Turn a reward into its log-odds.

    Args:
        reward: In [0, 1].
        clip: Distance from 0 and 1 that is kept.

    Raises:
        WeightError: It is NaN or outside [0, 1].

    >>> round(log_odds(0.8), 4)  # odds 4
    1.3863
    """
    if not 0.0 <= reward <= 1.0:
        raise WeightError(f"a reward must lie in [0, 1], not {reward!r}")
    r = min(max(reward, clip), 1.0 - clip)
    return float(np.log(r) - np.log1p(-r))


def aggregate(rewards: Sequence[float], how: Aggregation) -> float:
    """Make one reward of a prefix out of its steps' (arXiv 2502.01618, section on PRM aggregation).

    Args:
        rewards: One a step, each in [0, 1]; for ``model`` exactly one, of the whole prefix.
        how: ``model``, ``prod``, ``min`` or ``last``.

    Returns:
        A reward in [0, 1].

    Raises:
        WeightError: No rewards, several for ``model``, or one that is NaN or outside [0, 1].

    >>> aggregate([0.9, 0.5], "prod"), aggregate([0.9, 0.5], "min"), aggregate([0.5, 0.9], "last")
    (0.45, 0.5, 0.9)
    """
    if not rewards or (how == "model" and len(rewards) != 1):
        raise WeightError(f"{len(rewards)} rewards cannot be aggregated by {how!r}")
    if not all(0.0 <= reward <= 1.0 for reward in rewards):
        raise WeightError(f"rewards must lie in [0, 1]: {list(rewards)[:8]}")
    match how:
        case "prod":
            return float(np.prod(rewards))
        case "min":
            return min(rewards)
        case _:
            return rewards[-1]


def normalize(log_weights: Floats) -> Floats:
    """Subtract the log of the sum, so that the exponentials add up to 1.

    Args:
        log_weights: Shape (n,); -inf marks a dead particle.

    Returns:
        Shape (n,).

    Raises:
        WeightError: NaN, +inf, or no particle alive.
    """
    if len(log_weights) == 0 or np.isnan(log_weights).any() or np.isposinf(log_weights).any():
        raise WeightError(f"log-weights must be numbers: {log_weights.tolist()[:8]}")
    highest = log_weights.max()
    if np.isneginf(highest):
        raise WeightError("all particles are dead")
    shifted = log_weights - highest
    normalized: Floats = shifted - np.log(np.exp(shifted).sum())
    return normalized


def log_mean(log_weights: Floats) -> float:
    """Return the log of the mean weight, -inf where all are dead.

    >>> float(np.exp(log_mean(np.log([1.0, 3.0]))))
    2.0
    """
    highest = log_weights.max()
    if np.isneginf(highest):
        return float("-inf")
    return float(highest + np.log(np.exp(log_weights - highest).mean()))


def effective_sample_size(log_weights: Floats) -> float:
    """Return 1 / sum(w^2) of the normalised weights, in [1, n].

    Args:
        log_weights: Shape (n,), in any scale.

    >>> effective_sample_size(np.zeros(4))
    4.0
    """
    weights = np.exp(normalize(log_weights))
    return float(1.0 / np.square(weights).sum())


def anneal(step: int, first: float, last: float, n_steps: int) -> float:
    """Return a temperature that runs linearly from ``first`` to ``last`` over ``n_steps`` steps.

    >>> [anneal(t, 2.0, 1.0, 2) for t in range(4)]
    [2.0, 1.5, 1.0, 1.0]
    """
    share = min(1.0, step / n_steps) if n_steps > 0 else 1.0
    return first + (last - first) * share


def entropic_temperature(log_weights: Floats, progress: float, how: str) -> float:
    """Return the temperature that flattens early weights (entropic filter, arXiv 2510.05825).

    Args:
        log_weights: Shape (n,).
        progress: Share of the longest solution that is done, in [0, 1].
        how: ``ess``: (n / ESS)(1 - progress); ``entropy``: 1 / (h + (1 - h) progress) with the
            normalised entropy h; ``base``: 2 - progress.

    Returns:
        At least 1.
    """
    log_p = normalize(log_weights)
    if how == "base":
        return max(1.0, 2.0 - progress)
    if how == "ess":
        return max(1.0, len(log_p) / effective_sample_size(log_p) * (1.0 - progress))
    p = np.exp(log_p)
    positive = p[p > 0]
    entropy = -float((positive * np.log(positive)).sum())
    h = entropy / np.log(len(p)) if len(p) > 1 else 1.0
    return float(max(1.0, 1.0 / max(h + (1.0 - h) * progress, CLIP)))
