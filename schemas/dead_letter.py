"""What was refused, where, and why. Nothing leaves the pipeline in silence."""

from __future__ import annotations

from typing import Literal

from butwait.schemas.record import Record

StageName = Literal["questions", "trajectories", "rows"]


class DeadLetter(Record):
    """One refused item.

    ``item`` is the question id, trajectory id or trace id; ``reason`` a short machine name that
    is also the name of its ledger bin; ``detail`` one sentence for a person.
    """

    stage: StageName
    reason: str
    detail: str
    item: str
    question_id: str | None
    dataset: str
    row: int | None
    """0-based position in the source, where there is one."""
    excerpt: str
    """First 500 characters of what was refused."""
