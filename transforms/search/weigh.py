"""Weights of finished solutions that no filter has weighted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from butwait.transforms.particle.weights import CLIP, normalize
from butwait.transforms.search.protocol import Child, Final


def weigh_by_reward(leaves: Sequence[Child]) -> Final:
    """Weight each leaf by its reward (weighted best-of-N, Snell et al. 2024); 1 where none is."""
    if not leaves:
        return Final((), ())
    rewards = [1.0 if leaf.reward is None else max(leaf.reward, CLIP) for leaf in leaves]
    return Final(tuple(leaves), tuple(normalize(np.log(rewards)).tolist()))
