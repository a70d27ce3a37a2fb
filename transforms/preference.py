"""Pairs of continuations of one prefix of a search, the better one and the worse.

Each pair leaves its prefix at once: the two begin with different steps. What makes one better is
the recipe's choice, ``by``; how far they are told, ``span``:

- ``outcome``: ``solution`` pairs a right leaf with a wrong one; ``step`` a step that some right
  leaf grew from with one that only wrong leaves grew from.
- ``value``: the shares of right leaves below the two steps differ by ``margin``; as ``solution``
  the better step goes on to a right leaf and the worse to a wrong one.
- ``prm``: the rewards differ by ``margin``; as ``solution`` those of two leaves, the better of them
  right (unless the recipe says ``chosen: any``). A step whose leaves are worse than the other's is
  never preferred for its reward.

Left out: pairs of two questions, and any weighting of the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import PreferenceSpec
from butwait.schemas.trajectory import QuestionGroup
from butwait.transforms.seeds import derive_rng
from butwait.transforms.tree_facts import TreeFacts, TreeParent, fold, read_facts

_ROUNDING = 1e-9  # two numbers that differ by exactly the margin do, whatever their binary digits
Steps = tuple[int, int]
"""The better and the worse of two merged nodes with one parent."""


@dataclass(frozen=True, slots=True)
class Side:
    """One continuation of a pair."""

    parent: TreeParent
    """Its last node."""
    text: str
    """Prefix and continuation, stripped."""
    verdict: Literal["correct", "incorrect"] | None
    """None where it is no finished solution."""
    value: float | None
    """Share of right leaves below its first step."""
    score: float | None
    """Process reward of all that is shown."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two continuations of one prefix."""

    chosen: Side
    rejected: Side
    prefix_characters: int
    """Characters that both texts share because their nodes do."""


@dataclass(frozen=True, slots=True)
class MadePairs:
    """What one question gave."""

    pairs: tuple[Pair, ...] = ()
    reason: str | None = None


def preference(
    question: Question, group: QuestionGroup, spec: PreferenceSpec, run_seed: int
) -> MadePairs:
    """Make pairs from a search tree, at most one a prefix.

    Args:
        question: The question.
        group: Its search tree.
        spec: What makes one better, and how much is shown.
        run_seed: Which prefixes are taken, and which leaves, derives from it and the question's id.

    Returns:
        At most ``spec.per_question`` pairs, or ``no_tree`` / ``no_judged_leaf`` (for ``outcome``
        and ``value``) / ``no_pair``.
    """
    if group.tree is None:
        return MadePairs(reason="no_tree")
    facts = read_facts(group.tree)
    if spec.by != "prm" and not any(facts.n_judged[i] for i in facts.roots):
        return MadePairs(reason="no_judged_leaf")
    rng = derive_rng(run_seed, question.id, "preference", spec.by, spec.span)
    pairs = []
    for prefix in _draw_prefixes(facts, rng):
        pair = _make_pair(facts, prefix, spec, rng)
        if pair is not None:
            pairs.append(pair)
        if len(pairs) == spec.per_question:
            break
    return MadePairs(tuple(pairs), None if pairs else "no_pair")


def _draw_prefixes(facts: TreeFacts, rng: np.random.Generator) -> Iterator[int | None]:
    """Prefixes that go on in two ways or more, in random order; None is the empty one."""
    forks: list[int | None] = [i for i, below in enumerate(facts.children) if len(below) > 1]
    if len(facts.roots) > 1:
        forks.append(None)
    return (forks[int(i)] for i in rng.permutation(len(forks)))


def _make_pair(
    facts: TreeFacts, prefix: int | None, spec: PreferenceSpec, rng: np.random.Generator
) -> Pair | None:
    steps = facts.steps_after(prefix)
    if spec.by == "prm" and spec.span == "solution":
        ends = _pair_scored_leaves(facts, steps, spec.margin, only_right=spec.chosen == "right")
    else:
        choose = {"outcome": _pair_outcomes, "value": _pair_values, "prm": _pair_scores}[spec.by]
        ends = chosen = choose(facts, steps, spec, rng)
        if chosen is not None and spec.span == "solution":
            ends = _go_right(facts, chosen[0], rng), _go_wrong(facts, chosen[1], rng)
    return None if ends is None else _read_pair(facts, prefix, ends)


def _pair_outcomes(
    facts: TreeFacts, steps: Sequence[int], spec: PreferenceSpec, rng: np.random.Generator
) -> Steps | None:
    rights = [i for i in steps if facts.n_right[i]]
    wrongs = [i for i in steps if facts.n_wrong(i)]
    if spec.span == "step":
        wrongs = [i for i in wrongs if not facts.n_right[i]]
    for k in rng.permutation(len(rights)):
        better = rights[int(k)]
        if others := [i for i in wrongs if i != better]:
            return better, others[int(rng.integers(len(others)))]
    return None


