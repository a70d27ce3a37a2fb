"""Which branches of a search tree may be told as mistakes.

A branch begins at a sibling of a step that led to a right answer and runs down to a dead end. What
makes it dead is the recipe's choice:

- ``faithful``: no particle is left below it, all were resampled out. The "Lessons" post's rule. A
  particle that loses among nearly equal ones need not be wrong.
- ``prm_margin``: resampled out or pruned, and its end is scored at least ``margin`` below the step
  that took its place. A prefix without a score never qualifies.
- ``rollout_verified``: at least ``min_rollouts`` finished solutions below it, none of them right;
  it is told as far as that holds.
- ``wrong_leaf``: it ends in a finished solution that is wrong, and nothing below it is right.

A branch that any right solution grew from, or that says what a right solution says, is never told
by the last three; by the first, only what the good path itself says is not. Left out: joining the
texts (`butwait.transforms.backtrack`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from butwait.schemas.recipe_rows import BacktrackSpec
from butwait.schemas.tree import Fate
from butwait.transforms.tree_facts import TreeFacts, fold

Chain = tuple[int, ...]
"""Merged nodes of a branch, one below the other."""
_LOST: dict[str, frozenset[Fate]] = {
    "faithful": frozenset({"resampled_out"}),
    "prm_margin": frozenset({"resampled_out", "pruned"}),
}
"""Fates that count as lost; a beam prunes what a filter resamples out."""
ROUNDING = 1e-9
"""Two rewards that differ by exactly the margin do, whatever their binary digits."""


@dataclass(slots=True)
class DeadBranches:
    """The dead branches of one tree under one rule; what was found at a node is kept."""

    facts: TreeFacts
    spec: BacktrackSpec
    _lost: list[bool] = field(init=False)
    _right_texts: list[str] = field(init=False)
    _chains: dict[int, tuple[Chain, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Find the subtrees in which nothing lives, and what right solutions say."""
        rights = self.facts.leaves("correct")
        self._right_texts = sorted(fold(self.facts.tree.text(node.id)) for node in rights)
        self._lost = _find_lost(self.facts, _LOST.get(self.spec.dead, frozenset()))

    def beside(self, good: int) -> tuple[int, ...]:
        """Siblings of a good step at which a dead branch begins."""
        siblings = self.facts.siblings(good)
        return tuple(i for i in siblings if next(iter(self.chains(i, good)), None) is not None)

    def chains(self, start: int, good: int) -> Iterator[Chain]:
        """Dead branches that begin at ``start`` and may stand before the step ``good``."""
        if start not in self._chains:
            self._chains[start] = self._find_chains(start)
        for chain in self._chains[start]:
            if self.spec.dead != "prm_margin" or self._is_far_below(chain[-1], good):
                yield chain

    def is_right_so_far(self, said: str, good: str) -> bool:
        """Whether a solution up to the end of a branch is the start of a right one.

        Args:
            said: The text up to there.
            good: The right solution that the branch was left from.
        """
        said = fold(said)
        if self.spec.dead == "faithful":
            return fold(good).startswith(said)
        place = bisect_left(self._right_texts, said)
        return place < len(self._right_texts) and self._right_texts[place].startswith(said)

    def _is_far_below(self, end: int, good: int) -> bool:
        low, high = self.facts.scores[end], self.facts.scores[good]
        return low is not None and high is not None and high - low >= self.spec.margin - ROUNDING

    def _find_chains(self, start: int) -> tuple[Chain, ...]:
        if not self._may_begin(start):
            return ()
        most = self.spec.max_branch_steps
        found: dict[Chain, None] = {}
        for chain in self._walk((start,)):
            if self.spec.dead != "wrong_leaf":
                found[chain[:most]] = None
            elif most is None or len(chain) <= most:
                found[chain] = None
        # The lowest reward first: whether any chain qualifies shows at once.
        return tuple(sorted(found, key=self._rank))

    def _rank(self, chain: Chain) -> tuple[float, Chain]:
        score = self.facts.scores[chain[-1]]
        return (2.0 if score is None else score), chain

    def _may_begin(self, start: int) -> bool:
        facts, spec = self.facts, self.spec
        if spec.dead == "faithful":
            return self._lost[start]
        if facts.n_right[start]:
            return False
        if spec.dead == "prm_margin":
            return self._lost[start]
        least = spec.min_rollouts if spec.dead == "rollout_verified" else 1
        return facts.n_judged[start] >= least

    def _walk(self, chain: Chain) -> Iterator[Chain]:
        """Every chain from its last node down to where its branch ends."""
        open_chains = [chain]
        while open_chains:
            chain = open_chains.pop()
            below = self._goes_on(chain[-1])
            if self._ends_at(chain[-1], below):
                yield chain
            open_chains += [(*chain, child) for child in below]

    def _goes_on(self, node: int) -> tuple[int, ...]:
        below = self.facts.children[node]
        if self.spec.dead == "rollout_verified":
            least = self.spec.min_rollouts
            return tuple(i for i in below if self.facts.n_judged[i] >= least)
        return below

    def _ends_at(self, node: int, below: tuple[int, ...]) -> bool:
        if self.spec.dead != "wrong_leaf":
            return not below
        # A node whose text was drawn twice may both be finished and go on.
        return self.facts.verdict(node) == "incorrect"


def _find_lost(facts: TreeFacts, fates: frozenset[Fate]) -> list[bool]:
    """For each node whether all that grew from it was lost; children stand behind parents."""
    lost = [False] * len(facts.same_as)
    for node in reversed(range(len(lost))):
        if facts.same_as[node] == node:
            below = facts.children[node]
            own = facts.fates[node] - {"continued"}
            lost[node] = own <= fates and bool(own or below) and all(lost[i] for i in below)
    return lost
