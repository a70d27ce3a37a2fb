"""Methods over whole samples: best-of-N, weighted best-of-N and self-consistency.

They differ in how they choose among the same samples (`butwait.transforms.search.select`), so one
search serves all: N samples at once, weighted by their reward where one is known.
"""

from __future__ import annotations

from dataclasses import dataclass

from butwait.schemas.recipe_search import WholeSpec
from butwait.schemas.tree import Resampling
from butwait.transforms.search.protocol import Child, Children, Draw, Final, Grow
from butwait.transforms.search.weigh import weigh_by_reward

N_WAVES = 8
"""Waves in which samples are asked for where tokens are limited, so that the limit is felt."""


@dataclass(frozen=True)
class WholeState:
    """Samples that have grown."""

    samples: tuple[Child, ...] = ()


@dataclass(frozen=True)
class WholeSearch:
    """Implements ``Search``."""

    spec: WholeSpec
    whole: bool = True

    def init(self) -> WholeState:
        """Nothing has grown."""
        return WholeState()

    def grow(self, state: WholeState) -> tuple[Grow, ...]:
        """All samples in one go; where tokens are limited, an eighth of them at a time."""
        left = self.spec.budget - len(state.samples)
        if self.spec.max_tokens_total is not None:
            left = min(left, max(1, self.spec.budget // N_WAVES))
        return (Grow(None, left),) if left else ()

    def step(
        self, state: WholeState, children: Children, draw: Draw
    ) -> tuple[WholeState, tuple[Resampling, ...]]:
        """Keep them all."""
        return WholeState((*state.samples, *children[None])), ()

    def final(self, state: WholeState) -> Final:
        """Every sample that came to an end, weighted by its reward."""
        return weigh_by_reward([c for c in state.samples if c.is_end])
