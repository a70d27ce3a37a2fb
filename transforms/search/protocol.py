"""One protocol for all search methods: state in, state and a record out.

A method never samples or scores. It says which prefixes to continue (`Grow`), is given the children
with their rewards, and goes on until it has nothing to grow. Whoever drives it (a server, a toy
model in a test) decides how. Random choices draw from generators that are named by what they are
for, so that they do not depend on how many draws came before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from butwait.schemas.tree import Resampling

S = TypeVar("S")
Draw = Callable[..., np.random.Generator]
"""``draw("resample", chain, iteration, step)``: the generator for one named choice."""


@dataclass(frozen=True, slots=True)
class Grow:
    """Wanted: ``n`` continuations of the node ``parent`` (None: of the prompt)."""

    parent: int | None
    n: int


@dataclass(frozen=True, slots=True)
class Child:
    """A node that has grown."""

    node: int
    reward: float | None = None
    """Aggregated reward of the prefix that ends here, in [0, 1]; None: nothing scores."""
    log_odds: float = 0.0
    """Its log-odds; 0.0 where nothing scores."""
    is_end: bool = False
    """Whether the solution is finished here."""
    is_dead: bool = False
    """Whether it can neither go on nor count (cut by a limit, refused, not scored)."""


Children = Mapping[int | None, Sequence[Child]]
"""Children of each parent that was asked to grow, as many as were asked for, in sample order."""


@dataclass(frozen=True, slots=True)
class Final:
    """What a method ends with: finished solutions and their weights."""

    leaves: tuple[Child, ...]
    """One a final particle; a leaf that several particles hold stands there several times."""
    log_weights: tuple[float, ...]
    """Normalised; empty with ``leaves``."""


class Search(Protocol, Generic[S]):
    """A search method."""

    @property
    def whole(self) -> bool:
        """Whether a continuation runs to the end of the solution, not to the end of a step."""
        ...

    def init(self) -> S:
        """Return the state before anything has grown."""
        ...

    def grow(self, state: S) -> tuple[Grow, ...]:
        """Return what to grow next, each parent once; nothing when the search is over."""
        ...

    def step(self, state: S, children: Children, draw: Draw) -> tuple[S, tuple[Resampling, ...]]:
        """Return the state after children have grown, and what was resampled."""
        ...

    def final(self, state: S) -> Final:
        """Return the finished solutions of a state; of an unfinished search those there are."""
        ...
