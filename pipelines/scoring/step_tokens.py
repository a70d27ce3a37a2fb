"""Reward models in the layout of Qwen2.5-Math-PRM: a token after each step, two classes at it.

The input is the chat of system line, problem and steps, each step without the white space at its
end and followed by the step token; a reward is the probability of class 1 there. The chat's head is
rendered by the server once a problem and spelled as text, so that the server tokenizes head and
steps as one string, as the model card does; the card's end of the turn after the last step is left
off, which a causal model cannot see from before it. Left out: truncation (a text beyond the context
is refused).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from butwait.pipelines.sampling.apart import Answers
from butwait.pipelines.sampling.gather import Gather
from butwait.pipelines.sampling.once import Once
from butwait.pipelines.sampling.tokens import ServerTokens
from butwait.pipelines.scoring.layouts import (
    begin_chat,
    clean_text,
    find_step_tag,
    find_system,
)
from butwait.pipelines.scoring.link import Link
from butwait.pipelines.scoring.wire import read_rewards, read_rows
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import ScoreRequest

N_HEADS = 4096
"""Problems whose chat heads are remembered."""


class Prefix(NamedTuple):
    """A text with step tokens, and how many it has."""

    text: str
    n_steps: int


class StepTokenScorer:
    """Implements ``Scorer``.

    Args:
        link: The server.
        prm: System line and step token.
    """

    def __init__(self, link: Link, prm: PrmSpec) -> None:
        self._link = link
        self._system = find_system(prm)
        self._tag = find_step_tag(prm)
        self._tokens = ServerTokens(link.asker, link.model)
        self._heads: Once[str, str] = Once(N_HEADS)
        self._gather: Gather[Prefix, tuple[float, ...]] = link.gather(
            self._ask, lambda prefix: prefix.text
        )

    @property
    def identity(self) -> ModelIdentity:
        """Which weights score."""
        return self._link.identity

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Return the probability of class 1 at each step's token.

        Raises:
            RequestRefused: This text has no score; others may have.
            SamplerError: The server is gone.
        """
        problem = clean_text(request.problem, self._tag)
        head = await self._heads.get(problem, partial(self._render_head, problem))
        steps = [clean_text(step, self._tag).rstrip() + self._tag for step in request.steps]
        prefix = Prefix(head + "".join(steps), len(steps))
        return await self._gather.ask(request.question_id, prefix)

    async def close(self) -> None:
        """Release connections."""
        await self._gather.close()
        await self._link.asker.close()

    async def _render_head(self, problem: str) -> str:
        """Render the chat up to where the assistant speaks, as text."""
        system = clean_text(self._system, self._tag) if self._system else None
        chat = [*begin_chat(system), Message(role="user", content=problem)]
        return await self._tokens.spell(await self._tokens.of_chat(chat, speak=True))

    async def _ask(self, prefixes: list[Prefix]) -> Answers[tuple[float, ...]]:
        body = {
            "model": self._link.model,
            "input": [prefix.text for prefix in prefixes],
            "task": "token_classify",
            "add_special_tokens": False,
        }
        return await self._link.asker.ask(
            "/pooling",
            body,
            lambda reply: read_rows(
                reply,
                len(prefixes),
                "data",
                "data",
                lambda i, row: read_rewards(row, prefixes[i].n_steps),
            ),
        )
