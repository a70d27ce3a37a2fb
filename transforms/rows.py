"""From a rendered trace to a published row, and the invariants that every row must meet.

A row is checked as a stranger would read it: its own text is verified again against the gold
answer, its markers are counted in the text, its spans are laid over it. Left out: the cap on
right→right rows, which needs all rows (`butwait.transforms.but_wait`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from butwait.schemas.errors import SchemaError
from butwait.schemas.question import Question
from butwait.schemas.recipe import SamplingSpec
from butwait.schemas.recipe_rows import RendererName, RlSpec, TextRowSpec
from butwait.schemas.record import Message
from butwait.schemas.row import Provenance, RlRow, SftRow
from butwait.schemas.sampling import SamplingParameters
from butwait.schemas.trace import Trace
from butwait.schemas.trajectory import QuestionGroup, Trajectory
from butwait.schemas.tree import SearchTree
from butwait.transforms.own import OwnTransform
from butwait.transforms.prompts import build_messages, read_prompt
from butwait.transforms.render import MARKERS, Rendered
from butwait.transforms.thoughts import ALL_MARKERS
from butwait.transforms.tree_facts import TreeParent
from butwait.transforms.verify import VERIFIER_VERSION, Limits, verify

_TEMPLATE_TOKENS = re.compile(
    r"<\|[a-z][a-z0-9_\u2581]{2,40}\|>"  # ChatML, Llama 3, Phi: <|im_start|>, <|eot_id|>, <|end|>
    r"|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>"  # DeepSeek: full-width bars
    r"|</?s>|<(?:bos|eos|pad|unk)>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
)  # tab, line feed and carriage return are text; bidirectional overrides hide text


RowParent = Trajectory | TreeParent


@dataclass(frozen=True, slots=True)
class RowContext:
    """What a row needs to know beyond its question."""

    run_seed: int
    sampling: SamplingSpec
    max_characters: int
    butwait_version: str
    deadline_s: float = 1.0
    """Longest time for one symbolic comparison when a finished row is verified."""
    own: Mapping[str, OwnTransform] = field(default_factory=dict)
    """The recipe's own transforms by their names in it."""


def sft_row(
    question: Question,
    trace: Trace,
    rendered: Rendered,
    spec: TextRowSpec,
    config: str,
    context: RowContext,
    parents: Sequence[RowParent],
) -> SftRow:
    """One supervised row.

    Args:
        question: The question.
        trace: What was rendered.
        rendered: Its text and spans.
        spec: Names the renderer and the system prompt.
        config: Name of the configuration; part of the row's id.
        context: The run.
        parents: The trace's parents in order; the last gave the final answer.

    Returns:
        The row, unchecked (see `check_row`).

    Raises:
        SchemaError: ``invalid_row``: a field has no place in the row's schema.
    """
    prompt = build_prompt(question, spec.system, context)
    completion = (Message(role="assistant", content=rendered.text),)
    final = parents[-1] if parents else None
    try:
        return SftRow(
            id=f"{trace.id}-{config}",
            question_id=question.id,
            messages=prompt + completion,
            prompt=prompt,
            completion=completion,
            spans=rendered.spans,
            answer=trace.answer,
            pass_rate=trace.pass_rate,
            flow=trace.flow,
            first_answer=trace.first_answer,
            n_transitions=trace.n_transitions,
            provenance=describe_origin(
                question,
                context,
                final,
                transform=trace.transform,
                transform_parameters=trace.parameters,
                renderer=spec.format,
                parents=trace.parents,
                r1_derived=trace.r1_derived,
            ),
        )
    except ValidationError as error:
        raise SchemaError("invalid_row", name_fault(error)) from error


def rl_row(
    question: Question, group: QuestionGroup, spec: RlSpec, config: str, context: RowContext
) -> RlRow:
    """One row for reinforcement learning.

    Its provenance names the model whose pass rate it carries; ``r1_derived`` speaks of the
    solution column, the only text in it that a model may have written.

    Args:
        question: The question.
        group: Its samples.
        spec: Names the system prompt and the bounds.
        config: Name of the configuration; part of the row's id.
        context: The run.

    Returns:
        The row, unchecked (see `check_row`).

    Raises:
        SchemaError: ``invalid_row``: a field has no place in the row's schema.
    """
    try:
        return RlRow(
            id=f"{question.id}-rl-{config}",
            question_id=question.id,
            prompt=build_prompt(question, spec.system, context),
            problem=question.problem,
            answer=question.gold,
            solution=question.solution,
            pass_rate=group.pass_rate,
            n_samples=len(group.samples),
            provenance=describe_origin(
                question,
                context,
                group.samples[0] if group.samples else None,
                transform="rl",
                transform_parameters=spec.model_dump_json(exclude={"transform", "system"}),
                has_seed=False,
                r1_derived=question.r1_derived and question.solution is not None,
            ),
        )
    except ValidationError as error:
        raise SchemaError("invalid_row", name_fault(error)) from error


def build_prompt(question: Question, system: str, context: RowContext) -> tuple[Message, ...]:
    """The prompt turns of a row; ``sampling`` stands for what was sampled with."""
    if system == "sampling":
        preset, text = read_prompt(context.sampling)
        own = text if context.sampling.system is not None else None
        return build_messages(question.problem, preset, own)
    return build_messages(question.problem, system)


