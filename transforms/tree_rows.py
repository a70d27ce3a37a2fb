"""Preference and step rows from search trees, and the invariants that they must meet.

As in `butwait.transforms.rows` a row is checked as a stranger would read it: texts that claim to be
finished solutions are verified again. Supervised rows from trees are made there like all others.
"""

from __future__ import annotations

from pydantic import ValidationError

from butwait.schemas.errors import SchemaError
from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import PreferenceSpec, StepLabelsSpec
from butwait.schemas.record import Message
from butwait.schemas.row import PreferenceRow, Provenance, StepRow
from butwait.transforms.preference import Pair
from butwait.transforms.rows import (
    RowContext,
    build_prompt,
    check_answer,
    check_characters,
    check_length,
    describe_origin,
    name_fault,
)
from butwait.transforms.step_labels import LabelledSolution
from butwait.transforms.tree_facts import TreeParent
from butwait.transforms.verified import name_parameters
from butwait.transforms.verify import Limits, verify


def preference_row(
    question: Question,
    pair: Pair,
    row_id: str,
    spec: PreferenceSpec,
    context: RowContext,
) -> PreferenceRow:
    """One preference row.

    Args:
        question: The question.
        pair: Two continuations of one prefix.
        row_id: The row's id.
        spec: Names the system prompt.
        context: The run.

    Returns:
        The row, unchecked (see `check_preference_row`).

    Raises:
        SchemaError: ``invalid_row``: a field has no place in the row's schema.
    """
    chosen, rejected = pair.chosen, pair.rejected
    try:
        return PreferenceRow(
            id=row_id,
            question_id=question.id,
            prompt=build_prompt(question, spec.system, context),
            chosen=(Message(role="assistant", content=chosen.text),),
            rejected=(Message(role="assistant", content=rejected.text),),
            prefix_characters=pair.prefix_characters,
            answer=question.gold,
            chosen_value=chosen.value,
            rejected_value=rejected.value,
            chosen_score=chosen.score,
            rejected_score=rejected.score,
            provenance=_describe(question, context, spec, (rejected.parent, chosen.parent)),
        )
    except ValidationError as error:
        raise SchemaError("invalid_row", name_fault(error)) from error


def check_preference_row(
    row: PreferenceRow, question: Question, pair: Pair, context: RowContext
) -> None:
    """Refuse a preference row that breaks an invariant.

    Args:
        row: What would be published.
        question: Its question, with the gold answer.
        pair: What it was made of: which texts are finished solutions.
        context: Longest completion and longest comparison.

    Raises:
        SchemaError: ``too_long``, ``control_characters``, ``template_tokens``, ``answer_mismatch``
            (a finished chosen text does not end with the gold answer), ``rejected_is_right`` (a
            rejected one that counts as wrong does), ``answer_unverified``.
    """
    texts = [row.chosen[0].content, row.rejected[0].content]
    for text in texts:
        check_length(text, context.max_characters)
    check_characters(*(m.content for m in row.prompt), *texts)
    limits = Limits(worker_s=context.deadline_s)
    if pair.chosen.verdict == "correct":
        check_answer(texts[0], question, limits)
    if pair.rejected.verdict == "incorrect":
        check_wrong(texts[1], question, limits, "rejected_is_right")


def step_row(
    question: Question,
    solution: LabelledSolution,
    row_id: str,
    spec: StepLabelsSpec,
    context: RowContext,
) -> StepRow:
    """One row of labelled steps.

    Args:
        question: The question; its text is the prompt, without a system turn.
        solution: Steps with their labels.
        row_id: The row's id.
        spec: Goes into the provenance.
        context: The run.

    Returns:
        The row, unchecked (see `check_step_row`).

    Raises:
        SchemaError: ``invalid_row``: a field has no place in the row's schema.
    """
    steps = solution.steps
    try:
        return StepRow(
            id=row_id,
            question_id=question.id,
            prompt=question.problem,
            completions=tuple(step.text for step in steps),
            labels=tuple(step.label for step in steps),
            values=tuple(step.value for step in steps),
            n_rollouts=tuple(step.n_rollouts for step in steps),
            scores=tuple(step.score for step in steps),
            separator=solution.parent.tree.separator,
            answer=question.gold,
            verdict=solution.verdict,
            provenance=_describe(question, context, spec, (solution.parent,)),
        )
    except ValidationError as error:
        raise SchemaError("invalid_row", name_fault(error)) from error


def check_step_row(row: StepRow, question: Question, context: RowContext) -> None:
    """Refuse a step row that breaks an invariant.

    Args:
        row: What would be published.
        question: Its question, with the gold answer.
        context: Longest completion and longest comparison.

    Raises:
        SchemaError: ``too_long``, ``control_characters``, ``template_tokens``; ``answer_mismatch``
            or ``wrong_is_right`` (the joined steps do not end as their verdict says),
            ``answer_unverified``.
    """
    text = row.separator.join(row.completions)
    check_length(text, context.max_characters)
    check_characters(row.prompt, *row.completions)
    limits = Limits(worker_s=context.deadline_s)
    if row.verdict == "correct":
        check_answer(text, question, limits)
    elif row.verdict == "incorrect":
        check_wrong(text, question, limits, "wrong_is_right")


def check_wrong(text: str, question: Question, limits: Limits, reason: str) -> None:
    """Refuse a text that counts as wrong and verifies, or cannot be judged in time.

    Raises:
        SchemaError: With the given reason, or ``answer_unverified``.
    """
    verdict = verify(question.gold, text, problem=question.problem, limits=limits)
    if verdict.correct or verdict.verdict in ("timeout", "error"):
        detail = f"the text's answer {verdict.extracted!r} is {verdict.verdict} ({verdict.rule})"
        name = reason if verdict.correct else "answer_unverified"
        raise SchemaError(name, f"{detail}; the label is {question.gold!r}")


def _describe(
    question: Question,
    context: RowContext,
    spec: PreferenceSpec | StepLabelsSpec,
    parents: tuple[TreeParent, ...],
) -> Provenance:
    return describe_origin(
        question,
        context,
        parents[-1],
        transform=spec.transform,
        transform_parameters=name_parameters(spec),
        parents=tuple(parent.id for parent in parents),
        r1_derived=any(parent.r1_derived for parent in parents),
    )
