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


@dataclass(frozen=True)
class WholeState:
    """Samples that have grown; None before."""

    samples: tuple[Child, ...] | None = None


@dataclass(frozen=True)
class WholeSearch:
    """Implements ``Search``."""

    spec: WholeSpec
    whole: bool = True

    def init(self) -> WholeState:
        """Nothing has grown."""
        return WholeState()

    def grow(self, state: WholeState) -> tuple[Grow, ...]:
        """All samples in one go."""
        return () if state.samples is not None else (Grow(None, self.spec.budget),)

    def step(
        self, state: WholeState, children: Children, draw: Draw
    ) -> tuple[WholeState, tuple[Resampling, ...]]:
        """Keep them all."""
        return WholeState(tuple(children[None])), ()

    def final(self, state: WholeState) -> Final:
        """Every sample that came to an end, weighted by its reward."""
        return weigh_by_reward([c for c in state.samples or () if c.is_end])
