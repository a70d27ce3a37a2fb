"""One question and one configuration to rows: transform, render, row, check.

The build calls `make_rows` and nothing else of the transforms in stage 3. Left out: everything that
needs more than one question (duplicates, the cap on right→right rows, decontamination).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pydantic import ValidationError

from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import SchemaError
from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import (
    TREE_TRANSFORMS,
    BacktrackSpec,
    ButWaitSpec,
    CorrectOnlySpec,
    LimoSpec,
    OwnSpec,
    PreferenceSpec,
    RlSpec,
    RowSpec,
    StepLabelsSpec,
    StitchSpec,
    TextRowSpec,
    VerifiedSpec,
)
from butwait.schemas.row import DatasetRow, SftRow
from butwait.schemas.trace import Flow, Trace
from butwait.schemas.trajectory import QuestionGroup
from butwait.transforms.backtrack import backtrack
from butwait.transforms.but_wait import but_wait
from butwait.transforms.correct_only import correct_only
from butwait.transforms.limo import limo
from butwait.transforms.own import apply_own, find_parent
from butwait.transforms.preference import Pair, preference
from butwait.transforms.render import render
from butwait.transforms.rl import explain_refusal
from butwait.transforms.rows import RowContext, RowParent, check_row, rl_row, sft_row
from butwait.transforms.step_labels import LabelledSolution, step_labels
from butwait.transforms.stitch import stitch
from butwait.transforms.tree_facts import parent_named
from butwait.transforms.tree_rows import (
    check_preference_row,
    check_step_row,
    preference_row,
    step_row,
)
from butwait.transforms.verified import Dropped, Made, name_function, verified

_EXCERPT = 500


@dataclass(frozen=True, slots=True)
class MadeRows:
    """What one configuration made of one question; goes into exactly one bin."""

    rows: tuple[DatasetRow, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    """Traces whose rows broke an invariant."""
    n_traces: int = 0
    reason: str | None = None
    """Why there is no row; None where there is one."""
    dropped: tuple[Dropped, ...] = ()
    """Candidates that the transform left."""
    flows: tuple[Flow, ...] = ()
    """First→final flow of every graded candidate, kept or not."""


def make_rows(
    question: Question,
    group: QuestionGroup,
    config: str,
    spec: RowSpec,
    context: RowContext,
) -> MadeRows:
    """Make one configuration's rows of one question.

    Args:
        question: The question.
        group: Its trajectories.
        config: Name of the configuration.
        spec: Its section of the recipe.
        context: The run.

    Returns:
        Checked rows, dead letters for the refused ones, and a reason where no row is left: the
        transform's, or the first dead letter's.
    """
    if isinstance(spec, RlSpec):
        return _make_rl_row(question, group, config, spec, context)
    if isinstance(spec, PreferenceSpec):
        return _make_preference_rows(question, group, config, spec, context)
    if isinstance(spec, StepLabelsSpec):
        return _make_step_rows(question, group, config, spec, context)
    return _make_text_rows(question, group, config, spec, context)


def make_traces(
    question: Question, group: QuestionGroup, spec: TextRowSpec, context: RowContext
) -> Made:
    """Apply the transform that a section names.

    Raises:
        SchemaError: A transform of somebody's own failed.
    """
    run_seed = context.run_seed
    match spec:
        case OwnSpec():
            return apply_own(question, group, spec, run_seed, context.own[spec.transform])
        case VerifiedSpec():
            return verified(question, group, spec, run_seed)
        case StitchSpec():
            return stitch(question, group, spec, run_seed)
        case ButWaitSpec():
            return but_wait(question, group, spec, run_seed)
        case LimoSpec():
            return limo(question, group, spec, run_seed)
        case BacktrackSpec():
            return backtrack(question, group, spec, run_seed)
        case CorrectOnlySpec():
            return correct_only(question, group, spec, run_seed)


def _make_text_rows(
    question: Question,
    group: QuestionGroup,
    config: str,
    spec: TextRowSpec,
    context: RowContext,
) -> MadeRows:
    try:
        made = make_traces(question, group, spec, context)
    except (SchemaError, ValidationError) as error:
        # A text that no transform foresaw costs its question, not the build.
        fault = error if isinstance(error, SchemaError) else _name_fault(error)
        letter = _refuse(question, f"{question.id}-{name_function(spec)}-0-{config}", fault, "")
        return MadeRows(dead_letters=(letter,), reason=fault.reason)
    drafts = [
        _Draft(
            f"{trace.id}-{config}",
            partial(_make_sft_row, question, group, trace, config, spec, context),
            render(trace, spec.format).text,
        )
        for trace in made.traces
    ]
    rows = _collect(question, drafts, made.reason)
    return replace(rows, n_traces=len(made.traces), dropped=made.dropped, flows=made.flows)


def _make_sft_row(
    question: Question,
    group: QuestionGroup,
    trace: Trace,
    config: str,
    spec: TextRowSpec,
    context: RowContext,
) -> SftRow:
    parents = _find_parents(group, trace)
    rendered = render(trace, spec.format)
    row = sft_row(question, trace, rendered, spec, config, context, parents)
    check_row(row, question, spec.format, context.max_characters, context.deadline_s)
    return row


def _name_fault(error: ValidationError) -> SchemaError:
    return SchemaError("invalid_trace", str(error.errors()[0]["msg"]))


def _find_parents(group: QuestionGroup, trace: Trace) -> list[RowParent]:
    if ":" in trace.transform:
        return [find_parent(group, name) for name in trace.parents]
    if group.tree is not None and trace.transform in TREE_TRANSFORMS:
        return [parent_named(group.tree, name) for name in trace.parents]
    known = {t.id: t for t in (*group.samples, *group.continuations)}
    return [known[parent] for parent in trace.parents]


def _make_preference_rows(
    question: Question,
    group: QuestionGroup,
    config: str,
    spec: PreferenceSpec,
    context: RowContext,
) -> MadeRows:
    def make(pair: Pair, row_id: str) -> DatasetRow:
        row = preference_row(question, pair, row_id, spec, context)
        check_preference_row(row, question, pair, context)
        return row

    made = preference(question, group, spec, context.run_seed)
    names = [f"{question.id}-preference-{i}-{config}" for i in range(len(made.pairs))]
    drafts = [
        _Draft(name, partial(make, pair, name), pair.chosen.text)
        for name, pair in zip(names, made.pairs, strict=True)
    ]
    return _collect(question, drafts, made.reason)


def _make_step_rows(
    question: Question,
    group: QuestionGroup,
    config: str,
    spec: StepLabelsSpec,
    context: RowContext,
) -> MadeRows:
    def make(solution: LabelledSolution, row_id: str) -> DatasetRow:
        row = step_row(question, solution, row_id, spec, context)
        check_step_row(row, question, context)
        return row

    made = step_labels(question, group, spec, context.run_seed)
    names = [f"{question.id}-step_labels-{i}-{config}" for i in range(len(made.solutions))]
    drafts = [
        _Draft(name, partial(make, solution, name), solution.steps[0].text)
        for name, solution in zip(names, made.solutions, strict=True)
    ]
    return _collect(question, drafts, made.reason)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A row that is about to be made and checked."""

    name: str
    make: Callable[[], DatasetRow]
    excerpt: str
    """What to show of it where it is refused."""


