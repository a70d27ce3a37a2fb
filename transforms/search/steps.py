r"""What a generated step is: does the solution go on, has it ended, or is it cut?

Left out: any judgement of its mathematics.
"""

from __future__ import annotations

from dataclasses import dataclass

from butwait.schemas.sampling import Completion
from butwait.schemas.tree import Cut, End
from butwait.transforms.thoughts import box_spans


@dataclass(frozen=True, slots=True)
class StepRules:
    """The part of a search section that decides over a step."""

    separator: str
    max_steps: int
    max_step_tokens: int
    end_on_box: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A generated step, read."""

    text: str
    """With its separator, where the model wrote one."""
    end: End | None
    cut: Cut | None


def read_step(completion: Completion, step: int, rules: StepRules) -> Step:
    """Read a completion as step number ``step`` (0-based) of a solution.

    Returns:
        The text, and how the solution ended or why it was cut. A step that reached
        ``max_step_tokens`` without a separator goes on like any other. One that stopped short of
        them for its length met the end of the model's context.
    """
    if rules.whole:
        if completion.finish_reason == "stop" and not completion.text.strip():
            return Step(completion.text, None, "empty")
        end: End = "end_of_text" if completion.finish_reason == "stop" else "length"
        return Step(completion.text, end, None)
    separated = completion.stop_reason == rules.separator
    text = completion.text + (rules.separator if separated else "")
    if rules.end_on_box and has_answer_box(completion.text):
        return Step(text, "boxed", None)
    if completion.finish_reason == "stop" and not separated:
        is_empty = step == 0 and not text.strip()
        return Step(text, None if is_empty else "end_of_text", "empty" if is_empty else None)
    if not completion.text.strip():
        return Step(text, None, "empty")
    if completion.finish_reason == "length" and (
        completion.n_completion_tokens < rules.max_step_tokens
    ):
        return Step(text, None, "context_overflow")
    return Step(text, None, "max_steps" if step + 1 >= rules.max_steps else None)


def has_answer_box(text: str) -> bool:
    r"""Tell whether a text holds a closed box with something in it.

    >>> has_answer_box(r"so \boxed{7}"), has_answer_box(r"put it in \boxed{}, \boxed{7")
    (True, False)
    """
    if "boxed" not in text:
        return False
    for start, stop in box_spans(text):
        inner = text[start:stop].partition("{")[2].removesuffix("}")
        if inner.strip(" \t\n.…$"):
            return True
    return False


def split_steps(text: str, separator: str) -> tuple[str, ...]:
    r"""Cut a whole solution into steps; joined they are the text again.

    >>> split_steps("a\n\nb\n\n\n\nc", "\n\n")
    ('a\n\n', 'b\n\n\n\n', 'c')
    """
    steps: list[str] = []
    for piece in text.split(separator):
        if not steps or (piece.strip() and steps[-1].strip()):
            steps.append(piece)
        else:  # blank pieces belong to the step before, at the beginning to the one after
            steps[-1] += piece
        steps[-1] += separator
    steps[-1] = steps[-1][: -len(separator)]
    return tuple(steps)
