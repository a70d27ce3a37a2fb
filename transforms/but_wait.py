r"""A first thought, "But wait,", and what the model says next.

The D-but-wait transform of the "Lessons on Reproducing R1-like Reasoning" post (5 Feb 2025), after
s1 (arXiv 2501.19393): the end of the thought is suppressed, a phrase is put there, and the model
goes on. Stage 2 uses `pick_sources`, `full_text` and `joiner`; stage 3 uses `but_wait`.

A trace ends with its answer and a row must end right, so rows are made only of the flows
``right_right`` and ``wrong_right``, and of those only where ``spec.keep`` names them. The flows
that end wrong are counted in ``Made.flows`` and nothing else; ``keep`` cannot name them.

The verdict of a continuation is the verdict of its own text: with its parent's text before it, a
continuation that came to no answer would be credited with its parent's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import ButWaitSpec
from butwait.schemas.trace import Flow, Role, Segment, Trace
from butwait.schemas.trajectory import QuestionGroup, Trajectory
from butwait.transforms.seeds import derive_rng
from butwait.transforms.thoughts import (
    continuation_prefix,
    repeated_share,
    split_thought,
    thought_so_far,
)
from butwait.transforms.verified import Dropped, Made, conclude, make_trace

REPEATS = 0.9
"""Share of a continuation that may stand in the text before it; at this share it repeats it. Ours:
high, so that a check that goes through the same steps in a sentence of its own is kept."""
_FLOWS: dict[tuple[str, str], Flow] = {
    ("correct", "correct"): "right_right",
    ("incorrect", "correct"): "wrong_right",
    ("correct", "incorrect"): "right_wrong",
    ("incorrect", "incorrect"): "wrong_wrong",
}
Chain = tuple[Trajectory, ...]
"""A sample and its continuations, one after the other."""


def joiner(phrase: str) -> str:
    """What is put between a thought and its continuation: a blank line and the phrase."""
    return "\n\n" + phrase


def join_continuation(prefix: str, between: str, text: str) -> str:
    """A thought, a joiner and a continuation; an engine that lost the space gets it back."""
    return prefix + _space_out(between, text) + text


def full_text(trajectory: Trajectory, known: Mapping[str, Trajectory]) -> str:
    """A trajectory's whole text, with everything that it continues.

    Args:
        trajectory: A sample or a continuation.
        known: The question's trajectories by id.

    Returns:
        A sample's text as it is; else the parent's thought, the joiner and the text.

    Raises:
        KeyError: A parent is not among ``known``.
    """
    if trajectory.parent_id is None:
        return trajectory.text
    before = continuation_prefix(full_text(known[trajectory.parent_id], known))
    return join_continuation(before, trajectory.joiner, trajectory.text)


def pick_sources(
    samples: Sequence[Trajectory], spec: ButWaitSpec, run_seed: int
) -> list[Trajectory]:
    """Choose which samples of one question are continued.

    Args:
        samples: The question's samples with their verdicts.
        spec: How many are chosen.
        run_seed: Order and which kind comes first derive from it and the question's id.

    Returns:
        At most ``spec.per_question`` samples, wrong and right ones in turn as long as there are
        both; distinct thoughts, verdict ``correct`` or ``incorrect``, not cut by the token limit.
    """
    if not samples:
        return []
    rng = derive_rng(run_seed, samples[0].question_id, "but_wait", "sources")
    wrong_first = bool(rng.integers(2))
    usable = _keep_usable(samples)
    shuffled = [usable[int(i)] for i in rng.permutation(len(usable))]
    wrong = [t for t in shuffled if t.verdict == "incorrect"]
    right = [t for t in shuffled if t.verdict == "correct"]
    first, second = (wrong, right) if wrong_first else (right, wrong)
    n_pairs = min(len(first), len(second))
    in_turn = [t for pair in zip(first, second, strict=False) for t in pair]
    return [*in_turn, *first[n_pairs:], *second[n_pairs:]][: spec.per_question]


def but_wait(question: Question, group: QuestionGroup, spec: ButWaitSpec, run_seed: int) -> Made:
    """Make traces of a question's finished continuations.

    Args:
        question: The question.
        group: Its samples and continuations.
        spec: Number of continuations a trace, flows to keep.
        run_seed: Not used here: the draws were made in `pick_sources`.

    Returns:
        At most ``spec.per_question`` traces and the flows of all finished chains. A chain is
        dropped as ``parent_missing``, ``continuation_incomplete`` (fewer than ``n_waits``),
        ``first_<verdict>`` or ``continuation_<verdict>`` (an end without a verdict on the merits),
        ``flow_not_kept``, ``no_thought``, ``reopened_thought``, ``repeats_itself``,
        ``no_solution``; without any chain the reason is ``no_continuation``.
    """
    del run_seed
    known = {t.id: t for t in (*group.samples, *group.continuations)}
    traces: list[Trace] = []
    dropped: list[Dropped] = []
    flows: list[Flow] = []
    for leaf in _find_leaves(group.continuations):
        chain = _trace_back(leaf, known)
        fault = _find_fault(chain, spec)
        if not fault:
            flow = read_flow(chain)
            flows.append(flow)
            fault = _find_text_fault(chain) if flow in spec.keep else "flow_not_kept"
        if fault:
            dropped.append(Dropped(leaf.id, fault))
        elif len(traces) < spec.per_question:
            traces.append(_make_one(question, group, spec, len(traces), chain))
    reason = None if traces else (dropped[0].reason if dropped else "no_continuation")
    return Made(tuple(traces), reason, tuple(dropped), tuple(flows))


def read_flow(chain: Chain) -> Flow:
    """First against final verdict of a chain whose ends are both right or wrong."""
    return _FLOWS[(chain[0].verdict, chain[-1].verdict)]


def right_right_threshold(rows: Iterable[tuple[str, Flow | None]], share: float) -> str:
    """The rank up to which right→right rows are kept, so that they are at most a share of all.

    Args:
        rows: Id and flow of every row of one configuration, in any order; ids are distinct.
        share: Largest share of right→right rows among all that are kept, in [0, 1].

    Returns:
        A threshold for `is_within_cap`. As many right→right rows stay as the share allows exactly,
        those with the smallest hash of their id, so that neither order nor bundling matters.
    """
    ranks, n_others = [], 0
    for row_id, flow in rows:
        if flow == "right_right":
            ranks.append(_rank(row_id))
        else:
            n_others += 1
    exact = Fraction(str(share))  # 0.3 means three tenths
    n_kept = len(ranks)
    if exact < 1:
        n_kept = min(n_kept, int(exact * n_others / (1 - exact)))
    return sorted(ranks)[n_kept - 1] if n_kept else ""


def is_within_cap(row_id: str, flow: Flow | None, threshold: str) -> bool:
    """Whether a row stays under the cap of `right_right_threshold`."""
    return flow != "right_right" or _rank(row_id) <= threshold


def _rank(row_id: str) -> str:
    return hashlib.sha256(row_id.encode()).hexdigest()


def _space_out(between: str, text: str) -> str:
    needs_space = between and text and not between[-1].isspace() and not text[0].isspace()
    return between + " " if needs_space and text[0] not in ",.;:!?)" else between


def _keep_usable(samples: Sequence[Trajectory]) -> list[Trajectory]:
    seen: set[str] = set()
    usable = []
    for sample in sorted(samples, key=lambda t: t.sample_index):
        thought = " ".join(thought_so_far(sample.text).split())
        graded = sample.verdict in ("correct", "incorrect")
        if graded and sample.finish_reason != "length" and thought and thought not in seen:
            seen.add(thought)
            usable.append(sample)
    return usable


def _find_leaves(continuations: Sequence[Trajectory]) -> list[Trajectory]:
    parents = {t.parent_id for t in continuations}
    return [t for t in continuations if t.id not in parents]


def _trace_back(leaf: Trajectory, known: Mapping[str, Trajectory]) -> Chain:
    """The chain that ends with a leaf; it starts with a continuation where a parent is missing."""
    chain = [leaf]
    while chain[0].parent_id is not None and chain[0].parent_id in known:
        parent = known[chain[0].parent_id]
        if parent in chain:
            break
        chain.insert(0, parent)
    return tuple(chain)


def _find_fault(chain: Chain, spec: ButWaitSpec) -> str:
    """Why a chain has no flow; empty where it has one."""
    graded = ("correct", "incorrect")
    if chain[0].parent_id is not None:
        return "parent_missing"
    if chain[0].verdict not in graded:
        return f"first_{chain[0].verdict}"
    if any(t.finish_reason == "length" for t in chain[1:]):
        return "continuation_truncated"
    if len(chain) != spec.n_waits + 1:
        return "continuation_incomplete"
    if chain[-1].verdict not in graded:
        return f"continuation_{chain[-1].verdict}"
    return ""


def _find_text_fault(chain: Chain) -> str:
    """Why a chain's text cannot become a trace; empty where it can."""
    known = {t.id: t for t in chain}
    if not all(thought_so_far(t.text) for t in chain):
        return "no_thought"
    for parent, continuation in pairwise(chain):
        parts = split_thought(continuation.text, continuation.extracted)
        if parts.begun:
            return "reopened_thought"
        if repeated_share(full_text(parent, known), continuation.text) >= REPEATS:
            return "repeats_itself"
    if not parts.thought:
        return "no_thought"
    return "" if parts.solution else "no_solution"


def _make_one(
    question: Question, group: QuestionGroup, spec: ButWaitSpec, index: int, chain: Chain
) -> Trace:
    first, *middle, last = chain
    segments = [Segment(role=_role(first), text=thought_so_far(first.text))]
    for continuation in middle:
        said = _lead(continuation.text) + thought_so_far(continuation.text)
        segments += [_transition(continuation), Segment(role=_role(continuation), text=said)]
    segments.append(_transition(last))
    parts = split_thought(last.text, last.extracted)
    thought, solution = conclude(parts, spec, lead=_lead(last.text))
    return make_trace(
        question,
        group,
        spec,
        index,
        [*segments, *thought],
        solution,
        chain,
        flow=read_flow(chain),
        first_answer=first.extracted,
    )


def _transition(continuation: Trajectory) -> Segment:
    return Segment(role="transition", text=_space_out(continuation.joiner, continuation.text))


def _role(trajectory: Trajectory) -> Role:
    return "path" if trajectory.verdict == "correct" else "wrong_branch"


def _lead(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]
