"""A dead branch of a search, the words "I made a mistake", and the way back to the good path.

The D-backtrack transform of the "Lessons on Reproducing R1-like Reasoning" post (5 Feb 2025): along
a path that came out right, steps are preceded by a branch that the search gave up, told as far as
it went. Unstated in the source and decided here: which branches count as mistakes (the post's own
rule is ``faithful``, the default asks the reward model for a margin, see
`butwait.transforms.dead_branches`), how many a trace has (drawn, at most one a step), and where the
good path goes on (at the fork).

At each joint stands exactly one blank line. Where the separator of the steps has visible characters
(a blank line and ``##``), they go with the step that they introduce. A mistake in the concluding
step moves the whole conclusion into the thought, and a sentence with the box is the solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import BacktrackSpec
from butwait.schemas.trace import Segment, Trace
from butwait.schemas.trajectory import QuestionGroup
from butwait.schemas.tree import SearchTree
from butwait.transforms.correct_only import RightLeaf, explain_no_right_leaf, pick_right_leaves
from butwait.transforms.dead_branches import Chain, DeadBranches
from butwait.transforms.seeds import derive_rng
from butwait.transforms.thoughts import find_answer, holds_marker, restate, thought_so_far
from butwait.transforms.tree_facts import TreeFacts, TreeParent, read_facts
from butwait.transforms.verified import Made, make_trace

_TRIES_A_TRACE = 4  # draws a trace, beyond one a path, before there is no further distinct one


@dataclass(frozen=True, slots=True)
class Fork:
    """A step of the good path that has a dead branch beside it."""

    begin: int
    """Character at which the step begins in the good text."""
    cut: int
    """Where the text is left for the branch: the same, or where the separator becomes visible."""
    good: int
    starts: tuple[int, ...]
    """First nodes of the branches."""


@dataclass(frozen=True, slots=True)
class GoodPath:
    """A right solution with the places at which it can be left."""

    right: RightLeaf
    start: int
    """First character of the thought."""
    end: int
    """First character behind the thought."""
    stop: int
    """First character behind what can be told: the thought where markers close it, else all."""
    forks: tuple[Fork, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One branch as it is told."""

    fork: Fork
    chain: Chain
    text: str


def backtrack(question: Question, group: QuestionGroup, spec: BacktrackSpec, run_seed: int) -> Made:
    """Make traces that follow dead branches, say so, and come back to a path that ends right.

    Args:
        question: The question.
        group: Its search tree.
        spec: What is dead, how many mistakes, the transition sentences.
        run_seed: Every draw derives from it, the question's id and the draw's number.

    Returns:
        At most ``spec.per_question`` distinct traces, right leaves in turn, or ``no_tree`` /
        ``no_correct_leaf`` / ``no_solution`` / ``no_dead_branch`` / ``too_few_dead_branches``
        (fewer than the least number asked for) / ``branch_unusable`` (all say what a right
        solution says, or nothing, or hold markers).
    """
    if group.tree is None:
        return Made(reason="no_tree")
    facts = read_facts(group.tree)
    rights = pick_right_leaves(facts)
    if not rights:
        return Made(reason=explain_no_right_leaf(facts))
    dead = DeadBranches(facts, spec)
    forked = [path for right in rights if (path := read_path(facts, dead, right)).forks]
    paths = [path for path in forked if len(path.forks) >= spec.n_backtracks[0]]
    if not paths:
        return Made(reason="too_few_dead_branches" if forked else "no_dead_branch")
    traces = _draw_traces(question, group, dead, paths, run_seed)
    return Made(tuple(traces), None if traces else "branch_unusable")


def read_path(facts: TreeFacts, dead: DeadBranches, right: RightLeaf) -> GoodPath:
    """Find a right solution's thought in its text, and the forks at which it can be left.

    Args:
        facts: The tree.
        dead: Its dead branches.
        right: A right leaf with its parts.

    Returns:
        The path; without forks where its thought is not one piece of its text.
    """
    parts, text = right.parts, right.text
    start = text.find(parts.thought, len(parts.opening))
    end = start + len(parts.thought)
    stop = end if parts.marked else len(text.rstrip())
    forks: dict[int, Fork] = {}
    if start >= 0:
        begins = _find_begins(facts.tree, right)
        for (begin, cut), good in zip(begins, facts.path(right.node.id), strict=True):
            place = max(start, cut)
            # Steps inside the opening marker begin where the thought does: the first one counts.
            if place >= stop or place in forks:
                continue
            may_part = place == start or begin > cut or _is_between_words(text, place)
            if may_part and (starts := dead.beside(good)):
                forks[place] = Fork(begin, place, good, starts)
    return GoodPath(right, start, end, stop, tuple(forks.values()))


def _find_begins(tree: SearchTree, right: RightLeaf) -> list[tuple[int, int]]:
    """For each step where it begins, and where the visible part of the separator before it does."""
    visible = len(tree.separator.lstrip())
    found, at, before = [], 0, ""
    for node in tree.path(right.node.id):
        found.append((at, at - visible if before.endswith(tree.separator) else at))
        before = tree.nodes[node].text
        at += len(before)
    return found


