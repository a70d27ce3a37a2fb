"""A stronger policy's own opinion: how likely it finds each step, token by token.

The reward of a step is the exponential of its worst token's log-probability (or of their mean or
sum). The prompt is the request's chat in the judge's own template, or its raw prompt.

Which tokens are a step's is exact by construction: each step is tokenized alone and the pieces are
put one after the other. So every token belongs to one step, and a step's tokens and reward never
change when further steps are added. Where BPE would join characters across a boundary, the pieces
do not, just as a policy that is stopped after each step begins the next with a token of its own.
Left out: prefix caching (vLLM computes a prompt afresh when its log-probabilities are wanted).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from butwait.pipelines.sampling.apart import Answers
from butwait.pipelines.sampling.gather import Gather
from butwait.pipelines.sampling.tokens import ServerTokens
from butwait.pipelines.scoring.layouts import clean_text
from butwait.pipelines.scoring.link import Link
from butwait.pipelines.scoring.wire import read_log_probs, read_rows
from butwait.schemas.errors import RequestRefused
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import ScoreRequest

STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "worst": min,
    "mean": lambda values: math.fsum(values) / len(values),
    "sum": math.fsum,
}


class Pieces(NamedTuple):
    """Tokens of prompt and steps; ``ends[0]`` is where the prompt ends, then each step."""

    tokens: tuple[int, ...]
    ends: tuple[int, ...]


LogProbs = tuple[tuple[float, ...], ...]
"""Of each step, its tokens' log-probabilities."""


class LikelihoodScorer:
    """Implements ``Scorer``.

    Args:
        link: The server.
        prm: The statistic over a step's tokens.
    """

    def __init__(self, link: Link, prm: PrmSpec) -> None:
        self._summarize = STATISTICS[prm.statistic]
        self._steps = StepLogProbs(link)
        self._identity = link.identity

    @property
    def identity(self) -> ModelIdentity:
        """Which weights score."""
        return self._identity

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Return each step's likelihood.

        Raises:
            RequestRefused: This text has no score; others may have.
            SamplerError: The server is gone.
        """
        return tuple(math.exp(self._summarize(step)) for step in await self._steps.read(request))

    async def close(self) -> None:
        """Release connections."""
        await self._steps.close()


class StepLogProbs:
    """What one model says of each token of each step.

    Args:
        link: Its server.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._tokens = ServerTokens(link.asker, link.model)
        self._gather: Gather[Pieces, LogProbs] = link.gather(
            self._ask, lambda pieces: pieces.tokens
        )

    async def read(self, request: ScoreRequest) -> LogProbs:
        """Return the log-probabilities of each step's tokens.

        Raises:
            RequestRefused: This text has no score (``bad_score`` for a step without a token);
                others may have.
            SamplerError: The server is gone.
        """
        parts = [await self._tokenize_prompt(request)]
        parts += [await self._tokens.of_text(clean_text(step)) for step in request.steps]
        for i, part in enumerate(parts):
            if not part:
                what = f"step {i} has" if i else "the prompt has"
                raise RequestRefused("bad_score", f"{what} no token, so no likelihood")
        ends = tuple(accumulate(len(part) for part in parts))
        pieces = Pieces(tuple(chain.from_iterable(parts)), ends)
        return await self._gather.ask(request.question_id, pieces)

    async def close(self) -> None:
        """Release connections."""
        await self._gather.close()
        await self._link.asker.close()

    async def _tokenize_prompt(self, request: ScoreRequest) -> tuple[int, ...]:
        """Tokenize what the policy was asked; a raw prompt gets one beginning of text at most."""
        if request.messages is not None:
            chat = [
                Message(role=message.role, content=clean_text(message.content))
                for message in request.messages
            ]
            return await self._tokens.of_chat(chat, speak=True)
        plain = await self._tokens.of_text(clean_text(request.prompt or ""))
        begin = await self._tokens.of_text("", special=True)
        return plain if plain[: len(begin)] == begin else begin + plain

    async def _ask(self, items: list[Pieces]) -> Answers[LogProbs]:
        body = write_log_probs_request(self._link.model, [pieces.tokens for pieces in items])
        return await self._link.asker.ask(
            "/v1/completions",
            body,
            lambda reply: read_rows(
                reply,
                len(items),
                "choices",
                "",
                lambda i, row: self._read(items[i], read_log_probs(row, items[i].tokens)),
            ),
        )

    def _read(self, pieces: Pieces, log_probs: list[float | None]) -> LogProbs:
        """Give each step the log-probabilities of its own tokens."""
        steps = []
        for begin, end in pairwise(pieces.ends):
            known = [value for value in log_probs[begin:end] if value is not None]
            if len(known) != end - begin:
                raise RequestRefused("bad_score", "a token without a log-probability")
            steps.append(tuple(known))
        return tuple(steps)


def write_log_probs_request(model: str, prompts: Sequence[Sequence[int]]) -> dict[str, object]:
    """Write a request for the log-probabilities of prompts' own tokens."""
    return {
        "model": model,
        "prompt": [list(tokens) for tokens in prompts],
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": 0,
    }