def _collect(question: Question, drafts: Sequence[_Draft], reason: str | None) -> MadeRows:
    """Make rows; a refused one becomes a dead letter. ``reason``: the transform's own, if any."""
    rows: list[DatasetRow] = []
    letters: list[DeadLetter] = []
    for draft in drafts:
        try:
            rows.append(draft.make())
        except SchemaError as error:
            letters.append(_refuse(question, draft.name, error, draft.excerpt))
    why = None if rows else reason or letters[0].reason
    return MadeRows(tuple(rows), tuple(letters), reason=why)


def _make_rl_row(
    question: Question, group: QuestionGroup, config: str, spec: RlSpec, context: RowContext
) -> MadeRows:
    reason = explain_refusal(group, spec)
    if reason is not None:
        return MadeRows(reason=reason)
    try:
        row = rl_row(question, group, spec, config, context)
        check_row(row, question, None, context.max_characters)
    except SchemaError as error:
        letter = _refuse(question, f"{question.id}-rl-{config}", error, question.problem)
        return MadeRows(dead_letters=(letter,), reason=error.reason)
    return MadeRows(rows=(row,))


def _refuse(question: Question, item: str, error: SchemaError, text: str) -> DeadLetter:
    return DeadLetter(
        stage="rows",
        reason=error.reason,
        detail=error.detail,
        item=item,
        question_id=question.id,
        dataset=question.dataset,
        row=question.row,
        excerpt=text[:_EXCERPT],
    )