def check_row(
    row: SftRow | RlRow,
    question: Question,
    renderer: RendererName | None,
    max_characters: int,
    deadline_s: float = 1.0,
) -> None:
    """Refuse a row that breaks an invariant.

    Args:
        row: What would be published.
        question: Its question, with the gold answer.
        renderer: How the completion was written; None for reinforcement-learning rows.
        max_characters: Longest completion.
        deadline_s: Longest time for one symbolic comparison.

    Raises:
        SchemaError: ``control_characters``, ``template_tokens``, ``too_long``,
            ``unbalanced_markers``, ``uncovered_text``, ``transition_count``, ``empty_thought``,
            ``answer_mismatch`` or ``answer_unverified`` (a timeout says nothing); the cheap ones
            are found first.
    """
    if isinstance(row, RlRow) or renderer is None:
        check_characters(*(m.content for m in row.prompt))
        if isinstance(row, RlRow):
            check_characters(row.solution or "")
        return
    text = row.completion[0].content
    check_length(text, max_characters)
    check_characters(*(m.content for m in row.messages))
    _check_markers(text, renderer)
    _check_spans(row, renderer)
    check_answer(text, question, Limits(worker_s=deadline_s))


def check_answer(text: str, question: Question, limits: Limits) -> None:
    """Refuse a text whose own answer is not the question's (``answer_mismatch``, or
    ``answer_unverified`` where the verifier ran out of time)."""
    verdict = verify(question.gold, text, problem=question.problem, limits=limits)
    if not verdict.correct:
        failed = verdict.verdict in ("timeout", "error")
        detail = f"the text's answer {verdict.extracted!r} is {verdict.verdict} ({verdict.rule})"
        reason = "answer_unverified" if failed else "answer_mismatch"
        raise SchemaError(reason, f"{detail}; the label is {question.gold!r}")


def check_length(text: str, max_characters: int) -> None:
    """Refuse a completion that is ``too_long``; nothing is ever cut."""
    if len(text) > max_characters:
        detail = f"{len(text)} characters, at most {max_characters} (max_characters)"
        raise SchemaError("too_long", detail)


def check_characters(*texts: str) -> None:
    """Refuse texts with ``control_characters`` or ``template_tokens``; any form's markers pass."""
    for text in texts:
        if found := _CONTROL.search(text):
            detail = f"U+{ord(found.group()):04X} at character {found.start()}"
            raise SchemaError("control_characters", detail)
        for token in _TEMPLATE_TOKENS.finditer(text):
            if token.group().casefold() not in ALL_MARKERS:
                detail = f"{token.group()!r} at character {token.start()}"
                raise SchemaError("template_tokens", f"chat-template token {detail}")


def _check_markers(text: str, renderer: RendererName) -> None:
    folded = text.casefold()
    wanted = MARKERS[renderer]
    for marker in ALL_MARKERS:
        found, right = folded.count(marker), int(marker in wanted)
        if found != right:
            detail = f"{marker!r} occurs {found} times, {right} is right for {renderer}"
            raise SchemaError("unbalanced_markers", detail)
    places = [folded.index(marker) for marker in wanted]
    if places != sorted(places):
        raise SchemaError("unbalanced_markers", f"markers out of order: {', '.join(wanted)}")


def _check_spans(row: SftRow, renderer: RendererName) -> None:
    text, end, between = row.completion[0].content, 0, []
    for span in row.spans:
        between.append(text[end : span.start])
        end = span.end
    left = "".join([*between, text[end:]])
    for marker in MARKERS[renderer]:
        left = left.replace(marker, "")
    if left.strip():
        raise SchemaError("uncovered_text", f"no span covers {left.strip()[:80]!r}")
    found = sum(span.role == "transition" for span in row.spans)
    if found != row.n_transitions:
        detail = f"{found} transition spans, n_transitions is {row.n_transitions}"
        raise SchemaError("transition_count", detail)
    has_thought = any(
        span.role != "answer" and text[span.start : span.end].strip() for span in row.spans
    )
    if MARKERS[renderer] and not has_thought:
        raise SchemaError("empty_thought", f"nothing between the thought markers of {renderer}")


def describe_origin(
    question: Question,
    context: RowContext,
    final: RowParent | None,
    *,
    transform: str,
    transform_parameters: str,
    renderer: str | None = None,
    parents: tuple[str, ...] = (),
    r1_derived: bool,
    has_seed: bool = True,
) -> Provenance:
    """Where a row comes from; ``final`` is the sample or node that its last word comes from."""
    return Provenance(
        dataset=question.dataset,
        dataset_revision=question.revision,
        dataset_row=question.row,
        source=question.source,
        licence=question.licence,
        **_read_sampling(final, has_seed),
        transform=transform,
        transform_parameters=transform_parameters,
        renderer=renderer,
        verifier_version=VERIFIER_VERSION,
        parents=parents,
        r1_derived=r1_derived,
        butwait_version=context.butwait_version,
    )


def _read_sampling(final: RowParent | None, has_seed: bool) -> dict[str, Any]:
    """How the text was sampled; a search limits steps, so that it has no ``max_tokens``."""
    if final is None:
        names = ("model", "model_revision", "engine", "prompt_preset", "temperature", "top_p")
        return dict.fromkeys((*names, "max_tokens", "seed"))
    origin: SearchTree | Trajectory
    sampled: SearchTree | SamplingParameters | None
    if isinstance(final, TreeParent):
        origin, sampled, seed, max_tokens = final.tree, final.tree, final.node.seed, None
    else:
        origin, sampled, seed = final, final.parameters, final.seed
        max_tokens = final.parameters.max_tokens if final.parameters else None
    return {
        "model": origin.model,
        "model_revision": origin.model_revision,
        "engine": origin.engine,
        "prompt_preset": origin.prompt_preset,
        "temperature": sampled.temperature if sampled else None,
        "top_p": sampled.top_p if sampled else None,
        "max_tokens": max_tokens,
        "seed": seed if has_seed else None,
    }


def name_fault(error: ValidationError) -> str:
    """The first fault of a record: field and message, in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
