"""The right solutions of a search, without the branches that died.

The control of the backtracking experiment in "Lessons on Reproducing R1-like Reasoning", Update 2
(7 Feb 2025): the same searched solutions told straight. Every finished solution with the verdict
``correct`` counts, not only the one that the method selected. Left out: how a tree was searched.
"""

from __future__ import annotations

from dataclasses import dataclass

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import CorrectOnlySpec
from butwait.schemas.trajectory import QuestionGroup
from butwait.schemas.tree import TreeNode
from butwait.transforms.thoughts import Thought, split_thought
from butwait.transforms.tree_facts import TreeFacts, TreeParent, read_facts
from butwait.transforms.verified import Made, conclude, is_clean, make_trace


@dataclass(frozen=True, slots=True)
class RightLeaf:
    """A finished solution that came out right, with its parts."""

    node: TreeNode
    text: str
    parts: Thought


def correct_only(
    question: Question, group: QuestionGroup, spec: CorrectOnlySpec, run_seed: int
) -> Made:
    """Make traces of a search's right solutions, distinct texts only.

    Args:
        question: The question.
        group: Its search tree.
        spec: Which right leaves come first and how many are taken.
        run_seed: Not used: the order is fixed by ``spec.pick``, ties by node id.

    Returns:
        At most ``spec.per_question`` traces, or ``no_tree`` / ``no_correct_leaf`` /
        ``no_solution``.
    """
    del run_seed
    if group.tree is None:
        return Made(reason="no_tree")
    facts = read_facts(group.tree)
    best = pick_right_leaves(facts, spec.pick)
    if not best:
        return Made(reason=explain_no_right_leaf(facts))
    traces = []
    for i, right in enumerate(best[: spec.per_question]):
        thought, solution = conclude(right.parts, spec)
        parents = [TreeParent(group.tree, right.node)]
        traces.append(make_trace(question, group, spec, i, thought, solution, parents))
    return Made(tuple(traces))


def pick_right_leaves(facts: TreeFacts, pick: str = "best") -> list[RightLeaf]:
    """Right leaves that can be told in thought and solution, best first, distinct texts.

    Args:
        facts: A question's search tree.
        pick: ``best`` by process reward (unscored ones last), ``shortest`` or ``longest`` by
            characters; ties by node id.

    Returns:
        The leaves; those with stray markers inside stand last, where the row's check refuses them.
    """
    found = []
    for node in facts.leaves("correct"):
        text = facts.tree.text(node.id)
        parts = split_thought(text, node.extracted)
        if parts.thought and parts.solution:
            found.append(RightLeaf(node, text, parts))
    return sorted(found, key=lambda leaf: (not is_clean(leaf.parts), *_rank(leaf, pick)))


def explain_no_right_leaf(facts: TreeFacts) -> str:
    """Why `pick_right_leaves` found nothing."""
    has_right = any(node.verdict == "correct" for node in facts.tree.nodes)
    return "no_solution" if has_right else "no_correct_leaf"


def _rank(leaf: RightLeaf, pick: str) -> tuple[float, int]:
    if pick == "best":
        return -leaf.node.score if leaf.node.score is not None else 1.0, leaf.node.id
    sign = 1 if pick == "shortest" else -1
    return sign * len(leaf.text), leaf.node.id
