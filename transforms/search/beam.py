"""Beam search and diverse verifier tree search: greedy choice by reward, step by step.

Beam search keeps the best ``width`` of all candidates and grows ``budget / width`` children of
each. DVTS splits the budget into ``budget / width`` subtrees that never look at one another and
keeps the best child in each (Beeching, Tunstall, Rush 2024). Both are one search over groups.
Departures: ties go to the older node; a finished candidate keeps its place in the beam without
growing; a candidate that was cut is never kept while another lives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from butwait.schemas.recipe_search import Beam, Dvts
from butwait.schemas.tree import Resampling
from butwait.transforms.search.protocol import Child, Children, Draw, Final, Grow
from butwait.transforms.search.weigh import weigh_by_reward


@dataclass(frozen=True)
class BeamState:
    """Candidates of each group; None before the first step."""

    groups: tuple[tuple[Child, ...], ...] | None = None
    finished: tuple[Child, ...] = ()
    """Every finished candidate, kept or not; they answer where no kept one has finished."""


@dataclass(frozen=True)
class BeamSearch:
    """Implements ``Search``.

    Args:
        n_groups: Subtrees; 1 for beam search.
        keep: Candidates of a group that survive a step.
        expand: Children of each survivor.
    """

    n_groups: int
    keep: int
    expand: int
    whole: bool = False

    def init(self) -> BeamState:
        """Nothing has grown."""
        return BeamState()

    def grow(self, state: BeamState) -> tuple[Grow, ...]:
        """Children of every survivor that has not finished."""
        if state.groups is None:
            return (Grow(None, self.n_groups * self.keep * self.expand),)
        active = [c for group in state.groups for c in group if not c.is_end]
        return tuple(Grow(c.node, self.expand) for c in active)

    def step(
        self, state: BeamState, children: Children, draw: Draw
    ) -> tuple[BeamState, tuple[Resampling, ...]]:
        """Keep the best of each group."""
        groups = self._candidates(state, children)
        # The same finished child may stand in a group for many steps.
        known = {c.node for c in state.finished}
        fresh = [c for group in groups for c in group if c.is_end and c.node not in known]
        kept = tuple(
            tuple(sorted((c for c in group if not c.is_dead), key=_best_first)[: self.keep])
            for group in groups
        )
        state = replace(state, groups=kept, finished=(*state.finished, *fresh))
        return state, ()

    def final(self, state: BeamState) -> Final:
        """Finished survivors; where there are none, whatever finished on the way."""
        kept = [c for group in state.groups or () for c in group if c.is_end]
        return weigh_by_reward(kept or state.finished)

    def _candidates(self, state: BeamState, children: Children) -> list[list[Child]]:
        if state.groups is None:
            first = list(children[None])
            size = self.keep * self.expand
            return [first[i * size : (i + 1) * size] for i in range(self.n_groups)]
        return [
            [x for c in group for x in ((c,) if c.is_end else children[c.node])]
            for group in state.groups
        ]


def beam_search(spec: Beam) -> BeamSearch:
    """One group of ``width`` survivors."""
    return BeamSearch(n_groups=1, keep=spec.width, expand=spec.budget // spec.width)


def dvts(spec: Dvts) -> BeamSearch:
    """``budget / width`` groups of one survivor each."""
    return BeamSearch(n_groups=spec.budget // spec.width, keep=1, expand=spec.width)


def _best_first(child: Child) -> tuple[float, int]:
    return (-(0.0 if child.reward is None else child.reward), child.node)
