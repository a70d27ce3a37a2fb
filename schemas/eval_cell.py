"""One cell of an evaluation: a benchmark problem, a sample of it, and what became of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from butwait.schemas.record import SCHEMA_VERSION, Record
from butwait.schemas.verdict import VerdictName

PLAIN = "sample"
"""Method of independent samples."""


class EvalCell(Record):
    """One sample of one problem, or the answer that one search chose.

    ``verdict`` is None where there is no sample: ``failure`` says why. A cell that does not exist
    at all is missing.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    benchmark: str
    problem_id: str
    sample_index: int = Field(ge=0)
    """0 to n - 1; of a search the number of its repetition."""
    model: str
    """Name of the model in the recipe."""
    model_id: str
    model_revision: str | None
    engine: str
    prompt: str
    """Name of the prompt: a preset's, or the recipe's own."""
    method: str
    """``sample``, or a search method with its budget (``particle-32``)."""
    parameters: str
    """Sampling parameters, and those of the search, as canonical JSON."""
    prompt_hash: str
    """SHA-256 of the chat messages (or raw prompt) before the model's template, 16 hex digits."""
    seed: int | None
    text: str
    finish_reason: str
    n_tokens: int = Field(ge=0)
    """Tokens of ``text``."""
    n_spent: int = Field(ge=0)
    """Tokens generated for this cell, those of a search's dead branches included."""
    extracted: str | None
    answer_canonical: str | None
    answer_class: int | None
    """Class of equal answers among the problem's cells (the verifier's equality); None: no answer.
    Votes are counted by it."""
    verdict: VerdictName | None
    rule: str
    verifier_version: str
    prm_score: float | None
    """Process reward of the whole text, in [0, 1]; None: not scored."""
    any_right: bool | None
    """Of a search: whether any of its solutions is right; None for samples."""
    n_transitions: int = Field(ge=0)
    """Places where the text turns round ("But wait,", "Hold on!", ...)."""
    n_backtracks: int = Field(ge=0)
    """Transitions after which the text says that something was wrong, or begins again."""
    first_verdict: VerdictName | None
    """Verdict on the text before its first transition; None: no transition, or no answer there."""
    failure: str | None
    """Why there is no sample: ``context_overflow``, ``timeout``, ...; None: there is one."""

    @model_validator(mode="after")
    def _one_of_both(self) -> EvalCell:
        if (self.verdict is None) == (self.failure is None):
            raise ValueError("a cell has either a verdict or a failure")
        return self
