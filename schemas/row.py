"""The flat published rows, strict and versioned. One class a dataset layout."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from butwait.schemas.record import SCHEMA_VERSION, Message, Record
from butwait.schemas.trace import Flow, Span


class Provenance(Record):
    """Where a row comes from, completely enough to make it again."""

    dataset: str
    dataset_revision: str | None
    dataset_row: int
    source: str
    licence: str
    model: str | None
    """Model that sampled the text; None where the text is the source's own solution."""
    model_revision: str | None
    engine: str | None
    prompt_preset: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    seed: int | None
    """Seed of the sample that the row's final answer comes from."""
    transform: str
    transform_parameters: str
    renderer: str | None
    verifier_version: str
    parents: tuple[str, ...]
    r1_derived: bool
    butwait_version: str


class SftRow(Record):
    """One supervised example in both of TRL's conversational layouts.

    ``messages`` is ``prompt + completion``; TRL masks the prompt by default only for the latter.
    ``spans`` index characters of the completion's content.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    question_id: str
    messages: tuple[Message, ...] = Field(min_length=2)
    prompt: tuple[Message, ...] = Field(min_length=1)
    completion: tuple[Message, ...] = Field(min_length=1, max_length=1)
    spans: tuple[Span, ...] = Field(min_length=1)
    answer: str
    pass_rate: float | None = Field(ge=0.0, le=1.0)
    flow: Flow | None
    first_answer: str | None
    n_transitions: int = Field(ge=0)
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> SftRow:
        if self.messages != self.prompt + self.completion:
            raise ValueError("messages is not prompt followed by completion")
        if self.completion[0].role != "assistant" or self.prompt[-1].role != "user":
            raise ValueError("the prompt must end with a user turn, the completion be assistant's")
        length = len(self.completion[0].content)
        end = 0
        for span in self.spans:
            if span.start < end or span.end > length:
                raise ValueError(f"span [{span.start}, {span.end}) overlaps or leaves the text")
            end = span.end
        return self


class RlRow(Record):
    """One question for reinforcement learning with a verifiable reward."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    question_id: str
    prompt: tuple[Message, ...] = Field(min_length=1)
    problem: str
    answer: str
    solution: str | None
    pass_rate: float | None = Field(ge=0.0, le=1.0)
    n_samples: int = Field(ge=0)
    provenance: Provenance


class PreferenceRow(Record):
    """Two continuations of one prefix, in TRL's conversational preference layout.

    The shared prefix is the start of the assistant's turn in both. Where it is not empty, a
    trainer that must not learn it masks its first ``prefix_characters`` characters.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    question_id: str
    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: tuple[Message, ...] = Field(min_length=1, max_length=1)
    rejected: tuple[Message, ...] = Field(min_length=1, max_length=1)
    prefix_characters: int = Field(ge=0)
    answer: str
    chosen_value: float | None = Field(ge=0.0, le=1.0)
    """Share of right leaves below the chosen continuation's first step; None: no finished one."""
    rejected_value: float | None = Field(ge=0.0, le=1.0)
    chosen_score: float | None = Field(ge=0.0, le=1.0)
    """Process reward of the whole text, prefix and continuation; None: not scored."""
    rejected_score: float | None = Field(ge=0.0, le=1.0)
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> PreferenceRow:
        better, worse = self.chosen[0], self.rejected[0]
        if {better.role, worse.role} != {"assistant"} or self.prompt[-1].role != "user":
            raise ValueError("the prompt must end with a user turn, chosen and rejected be answers")
        n = self.prefix_characters
        if better.content[:n] != worse.content[:n]:
            raise ValueError(f"chosen and rejected do not share their first {n} characters")
        if n >= min(len(better.content), len(worse.content)):
            raise ValueError(f"nothing follows the shared prefix of {n} characters")
        return self


class StepRow(Record):
    """One solution in steps, in TRL's stepwise-supervision layout."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    question_id: str
    prompt: str
    """The question's text."""
    completions: tuple[str, ...] = Field(min_length=1)
    """The steps, without their separators."""
    labels: tuple[bool, ...] = Field(min_length=1)
    values: tuple[float, ...] = Field(min_length=1)
    """Share of right leaves below each step, in [0, 1]."""
    n_rollouts: tuple[int, ...] = Field(min_length=1)
    """Finished leaves below each step that the verifier judged right or wrong."""
    scores: tuple[float | None, ...]
    """Process reward of each prefix when it was searched."""
    separator: str
    answer: str
    verdict: str
    """Verdict on the leaf, ``incomplete`` where the row ends before it."""
    provenance: Provenance

    @model_validator(mode="after")
    def _parallel(self) -> StepRow:
        n = len(self.completions)
        others = (self.labels, self.values, self.n_rollouts, self.scores)
        if any(len(other) != n for other in others):
            raise ValueError("completions, labels, values, n_rollouts and scores must be parallel")
        if any(not 0.0 <= value <= 1.0 for value in self.values):
            raise ValueError("values must lie in [0, 1]")
        return self


DatasetRow = SftRow | RlRow | PreferenceRow | StepRow
"""Every class of published row."""
