"""Wrong thoughts, a transition after each, then a verified thought and its solution.

The D-stitch transform of the "Lessons on Reproducing R1-like Reasoning" post (5 Feb 2025). A wrong
sample gives its thought and loses its solution section; where it is a single paragraph, the whole
text is the thought. Unstated in the source and decided here: how many wrong thoughts (drawn between
``n_wrong``'s bounds, the upper one capped by what there is), which (by seed, distinct final answers
first), which transition (by seed); and a wrong thought that says nothing but what the right one
says too keeps its conclusion, because there is its only error. Left out: any search for the step
that went wrong.
"""

from __future__ import annotations

import numpy as np

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import StitchSpec
from butwait.schemas.trace import Segment, Trace
from butwait.schemas.trajectory import QuestionGroup
from butwait.transforms.seeds import derive_rng
from butwait.transforms.thoughts import repeated_share
from butwait.transforms.verified import (
    Made,
    Parsed,
    conclude,
    explain_no_right,
    is_clean,
    make_trace,
    parse_samples,
    pick_right,
)

_NOT_SHOWN_WRONG = ("unreadable", "too_long")
"""Rules of the verifier that refuse an answer without having shown that it differs."""
_TRIES_A_TRACE = 4  # draws a trace before a question counts as having no further distinct one


def stitch(question: Question, group: QuestionGroup, spec: StitchSpec, run_seed: int) -> Made:
    """Make traces that go wrong, say so, and end right.

    Args:
        question: The question.
        group: Its samples; only the verdict ``incorrect`` counts as wrong.
        spec: How many wrong thoughts, and the transition sentences.
        run_seed: Every draw derives from it, the question's id and the draw's number.

    Returns:
        At most ``spec.per_question`` distinct traces, or ``no_correct_sample`` / ``no_solution`` /
        ``no_wrong_sample`` / ``too_few_wrong_samples`` (fewer than the least number asked for).
    """
    rights = pick_right(group, n=spec.per_question)
    if not rights:
        return Made(reason=explain_no_right(group))
    wrongs = _parse_wrong(group)
    if len(wrongs) < spec.n_wrong[0]:
        return Made(reason="too_few_wrong_samples" if wrongs else "no_wrong_sample")
    traces: list[Trace] = []
    seen: set[str] = set()
    for attempt in range(_TRIES_A_TRACE * spec.per_question):
        rng = derive_rng(run_seed, question.id, "stitch", str(attempt))
        right = rights[len(traces) % len(rights)]
        trace = _stitch_one(question, group, spec, len(traces), right, wrongs, rng)
        text = trace.thought_text + trace.solution_text
        if text not in seen:
            seen.add(text)
            traces.append(trace)
        if len(traces) == spec.per_question:
            break
    return Made(tuple(traces))


def draw_wrong(wrongs: list[Parsed], n: int, rng: np.random.Generator) -> list[Parsed]:
    """Draw n wrong samples in random order, each final answer once before any comes twice.

    Args:
        wrongs: At least n wrong samples.
        n: How many.
        rng: Source of the order.

    Returns:
        n samples.
    """
    order = [wrongs[int(i)] for i in rng.permutation(len(wrongs))]
    answers: set[str | None] = set()
    fresh: list[Parsed] = []
    repeated: list[Parsed] = []
    for wrong in order:
        answer = _answer_of(wrong)
        (repeated if answer in answers else fresh).append(wrong)
        answers.add(answer)
    return [*fresh, *repeated][:n]


def _answer_of(wrong: Parsed) -> str | None:
    return wrong.sample.answer_canonical or wrong.sample.extracted


def _parse_wrong(group: QuestionGroup) -> list[Parsed]:
    """Wrong samples without stray markers, thoughts that say the same only once."""
    seen: set[str] = set()
    found = []
    for wrong in parse_samples(group.samples, "incorrect"):
        squeezed = " ".join(wrong.parts.thought.split())
        shown_wrong = wrong.sample.rule not in _NOT_SHOWN_WRONG
        if shown_wrong and is_clean(wrong.parts) and squeezed not in seen:
            seen.add(squeezed)
            found.append(wrong)
    return found


def _stitch_one(
    question: Question,
    group: QuestionGroup,
    spec: StitchSpec,
    index: int,
    right: Parsed,
    wrongs: list[Parsed],
    rng: np.random.Generator,
) -> Trace:
    least, most = spec.n_wrong
    # The same wrong answer twice would teach nothing new: no more than there are answers.
    n_answers = len({_answer_of(wrong) for wrong in wrongs})
    n_wrong = int(rng.integers(least, max(least, min(most, n_answers)) + 1))
    chosen = draw_wrong(wrongs, n_wrong, rng)
    segments: list[Segment] = []
    for wrong in chosen:
        sentence = spec.transitions[int(rng.integers(len(spec.transitions)))]
        segments.append(Segment(role="wrong_branch", text=_tell_wrong(wrong, right)))
        segments.append(Segment(role="transition", text=f"\n\n{sentence}\n\n"))
    thought, solution = conclude(right.parts, spec)
    parents = [*(wrong.sample for wrong in chosen), right.sample]
    return make_trace(question, group, spec, index, [*segments, *thought], solution, parents)


def _tell_wrong(wrong: Parsed, right: Parsed) -> str:
    """A wrong sample's thought, with its conclusion where nothing else in it is wrong."""
    parts = wrong.parts
    shows_error = repeated_share(right.parts.thought, parts.thought) < 1.0
    if shows_error or parts.restated or not parts.solution:
        return parts.thought
    return f"{parts.thought}\n\n{parts.solution}"
