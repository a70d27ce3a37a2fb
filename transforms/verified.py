"""The best correct sample of a question, and what all transforms share.

Every transform has one signature: ``(question, group, spec, run_seed) -> Made``. A transform never
judges: it trusts the verdicts of stage 2 and the row's check verifies the finished text again.
Only the verdict ``correct`` is right and only ``incorrect`` is wrong; the other verdicts say
nothing and are never used. Left out: reward models (the best is chosen by index or length).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import RowSpec, TextRowSpec, VerifiedSpec
from butwait.schemas.trace import Flow, Segment, Trace
from butwait.schemas.trajectory import QuestionGroup, Trajectory
from butwait.schemas.verdict import VerdictName
from butwait.transforms.thoughts import Thought, holds_marker, split_thought

_NOT_PARAMETERS = {"transform", "format", "system"}  # these have columns of their own


class Parent(Protocol):
    """What a trace is made of: a trajectory, or a node of a search tree."""

    @property
    def id(self) -> str:
        """Its name in the trace's ``parents``."""

    @property
    def r1_derived(self) -> bool:
        """Whether its text derives from DeepSeek-R1."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """One candidate that did not become a trace."""

    item: str
    """Trajectory id."""
    reason: str


@dataclass(frozen=True, slots=True)
class Made:
    """What a transform made of one question."""

    traces: tuple[Trace, ...] = ()
    reason: str | None = None
    """Why there is no trace; None where there is one."""
    dropped: tuple[Dropped, ...] = ()
    """Candidates that were looked at and left, for the counters."""
    flows: tuple[Flow, ...] = ()
    """First→final flow of every graded candidate, kept or not, for the statistics."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A sample with its parts."""

    sample: Trajectory
    parts: Thought


def verified(question: Question, group: QuestionGroup, spec: VerifiedSpec, run_seed: int) -> Made:
    """Make traces of a question's best correct samples, distinct texts only.

    Args:
        question: The question.
        group: Its samples.
        spec: Which correct samples are best and how many are taken.
        run_seed: Not used: the order is fixed by ``spec.pick``, ties by sample index.

    Returns:
        At most ``spec.per_question`` traces, or ``no_correct_sample`` / ``no_solution``.
    """
    del run_seed
    best = pick_right(group, spec.pick, spec.per_question)
    if not best:
        return Made(reason=explain_no_right(group))
    traces = []
    for i, right in enumerate(best[: spec.per_question]):
        thought, solution = conclude(right.parts, spec)
        trace = make_trace(question, group, spec, i, thought, solution, [right.sample])
        traces.append(trace)
    return Made(tuple(traces))


def pick_right(group: QuestionGroup, pick: str = "first", n: int | None = None) -> list[Parsed]:
    """Correct samples that can be told in thought and solution, best first, distinct texts.

    Args:
        group: A question's samples.
        pick: ``first`` by sample index, ``shortest`` or ``longest`` by characters.
        n: How many are wanted; None: all. Texts behind the last of them are not taken apart.

    Returns:
        The samples; those cut by the token limit after their answer stand behind whole ones, and
        those with stray markers inside last, where the row's check refuses them.
    """
    sign = {"first": 0, "shortest": 1, "longest": -1}[pick]
    ordered = sorted(
        list_distinct(group.samples, "correct"),
        key=lambda t: (t.finish_reason == "length", sign * len(t.text), t.sample_index),
    )
    clean: list[Parsed] = []
    stray: list[Parsed] = []
    for sample in ordered:
        parsed = _parse(sample)
        if parsed is None or not parsed.parts.solution:
            continue
        (clean if is_clean(parsed.parts) else stray).append(parsed)
        if len(clean) == n:
            return clean
    return (clean + stray)[:n]


def explain_no_right(group: QuestionGroup) -> str:
    """Why `pick_right` found nothing."""
    has_right = any(t.verdict == "correct" for t in group.samples)
    return "no_solution" if has_right else "no_correct_sample"


def parse_samples(samples: Sequence[Trajectory], verdict: VerdictName) -> list[Parsed]:
    """Samples of one verdict that hold a thought, in index order; the same text only once."""
    parsed = (_parse(sample) for sample in list_distinct(samples, verdict))
    return [one for one in parsed if one is not None]


def list_distinct(samples: Sequence[Trajectory], verdict: VerdictName) -> list[Trajectory]:
    """Samples of one verdict in index order; the same text only once."""
    found: dict[str, Trajectory] = {}
    for sample in sorted(samples, key=lambda t: t.sample_index):
        if sample.verdict == verdict:
            found.setdefault(" ".join(sample.text.split()), sample)
    return list(found.values())


def _parse(sample: Trajectory) -> Parsed | None:
    parts = split_thought(sample.text, sample.extracted)
    return Parsed(sample, parts) if parts.thought else None


def is_clean(parts: Thought) -> bool:
    """Whether no marker of any form is left inside thought or solution."""
    return not holds_marker(parts.thought + "\n" + parts.solution)


def conclude(
    parts: Thought, spec: TextRowSpec, lead: str = ""
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """The last thought and the solution as segments.

    A text that is all thought gets a restatement as its solution; without markers (``plain``) that
    would only say the answer twice, so that there the whole text is the solution.

    Args:
        parts: The text's parts.
        spec: Tells the renderer.
        lead: White space that stood before the text and belongs to the first segment.

    Returns:
        Thought segments (perhaps none) and solution segments.
    """
    if parts.restated and spec.format == "plain":
        return (), (Segment(role="answer", text=lead + parts.thought),)
    thought = (Segment(role="path", text=lead + parts.thought),)
    return thought, (Segment(role="answer", text=parts.solution),)


def make_trace(
    question: Question,
    group: QuestionGroup,
    spec: TextRowSpec,
    index: int,
    thought: Sequence[Segment],
    solution: Sequence[Segment],
    parents: Sequence[Parent],
    *,
    flow: Flow | None = None,
    first_answer: str | None = None,
) -> Trace:
    """One trace with its id, parameters and parents; without parents it is the source's text."""
    derived = any(p.r1_derived for p in parents) if parents else question.r1_derived
    return Trace(
        id=f"{question.id}-{name_function(spec)}-{index}",
        question_id=question.id,
        transform=spec.transform.rsplit("/", 1)[-1],
        parameters=name_parameters(spec),
        thought=tuple(thought),
        solution=tuple(solution),
        parents=tuple(p.id for p in parents),
        answer=question.gold,
        flow=flow,
        first_answer=first_answer,
        n_transitions=sum(s.role == "transition" for s in thought),
        pass_rate=group.pass_rate,
        r1_derived=derived,
    )


def name_function(spec: RowSpec) -> str:
    """A transform's name in ids: of somebody's own, the function's without its file."""
    return spec.transform.rpartition(":")[2]


def name_parameters(spec: RowSpec) -> str:
    """A transform's parameters as canonical JSON, without what rows have columns for."""
    values = spec.model_dump(mode="json", exclude=_NOT_PARAMETERS)
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
