"""A reward model's server, and how many texts it is asked about at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass
from typing import TypeVar

from butwait.pipelines.sampling.apart import Answers, ask_apart
from butwait.pipelines.sampling.gather import Gather
from butwait.pipelines.sampling.http import Asker
from butwait.schemas.sampling import ModelIdentity

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True)
class Link:
    """What every scorer with a server holds."""

    asker: Asker
    model: str
    """Served name."""
    identity: ModelIdentity
    """Which weights the server has."""
    max_batch: int
    """Texts a request."""
    max_in_flight: int
    """Requests open at once."""

    def gather(
        self, ask: Callable[[list[Q]], Awaitable[Answers[A]]], measure: Callable[[Q], Sized]
    ) -> Gather[Q, A]:
        """Gather single texts into requests; those beyond the context are refused alone.

        Args:
            ask: Answers a list of texts.
            measure: The part of a text whose length matters.
        """

        async def send(items: list[Q]) -> Answers[A]:
            return await ask_apart(items, ask, measure)

        return Gather(send, max_batch=self.max_batch, max_in_flight=self.max_in_flight)
