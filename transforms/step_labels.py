"""Solutions in steps, each with the share of right ones among the solutions that grew from it.

The Monte-Carlo labels of Math-Shepherd (arXiv 2312.08935), read off a search instead of fresh
rollouts: ``hard`` is its hard estimation (some right leaf below), ``soft`` its soft one against a
threshold. Hard labels never turn right again once they are wrong, because a right leaf below a step
lies below every step before it too; soft ones may. A step that the token limit broke is one step
with what continues it. What the shares estimate, and what not: `butwait.transforms.tree_facts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import StepLabelsSpec
from butwait.schemas.trajectory import QuestionGroup
from butwait.schemas.tree import TreeNode
from butwait.transforms.seeds import derive_rng
from butwait.transforms.tree_facts import TreeFacts, TreeParent, read_facts

INCOMPLETE = "incomplete"
"""Verdict of a row that ends before its leaf."""


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """One step of a solution."""

    text: str
    """Without its separator, stripped."""
    label: bool
    value: float
    """Share of right leaves at or below it."""
    n_rollouts: int
    """Judged leaves at or below it."""
    score: float | None


@dataclass(frozen=True, slots=True)
class LabelledSolution:
    """A solution, or its first steps."""

    steps: tuple[LabelledStep, ...]
    verdict: str
    """Verdict of the leaf; ``incomplete`` where the steps end before it."""
    parent: TreeParent
    """The last node that is shown."""


@dataclass(frozen=True, slots=True)
class MadeSolutions:
    """What one question gave."""

    solutions: tuple[LabelledSolution, ...] = ()
    reason: str | None = None


def step_labels(
    question: Question, group: QuestionGroup, spec: StepLabelsSpec, run_seed: int
) -> MadeSolutions:
    """Label the steps of a search's solutions, right and wrong leaves in turn.

    Args:
        question: The question.
        group: Its search tree.
        spec: How a share becomes a label, and how many leaves it must rest on.
        run_seed: The order of the leaves derives from it and the question's id.

    Returns:
        At most ``spec.per_question`` solutions of distinct steps, or ``no_tree`` /
        ``no_judged_leaf`` / ``no_labelled_step`` (all have fewer than ``spec.min_rollouts``).
    """
    if group.tree is None:
        return MadeSolutions(reason="no_tree")
    facts = read_facts(group.tree)
    leaves = _order_leaves(facts, question, run_seed)
    if not leaves:
        return MadeSolutions(reason="no_judged_leaf")
    found: dict[tuple[str, ...], LabelledSolution] = {}
    for leaf in leaves:
        solution = label_steps(facts, leaf, spec)
        if solution is not None:
            found.setdefault(tuple(step.text for step in solution.steps), solution)
        if len(found) == spec.per_question:
            break
    return MadeSolutions(tuple(found.values()), None if found else "no_labelled_step")


def label_steps(facts: TreeFacts, leaf: TreeNode, spec: StepLabelsSpec) -> LabelledSolution | None:
    """The steps to a leaf, up to the first one with too few leaves below; None without any.

    Args:
        facts: The tree.
        leaf: A judged leaf.
        spec: How a share becomes a label.

    Returns:
        The labelled steps; those without a word are left out.
    """
    steps: list[LabelledStep] = []
    last: int | None = None
    for text, node in _read_steps(facts, leaf):
        value, n_judged = facts.value(node), facts.n_judged[node]
        if value is None or n_judged < spec.min_rollouts:
            break
        last = node
        if text:
            label = value > 0.0 if spec.labels == "hard" else value >= spec.threshold
            steps.append(LabelledStep(text, label, value, n_judged, facts.scores[node]))
    if not steps or last is None:
        return None
    is_whole = last == facts.same_as[leaf.id]
    end = leaf if is_whole else facts.tree.nodes[last]
    verdict = str(leaf.verdict) if is_whole else INCOMPLETE
    return LabelledSolution(tuple(steps), verdict, TreeParent(facts.tree, end))


def _read_steps(facts: TreeFacts, leaf: TreeNode) -> Iterator[tuple[str, int]]:
    """Text and last merged node of each step; nodes without a separator go with the next."""
    separator, text = facts.tree.separator, ""
    for place, node in zip(facts.tree.path(leaf.id), facts.path(leaf.id), strict=True):
        text += facts.tree.nodes[place].text
        if text.endswith(separator) or place == leaf.id:
            yield text.removesuffix(separator).strip(), node
            text = ""


def _order_leaves(facts: TreeFacts, question: Question, run_seed: int) -> list[TreeNode]:
    """Right and wrong leaves in turn, each kind in an order by seed."""
    rng = derive_rng(run_seed, question.id, "step_labels")
    right, wrong = facts.leaves("correct"), facts.leaves("incorrect")
    rights = [right[int(i)] for i in rng.permutation(len(right))]
    wrongs = [wrong[int(i)] for i in rng.permutation(len(wrong))]
    in_turn = chain.from_iterable(zip_longest(rights, wrongs))
    return [leaf for leaf in in_turn if leaf is not None]
