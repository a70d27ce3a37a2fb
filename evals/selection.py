"""The best of m checkpoints when none of them has any effect.

Exact: the total of a run is a sum of binomials, and the largest of m independent totals follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from butwait.schemas.errors import ConfigError


@dataclass(frozen=True)
class BestOfM:
    """What the largest of m scores without effect looks like, as fractions."""

    m: int
    mean: float
    low: float
    """Exceeded or reached with a chance of at least 97.5 %."""
    high: float
    """Not exceeded with a chance of at least 97.5 %."""
    cumulative: NDArray[np.float64]
    """Chance that the best has at most 0, 1, ..., K n correct samples."""

    def p_value(self, score: float) -> float:
        """Return the chance that the best of m prints this score or more.

        Args:
            score: Fraction in [0, 1].
        """
        n_cells = len(self.cumulative) - 1
        below = int(np.ceil(score * n_cells - 1e-9)) - 1
        return 1.0 if below < 0 else float(1 - self.cumulative[min(below, n_cells)])


def best_of_m(rates: NDArray[np.float64], n_samples: int, m: int) -> BestOfM:
    """Return the distribution of the best of m runs that all have these rates.

    Give the base's rates by problem, c_i / n. One rate for all problems (their mean) gives the
    largest spread that independent samples can have, and so the highest best.

    Args:
        rates: Chance of a correct sample by problem, each in [0, 1], shape (K,).
        n_samples: Samples a problem.
        m: Runs among which the best is chosen, at least 1.

    Raises:
        ConfigError: No problem, rates outside [0, 1], or n or m below 1.

    >>> best = best_of_m(np.full(30, 46 / 240), 8, 21)
    >>> round(100 * best.mean, 1)
    24.1
    """
    if len(rates) == 0 or not ((rates >= 0) & (rates <= 1)).all():
        raise ConfigError("rates must lie in [0, 1], one a problem, at least one")
    if n_samples < 1 or m < 1:
        raise ConfigError(f"samples and runs must be at least 1, not {n_samples} and {m}")
    chances = np.clip(np.cumsum(_chances_of_totals(rates, n_samples)), 0, 1)
    cumulative = chances**m
    cumulative[-1] = 1.0
    n_cells = len(rates) * n_samples
    return BestOfM(
        m=m,
        mean=float(np.sum(1 - cumulative[:-1])) / n_cells,
        low=int(np.searchsorted(cumulative, 0.025)) / n_cells,
        high=int(np.searchsorted(cumulative, 0.975)) / n_cells,
        cumulative=cumulative,
    )


def _chances_of_totals(rates: NDArray[np.float64], n_samples: int) -> NDArray[np.float64]:
    """Chances of 0, 1, ..., K n correct samples: through the characteristic function."""
    n_cells = len(rates) * n_samples
    # Half of the circle is enough: the other half is its conjugate.
    turns = np.exp(-2j * np.pi * np.arange((n_cells + 1) // 2 + 1) / (n_cells + 1))
    product = np.ones_like(turns)
    values, times = np.unique(rates, return_counts=True)  # at most n + 1 different ones
    for rate, count in zip(values, times, strict=True):
        product *= (1 - rate + rate * turns) ** (count * n_samples)
    chances = np.fft.irfft(product[: (n_cells + 1) // 2 + 1], n=n_cells + 1)
    return np.maximum(chances, 0.0)
