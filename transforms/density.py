"""Density ratios as rewards: a log-ratio of any size as a number in (0, 1), and back.

Rewards live in [0, 1]. The logistic function would read every log-ratio above 37 as 1, and those of
whole solutions are often larger; this one keeps them apart.
"""

from __future__ import annotations


def squash_ratio(log_ratio: float) -> float:
    """Map a log-ratio to (0, 1), 0 to one half, larger ones higher.

    Args:
        log_ratio: Strong less weak log-probability, in nats.

    >>> [squash_ratio(x) for x in (-1.0, 0.0, 3.0)]
    [0.25, 0.5, 0.875]
    """
    return 0.5 + 0.5 * log_ratio / (1.0 + abs(log_ratio))


def read_log_ratio(reward: float) -> float:
    """Return the log-ratio of a reward below 1 and above 0.

    >>> read_log_ratio(squash_ratio(-250.0))
    -250.0
    """
    share = 2.0 * reward - 1.0
    return round(share / (1.0 - abs(share)), 9)
