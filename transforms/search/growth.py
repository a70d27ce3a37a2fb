"""A search tree while it grows: nodes are added, never changed; their fates are told at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from butwait.schemas.recipe_search import Aggregation
from butwait.schemas.sampling import Completion
from butwait.schemas.tree import Cut, Fate, Resampling, TreeNode
from butwait.schemas.verdict import Verdict
from butwait.transforms.particle.weights import aggregate, log_odds
from butwait.transforms.search.protocol import Child
from butwait.transforms.search.steps import Step


@dataclass(slots=True)
class Sprout:
    """A node on its way into the tree: grown, perhaps scored, not yet judged."""

    parent: int | None
    step: int
    read: Step
    completion: Completion | None
    """None where the request for it was refused."""
    rewards: tuple[float, ...] | None = None
    """What the reward model said of the prefix's steps."""
    cut: Cut | None = None


@dataclass(slots=True)
class Growth:
    """All nodes so far.

    Args:
        how: How a prefix's step rewards become one.
    """

    how: Aggregation
    sprouts: list[Sprout] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    resamplings: list[Resampling] = field(default_factory=list)
    n_prompt_tokens: int = 0
    n_scored: int = 0

    def add(self, sprout: Sprout) -> Child:
        """Add a node and return it as the search method sees it.

        Raises:
            WeightError: A reward outside [0, 1], or not as many as ``how`` needs.
        """
        reward = None if sprout.rewards is None else aggregate(sprout.rewards, self.how)
        child = Child(
            node=len(self.sprouts),
            reward=reward,
            log_odds=0.0 if reward is None else log_odds(reward),
            is_end=sprout.read.end is not None and sprout.cut is None,
            is_dead=sprout.cut is not None,
        )
        self.sprouts.append(sprout)
        self.children.append(child)
        return child

    def path(self, node: int | None) -> tuple[int, ...]:
        """Nodes from the first step down to ``node``."""
        found: list[int] = []
        while node is not None:
            found.append(node)
            node = self.sprouts[node].parent
        return tuple(reversed(found))

    def texts(self, node: int | None) -> tuple[str, ...]:
        """Steps of the partial solution that ends at ``node``."""
        return tuple(self.sprouts[i].read.text for i in self.path(node))

    def token_ids(self, node: int | None) -> tuple[int, ...] | None:
        """Tokens of the partial solution; None where some step's are not known."""
        ids: list[int] = []
        for i in self.path(node):
            completion = self.sprouts[i].completion
            if completion is None or completion.token_ids is None:
                return None
            ids.extend(completion.token_ids)
        return tuple(ids)

    @property
    def n_tokens(self) -> int:
        """Tokens generated."""
        return sum(s.completion.n_completion_tokens for s in self.sprouts if s.completion)

    @property
    def ends(self) -> tuple[int, ...]:
        """Nodes at which a solution finished."""
        return tuple(c.node for c in self.children if c.is_end)


def finish_nodes(
    growth: Growth,
    lost: Fate,
    verdicts: dict[int, Verdict],
    log_weights: dict[int, float],
) -> tuple[TreeNode, ...]:
    """Make the records of all nodes.

    Args:
        growth: The grown tree.
        lost: Fate of a node that could have gone on and did not: ``resampled_out`` or ``pruned``.
        verdicts: Of finished solutions.
        log_weights: Final ones, by node; else the last resampling that a node was in.
    """
    parents = {s.parent for s in growth.sprouts}
    weights = _last_weights(growth.resamplings) | log_weights
    return tuple(
        _make_node(place, sprout, growth, place in parents, lost, verdicts.get(place), weights)
        for place, sprout in enumerate(growth.sprouts)
    )


def _make_node(
    place: int,
    sprout: Sprout,
    growth: Growth,
    has_children: bool,
    lost: Fate,
    verdict: Verdict | None,
    weights: dict[int, float],
) -> TreeNode:
    child, completion = growth.children[place], sprout.completion
    fate = _tell_fate(child, has_children, lost)
    return TreeNode(
        id=place,
        parent=sprout.parent,
        step=sprout.step,
        text=sprout.read.text,
        n_tokens=completion.n_completion_tokens if completion else 0,
        log_prob=completion.log_prob if completion else None,
        seed=completion.seed if completion else None,
        step_score=sprout.rewards[-1] if sprout.rewards else None,
        score=child.reward,
        log_weight=weights.get(place),
        fate=fate,
        end=sprout.read.end if child.is_end else None,
        cut=sprout.cut if fate == "cut" else None,
        verdict=verdict.verdict if verdict else None,
        extracted=verdict.extracted if verdict else None,
        answer_canonical=verdict.prediction_canonical if verdict else None,
    )


def _tell_fate(child: Child, has_children: bool, lost: Fate) -> Fate:
    if has_children:  # also where the budget ended before a second sweep could grow more
        return "continued"
    if child.is_dead:
        return "cut"
    return "finished" if child.is_end else lost


def _last_weights(resamplings: Sequence[Resampling]) -> dict[int, float]:
    return {
        node: weight
        for record in resamplings
        for node, weight in zip(record.particles, record.log_weights, strict=True)
        if weight is not None
    }