def _pair_values(
    facts: TreeFacts, steps: Sequence[int], spec: PreferenceSpec, rng: np.random.Generator
) -> Steps | None:
    del rng
    judged = [i for i in steps if facts.n_judged[i] >= spec.min_rollouts]
    return _widest(judged, lambda i: facts.n_right[i] / facts.n_judged[i], spec.margin)


def _pair_scores(
    facts: TreeFacts, steps: Sequence[int], spec: PreferenceSpec, rng: np.random.Generator
) -> Steps | None:
    del rng
    scores = {i: score for i in steps if (score := facts.scores[i]) is not None}
    return _widest(list(scores), lambda i: scores[i], spec.margin, _may_prefer(facts))


def _may_prefer(facts: TreeFacts) -> Callable[[int, int], bool]:
    """Whether the outcomes below two steps do not speak against preferring the first."""

    def allow(better: int, worse: int) -> bool:
        first, second = facts.value(better), facts.value(worse)
        return first is None or (first > 0.0 and (second is None or first >= second))

    return allow


def _widest(
    steps: Sequence[int],
    measure: Callable[[int], float],
    margin: float,
    allow: Callable[[int, int], bool] = lambda better, worse: True,
) -> Steps | None:
    """The allowed pair that lies furthest apart, at least by the margin; ties by node id."""
    down = sorted(steps, key=lambda i: (-measure(i), i))
    up = sorted(steps, key=lambda i: (measure(i), i))
    best, widest = None, margin - _ROUNDING
    for better in down:
        for worse in up:
            gap = measure(better) - measure(worse)
            if gap < widest or (best is not None and gap == widest):
                break
            if better != worse and allow(better, worse):
                best, widest = (better, worse), gap
                break
    return best


def _pair_scored_leaves(
    facts: TreeFacts, steps: Sequence[int], margin: float, *, only_right: bool
) -> Steps | None:
    """A (right) leaf and another judged one below different steps, as far apart as there are."""
    highest: dict[int, int] = {}
    lowest: dict[int, int] = {}
    scores: dict[int, float] = {}
    for step in steps:
        for leaf in _judged_leaves(facts, step):
            score = facts.scores[leaf]
            if score is None:
                continue
            scores[leaf] = score
            if score < scores.get(lowest.get(step, -1), 2.0):
                lowest[step] = leaf
            may_win = not only_right or facts.verdict(leaf) == "correct"
            if may_win and score > scores.get(highest.get(step, -1), -1.0):
                highest[step] = leaf
    pairs = [
        (scores[highest[a]] - scores[lowest[b]], highest[a], lowest[b])
        for a in sorted(highest, key=lambda i: -scores[highest[i]])[:2]
        for b in sorted(lowest, key=lambda i: scores[lowest[i]])[:2]
        if a != b
    ]  # two of each are enough: the best pair that leaves the prefix in two ways is among them
    gap, better, worse = max(pairs, default=(0.0, -1, -1), key=lambda pair: pair[0])
    return (better, worse) if gap >= margin - _ROUNDING else None


def _judged_leaves(facts: TreeFacts, step: int) -> Iterator[int]:
    """Merged nodes at or below a step that are finished and right or wrong."""
    open_nodes = [step]
    while open_nodes:
        node = open_nodes.pop()
        if facts.verdict(node) is not None:
            yield node
        open_nodes += [i for i in facts.children[node] if facts.n_judged[i]]


def _go_right(facts: TreeFacts, step: int, rng: np.random.Generator) -> int:
    return _descend(facts, step, lambda i: facts.n_right[i], rng)


def _go_wrong(facts: TreeFacts, step: int, rng: np.random.Generator) -> int:
    return _descend(facts, step, facts.n_wrong, rng)


def _descend(
    facts: TreeFacts, step: int, count: Callable[[int], int], rng: np.random.Generator
) -> int:
    """A random leaf of those counted at or below a step, each as likely as the others."""
    while True:
        below = [i for i in facts.children[step] if count(i)]
        draw = int(rng.integers(count(step)))
        for child in below:
            draw -= count(child)
            if draw < 0:
                break
        else:
            return step
        step = child


def _read_pair(facts: TreeFacts, prefix: int | None, ends: Steps) -> Pair | None:
    """The texts of a pair; None where one of them says nothing, or both the same."""
    before = () if prefix is None else facts.path(prefix)
    shared = "" if prefix is None else facts.text(prefix)
    sides = []
    for end in ends:
        text = facts.text(end)
        side = Side(
            parent=TreeParent(facts.tree, facts.tree.nodes[end]),
            text=text.strip(),
            verdict=facts.verdict(end),
            value=facts.value(facts.path(end)[len(before)]),
            score=facts.scores[end],
        )
        sides.append(side)
        if not text[len(shared) :].strip():
            return None
    if fold(sides[0].text) == fold(sides[1].text):
        return None
    return Pair(sides[0], sides[1], len(shared.lstrip()))
