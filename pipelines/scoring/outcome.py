"""Reward models over whole solutions: one number at the end of the chat.

The chat of problem and solution is rendered by the served model's own template to its very last
token, because that is the token such a model judges at. One label: the server's sigmoid of it; two:
the probability of the last class. Left out: raw scores (start the server with an activation).
"""

from __future__ import annotations

from butwait.pipelines.sampling.apart import Answers
from butwait.pipelines.sampling.gather import Gather
from butwait.pipelines.sampling.tokens import ServerTokens
from butwait.pipelines.scoring.layouts import begin_chat, clean_text, find_system
from butwait.pipelines.scoring.link import Link
from butwait.pipelines.scoring.wire import read_outcome, read_rows
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import ScoreRequest

Chat = tuple[int, ...]


class OutcomeScorer:
    """Implements ``Scorer``.

    Args:
        link: The server.
        prm: System line.
    """

    def __init__(self, link: Link, prm: PrmSpec) -> None:
        self._link = link
        self._system = find_system(prm)
        self._tokens = ServerTokens(link.asker, link.model)
        self._gather: Gather[Chat, tuple[float, ...]] = link.gather(self._ask, lambda chat: chat)

    @property
    def identity(self) -> ModelIdentity:
        """Which weights score."""
        return self._link.identity

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Return one reward for the whole solution, however many parts it comes in.

        Raises:
            RequestRefused: This text has no score; others may have.
            SamplerError: The server is gone.
        """
        solution = clean_text("".join(request.steps)).rstrip()
        chat = [
            *begin_chat(self._system),
            Message(role="user", content=clean_text(request.problem)),
            Message(role="assistant", content=solution),
        ]
        tokens = await self._tokens.of_chat(chat, speak=False)
        return await self._gather.ask(request.question_id, tokens)

    async def close(self) -> None:
        """Release connections."""
        await self._gather.close()
        await self._link.asker.close()

    async def _ask(self, chats: list[Chat]) -> Answers[tuple[float, ...]]:
        body = {"model": self._link.model, "input": [list(chat) for chat in chats]}
        return await self._link.asker.ask(
            "/classify",
            body,
            lambda reply: read_rows(
                reply, len(chats), "data", "probs", lambda _, row: read_outcome(row)
            ),
        )
