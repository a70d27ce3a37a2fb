"""How the two sides of a check are compared, where the caller knows more than the notation says."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

AnswerType = Literal[
    "number",
    "expression",
    "text",
    "choice",
    "tuple",
    "interval",
    "set",
    "list",
    "equation",
    "inequality",
    "matrix",
]
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)


class Mode(NamedTuple):
    """What the caller asks of one comparison.

    Args:
        answer_type: What the gold answer is, where notation leaves it open; None to infer it.
        tolerance: Largest relative difference of two numbers that still counts as equal, from 0
            to 1; None for exact equality only.
        percent_optional: Whether an answer may leave out the percent sign of its gold answer.
    """

    answer_type: AnswerType | None = None
    tolerance: float | None = None
    percent_optional: bool = False


EXACT = Mode()
# A model that is asked for a share often writes the number alone; a bare answer is its value.
TRACE = Mode(percent_optional=True)


def mode_of(
    kind: str, answer_type: AnswerType | None = None, tolerance: float | None = None
) -> Mode:
    """How a prediction of a kind (``trace`` or ``answer``) is compared."""
    if answer_type is None and tolerance is None:
        return TRACE if kind == "trace" else EXACT
    return Mode(answer_type, tolerance, kind == "trace")
