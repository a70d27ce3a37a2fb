"""What scores are made of and come as: counts of correct samples, a value with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Correct samples c_i of each of K problems, each in [0, n], shape (K,)."""


@dataclass(frozen=True)
class Estimate:
    """A score in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"
