"""One answer out of final particles: the best, a draw, or a vote.

Votes are merged by the verifier's equivalence (``1/2`` and ``0.5`` are one answer), not by string.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from butwait.schemas.recipe_search import Select
from butwait.schemas.tree import Vote
from butwait.transforms.search.protocol import Final
from butwait.transforms.verify import DEFAULT, Limits, compare


@dataclass(frozen=True, slots=True)
class Answered:
    """A final particle with what it answers."""

    leaf: int
    answer: str | None
    """Answer text; None where none was found."""
    canonical: str | None
    log_weight: float
    reward: float | None


def join_answers(
    final: Final, answers: dict[int, tuple[str | None, str | None]]
) -> tuple[Answered, ...]:
    """Put leaves, weights and answers (leaf → text and canonical form) side by side."""
    return tuple(
        Answered(leaf.node, *answers.get(leaf.node, (None, None)), log_weight, leaf.reward)
        for leaf, log_weight in zip(final.leaves, final.log_weights, strict=True)
    )


def count_votes(
    answered: Sequence[Answered], problem: str | None = None, limits: Limits = DEFAULT
) -> tuple[Vote, ...]:
    """Merge equal answers.

    Args:
        answered: Final particles; those without an answer (or with a blank one) have no vote.
        problem: The question's text, which the verifier may read options off.
        limits: Of one comparison.

    Returns:
        Heaviest first; ties by number, then by leaf.
    """
    able = [a for a in answered if a.answer and a.answer.strip()]
    if not able:
        return ()
    groups = _merge(able, problem, limits)
    # Of those with an answer: a heavier particle without one must not press theirs to nothing.
    log_total = np.logaddexp.reduce([a.log_weight for a in able])
    votes = []
    for group in groups:
        heaviest = max(group, key=lambda a: (a.log_weight, -a.leaf))
        weight = float(np.exp(np.logaddexp.reduce([a.log_weight for a in group]) - log_total))
        votes.append(
            Vote(
                answer=heaviest.answer or "",
                n=len(group),
                weight=min(1.0, weight),
                leaf=heaviest.leaf,
                leaves=tuple(sorted({a.leaf for a in group})),
            )
        )
    return tuple(sorted(votes, key=lambda v: (-v.weight, -v.n, v.leaf)))


def select_leaf(
    answered: Sequence[Answered],
    votes: Sequence[Vote],
    how: Select,
    rng: np.random.Generator,
) -> int | None:
    """Choose the leaf that a search answers with.

    Args:
        answered: Final particles.
        votes: Theirs, from `count_votes`.
        how: ``argmax``: the best reward (the weight where nothing scores; answers only, where there
            are any). ``sample``: a draw by weight. ``vote``: the answer that most particles have.
            ``weighted_vote``: the answer with most weight.
        rng: For ``sample``.

    Returns:
        A leaf, or None where there is none to choose (for the votes: none with an answer).
    """
    if not answered:
        return None
    if how == "sample":
        weights = np.exp([a.log_weight for a in answered])
        return answered[int(rng.choice(len(answered), p=weights / weights.sum()))].leaf
    if how == "argmax":
        able = [a for a in answered if a.answer is not None] or list(answered)
        return max(able, key=lambda a: (_merit(a), -a.leaf)).leaf
    if not votes:
        return None
    if how == "vote":
        return max(votes, key=lambda v: (v.n, v.weight, -v.leaf)).leaf
    return votes[0].leaf


def _merit(answered: Answered) -> float:
    return answered.log_weight if answered.reward is None else answered.reward


def _merge(
    answered: Sequence[Answered], problem: str | None, limits: Limits
) -> list[list[Answered]]:
    """Group by equal text first; only one of each text is compared with the others."""
    by_text: dict[str, list[Answered]] = {}
    for a in answered:
        by_text.setdefault(a.canonical or (a.answer or "").strip(), []).append(a)
    groups: list[list[Answered]] = []
    for members in by_text.values():
        home = next((g for g in groups if _is_same(g[0], members[0], problem, limits)), None)
        if home is None:
            groups.append(members)
        else:
            home.extend(members)
    return groups


def _is_same(one: Answered, other: Answered, problem: str | None, limits: Limits) -> bool:
    assert one.answer is not None and other.answer is not None
    return compare(one.answer, other.answer, problem=problem, limits=limits).correct
