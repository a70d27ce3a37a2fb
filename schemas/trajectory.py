"""One sampled solution with how it was sampled and what the verifier found."""

from __future__ import annotations

from typing import Literal

from butwait.schemas.record import Record
from butwait.schemas.sampling import SamplingParameters
from butwait.schemas.tree import SearchTree
from butwait.schemas.verdict import VerdictName


class Trajectory(Record):
    """A sample, or the continuation of one.

    The full text of a continuation is its parent's thought + ``joiner`` + ``text``.
    """

    id: str
    """``<question id>-<step>-<sample index>``."""
    question_id: str
    step: str
    """``sample``, or ``continue-<k>`` for the k-th "But wait," round."""
    sample_index: int
    parent_id: str | None
    joiner: str
    """Text inserted between the parent's thought and this one; empty for a fresh sample."""
    text: str
    finish_reason: str
    n_prompt_tokens: int
    n_completion_tokens: int
    seed: int | None
    """Seed of this sample; None where a recording does not say."""
    parameters: SamplingParameters | None
    """How it was sampled; None where a recording does not say."""
    prompt_preset: str
    """System prompt: a preset's name, or ``own``."""
    model: str
    model_revision: str | None
    engine: str
    verdict: VerdictName
    rule: str
    extracted: str | None
    answer_canonical: str | None
    verifier_version: str
    label: bool | None
    """Verdict that came with a recorded trajectory; None for a fresh sample."""
    r1_derived: bool

    @property
    def kind(self) -> Literal["sample", "continuation"]:
        """Whether this is a fresh sample or continues one."""
        return "sample" if self.parent_id is None else "continuation"


class QuestionGroup(Record):
    """Everything that stage 2 knows of one question; the input of every transform."""

    question_id: str
    samples: tuple[Trajectory, ...]
    """Fresh samples in index order."""
    continuations: tuple[Trajectory, ...]
    """Continuations by (step, index)."""
    tree: SearchTree | None = None
    """The question's search, where the recipe asks for one."""

    @property
    def pass_rate(self) -> float | None:
        """Share of correct samples among those with a verdict on the merits.

        ``gold_unusable``, ``timeout`` and ``error`` say nothing of the model and leave the
        denominator; None when nothing is left.
        """
        graded = [t for t in self.samples if t.verdict not in ("gold_unusable", "timeout", "error")]
        if not graded:
            return None
        return sum(t.verdict == "correct" for t in graded) / len(graded)
