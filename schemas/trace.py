"""Text for training as labelled parts, before any renderer has put its markers around them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from butwait.schemas.record import Record

Role = Literal["path", "wrong_branch", "transition", "answer"]
Flow = Literal["right_right", "wrong_right", "right_wrong", "wrong_wrong"]


class Span(Record):
    """Characters [start, end) of a text and the part they play."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    role: Role

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if self.end <= self.start:
            raise ValueError(f"span [{self.start}, {self.end}) is empty or reversed")
        return self


class Segment(Record):
    """A run of text with one role. Joined without separators, segments give the text."""

    role: Role
    text: str = Field(min_length=1)


class Trace(Record):
    """A reasoning text in two parts: the thought and the solution that follows it.

    The thought holds ``path``, ``wrong_branch`` and ``transition`` segments, the solution
    ``answer`` segments (and nothing else). Separators belong to a segment, so that joining is
    plain concatenation and spans are exact by construction.
    """

    id: str
    question_id: str
    transform: str
    parameters: str
    """The transform's parameters as canonical JSON."""
    thought: tuple[Segment, ...]
    solution: tuple[Segment, ...] = Field(min_length=1)
    parents: tuple[str, ...]
    """Ids of the trajectories or tree nodes it was made of; empty for the reference solution."""
    answer: str
    """Gold answer that the text must end with."""
    flow: Flow | None = None
    """First against final answer, for transforms that record both."""
    first_answer: str | None = None
    n_transitions: int = Field(ge=0)
    pass_rate: float | None
    r1_derived: bool

    @model_validator(mode="after")
    def _roles(self) -> Trace:
        if any(s.role == "answer" for s in self.thought):
            raise ValueError("a thought holds no answer segment")
        if any(s.role != "answer" for s in self.solution):
            raise ValueError("a solution holds answer segments only")
        found = sum(s.role == "transition" for s in self.thought)
        if found != self.n_transitions:
            raise ValueError(f"{found} transition segments, n_transitions is {self.n_transitions}")
        return self

    @property
    def thought_text(self) -> str:
        """The thought as plain text."""
        return "".join(s.text for s in self.thought)

    @property
    def solution_text(self) -> str:
        """The solution as plain text."""
        return "".join(s.text for s in self.solution)


class TraceDraft(Record):
    """What a transform of somebody's own returns; the build makes a checked `Trace` of it."""

    thought: tuple[Segment, ...]
    """``path``, ``wrong_branch`` and ``transition`` segments; may be empty in ``plain`` rows."""
    solution: tuple[Segment, ...] = Field(min_length=1)
    """``answer`` segments; the text must end with the question's gold answer."""
    parents: tuple[str, ...]
    """Ids of the trajectories or tree nodes that the text is made of, the last one's word last."""
    flow: Flow | None = None
    first_answer: str | None = None