def _draw_traces(
    question: Question,
    group: QuestionGroup,
    dead: DeadBranches,
    paths: Sequence[GoodPath],
    run_seed: int,
) -> list[Trace]:
    """Distinct traces, paths in turn."""
    spec, tree = dead.spec, dead.facts.tree
    traces: list[Trace] = []
    seen: set[str] = set()
    for attempt in range(len(paths) + _TRIES_A_TRACE * spec.per_question):
        rng = derive_rng(run_seed, question.id, "backtrack", str(attempt))
        path = paths[attempt % len(paths)]
        mistakes = _draw_mistakes(path, dead, rng)
        if len(mistakes) < spec.n_backtracks[0]:
            continue
        thought, solution = _tell(path, mistakes, spec, rng)
        text = "".join(s.text for s in (*thought, *solution))
        if text not in seen:
            seen.add(text)
            parents = _name_parents(tree, path, mistakes)
            trace = make_trace(question, group, spec, len(traces), thought, solution, parents)
            traces.append(trace)
        if len(traces) == spec.per_question:
            break
    return traces


def _is_between_words(text: str, place: int) -> bool:
    """Whether a text may be left at a place; not where the token limit broke a line."""
    return text[place - 1].isspace() or text[place].isspace()


def _draw_mistakes(path: GoodPath, dead: DeadBranches, rng: np.random.Generator) -> list[Mistake]:
    """Mistakes at different steps, in the order of the text."""
    least, most = dead.spec.n_backtracks
    n = int(rng.integers(least, max(least, min(most, len(path.forks))) + 1))
    found: list[Mistake] = []
    for i in rng.permutation(len(path.forks)):
        mistake = _draw_branch(path, path.forks[int(i)], dead, rng)
        if mistake is not None:
            found.append(mistake)
        if len(found) == n:
            break
    return sorted(found, key=lambda mistake: mistake.fork.cut)


def _draw_branch(
    path: GoodPath, fork: Fork, dead: DeadBranches, rng: np.random.Generator
) -> Mistake | None:
    """A dead branch at a fork whose text can be told; None where there is none."""
    for i in rng.permutation(len(fork.starts)):
        chains = list(dead.chains(fork.starts[int(i)], fork.good))
        for k in rng.permutation(len(chains)):
            text = _branch_text(dead, path.right.text, fork, chains[int(k)])
            if text is not None:
                return Mistake(fork, chains[int(k)], text)
    return None


def _branch_text(dead: DeadBranches, good: str, fork: Fork, chain: Chain) -> str | None:
    """What a branch says, without markers; None where it cannot stand as a mistake."""
    tree = dead.facts.tree
    whole = good[: fork.begin] + "".join(tree.nodes[i].text for i in chain)
    whole = whole.removesuffix(tree.separator)
    body = thought_so_far(whole)
    at = whole.find(body)
    end = at + len(body)
    text = whole[max(fork.cut, at) : end].strip()
    if not text or holds_marker(text) or dead.is_right_so_far(whole[:end], good):
        return None
    return text


def _tell(
    path: GoodPath, mistakes: Sequence[Mistake], spec: BacktrackSpec, rng: np.random.Generator
) -> tuple[list[Segment], list[Segment]]:
    """Thought and solution: path, branch, transition, perhaps again, and the rest of the path."""
    thought: list[Segment] = []
    begin = path.start
    for mistake in mistakes:
        if told := path.right.text[begin : mistake.fork.cut].strip():
            thought.append(Segment(role="path", text=f"{told}\n\n"))
        sentence = spec.transitions[int(rng.integers(len(spec.transitions)))]
        thought.append(Segment(role="wrong_branch", text=mistake.text))
        thought.append(Segment(role="transition", text=f"\n\n{sentence}\n\n"))
        begin = mistake.fork.cut if spec.resume == "divergence" else path.start
    rest, solution = _conclude(path, begin, spec)
    if rest:
        thought.append(Segment(role="path", text=rest))
    return thought, [Segment(role="answer", text=solution)]


def _conclude(path: GoodPath, begin: int, spec: BacktrackSpec) -> tuple[str, str]:
    """The last piece of the path and the solution, told from a character of the text on."""
    text, parts = path.right.text, path.right.parts
    is_plain = spec.format == "plain"
    if begin < path.end and not (parts.restated and is_plain):
        return text[begin : path.end].strip(), parts.solution
    rest = text[begin : path.stop].strip()
    if is_plain:
        return "", rest  # without markers a restatement would only say the answer twice
    answer = path.right.node.extracted or find_answer(text)
    return rest, restate(answer) or parts.solution


def _name_parents(
    tree: SearchTree, path: GoodPath, mistakes: Sequence[Mistake]
) -> list[TreeParent]:
    """The ends of the branches, then the leaf that the answer comes from."""
    ends = [tree.nodes[mistake.chain[-1]] for mistake in mistakes]
    return [TreeParent(tree, node) for node in (*ends, path.right.node)]
