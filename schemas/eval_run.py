"""The manifest of an evaluation: what must exist, so that what is missing can be seen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from butwait.schemas.recipe_eval import Expected
from butwait.schemas.record import SCHEMA_VERSION, Record


class ArmRecord(Record):
    """One arm: K problems with n samples each, of one model, prompt and method."""

    benchmark: str
    n_problems: int = Field(ge=1)
    """K."""
    n_samples: int = Field(ge=1)
    """n; of a search its repetitions."""
    model: str
    """Name in the recipe."""
    model_id: str
    model_revision: str | None
    arm: str
    """What the model was trained on."""
    checkpoint: str
    note: str
    prompt: str
    method: str
    parameters: str
    """Sampling parameters, and those of the search, as canonical JSON."""
    is_base: bool
    """Whether it is of the recipe's first model."""
    expected: tuple[Expected, ...] = ()
    """Published figures for it."""
    file: str
    """Path of its cells, relative to the run folder."""
    fingerprint: str
    """Of everything that shapes its cells."""


class BenchmarkRecord(Record):
    """One benchmark as it was read."""

    name: str
    dataset: str
    revision: str
    """Commit on the Hub, or ``sha256:`` and the content's hash."""
    n_problems: int
    file: str
    """Path of its questions, relative to the run folder."""
    unusable: tuple[str, ...] = ()
    """Problems whose answer the verifier cannot read; their samples count as wrong."""
    touched: dict[str, str] = Field(default_factory=dict)
    """Problems that were found among the questions that a model was trained on, with evidence."""
    checked_against: tuple[str, ...] = ()
    """Training questions in which they were searched for."""


class EvalManifest(Record):
    """What an evaluation run holds; written before anything is sampled."""

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["evaluation"] = "evaluation"
    name: str
    butwait_version: str
    git_commit: str | None
    begun: str
    """ISO time of the newest run of the command."""
    seed: int
    verifier_version: str
    benchmarks: tuple[BenchmarkRecord, ...]
    arms: tuple[ArmRecord, ...]
