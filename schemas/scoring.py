"""What is asked of a process reward model and what comes back: the contract of every scorer."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from butwait.schemas.record import Message, Record
from butwait.schemas.sampling import ModelIdentity


class ScoreRequest(Record):
    """A partial solution to be scored, step by step."""

    question_id: str
    problem: str
    """The question as the user puts it; what most reward models read."""
    messages: tuple[Message, ...] | None
    """The policy's chat prompt, for scorers that read what the policy reads (likelihood)."""
    prompt: str | None
    """The policy's raw prompt, where there are no messages."""
    steps: tuple[str, ...] = Field(min_length=1)
    """Consecutive parts of the solution; joined they are the text as it was generated, with its
    separators. One part where the prefix is to be scored as a whole (``model`` aggregation)."""
    log_probs: tuple[float, ...] | None = None
    """Mean token log-probability of each step under the policy, for scorers without a model."""


class Scorer(Protocol):
    """Scores prefixes; many at once, from one event loop."""

    @property
    def identity(self) -> ModelIdentity:
        """Which weights score."""
        ...

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Return one reward in [0, 1] a step.

        Raises:
            RequestRefused: ``bad_score`` (wrong number of steps, NaN, out of range),
                ``context_overflow``, ``timeout`` and what else a server refuses with: never a
                number made up instead.
            SamplerError: The server is gone.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
