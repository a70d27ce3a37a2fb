"""What the verifier found about one answer; never just true or false."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

VerdictName = Literal[
    "correct",
    "incorrect",
    "no_answer",
    "ambiguous",
    "truncated",
    "gold_unusable",
    "timeout",
    "error",
]
VERDICT_NAMES: tuple[VerdictName, ...] = get_args(VerdictName)


class Verdict(BaseModel):
    """One comparison of a prediction with a gold answer.

    ``ms`` is a measurement and is never stored in a dataset: everything else is a function of
    the inputs and the verifier's version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: VerdictName
    rule: str
    """Rule that decided, e.g. ``string``, ``rational``, ``symbolic``, ``set``, ``no_box``."""
    extracted: str | None = None
    """Answer text found in the prediction, as written; None when there is none."""
    gold_canonical: str | None = None
    prediction_canonical: str | None = None
    detail: str | None = None
    """One sentence for a person, where the rule's name does not say enough."""
    verifier_version: str
    ms: float = 0.0

    @property
    def correct(self) -> bool:
        """True for the verdict ``correct`` and nothing else."""
        return self.verdict == "correct"
