"""Causal reward models: the probability of a good mark against a bad one as the next token.

``rlhflow``: a chat in which the user says the steps, the first after the problem and a blank, and
the assistant has said the good mark to each before; asked is what the assistant says next.
``math_shepherd``: raw text ``{problem} {step 1} ки\\n{step 2} ки``; asked is what follows the tag.
Both are the logits that the model cards read, because a causal model's output at a position is its
prediction of the next token. Each step is a prompt of its own, generating one token, with
``logprob_token_ids`` (vLLM 0.32: the exact log-probabilities of the tokens named, before any
temperature); the steps before it were mostly asked for earlier and are remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
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
from butwait.pipelines.scoring.wire import read_mark, read_rows
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import ScoreRequest

N_STEPS = 65536
"""Steps whose rewards are remembered (a hash and a number each)."""
Prompt = str | tuple[int, ...]
Render = Callable[[str, Sequence[str]], Awaitable[Prompt]]


class Marks(NamedTuple):
    """Token ids of the two marks."""

    good: int
    bad: int


class MarkScorer:
    """Implements ``Scorer``.

    Args:
        link: The server.
        prm: Layout (``rlhflow`` or ``math_shepherd``), system line, tag and marks.
        marks: Token ids of ``prm.good_mark`` and ``prm.bad_mark``.
    """

    def __init__(self, link: Link, prm: PrmSpec, marks: Marks) -> None:
        self._link = link
        self._marks = marks
        self._render = (
            render_turns(ServerTokens(link.asker, link.model), find_system(prm), prm.good_mark)
            if prm.layout == "rlhflow"
            else render_lines(find_step_tag(prm))
        )
        self._known: Once[bytes, float] = Once(N_STEPS)
        self._gather: Gather[Prompt, float] = link.gather(self._ask, lambda prompt: prompt)

    @property
    def identity(self) -> ModelIdentity:
        """Which weights score."""
        return self._link.identity

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Return the good mark's probability after each step.

        Raises:
            RequestRefused: A step has no score; other requests may have theirs.
            SamplerError: The server is gone.
        """
        problem = clean_text(request.problem)
        steps = [clean_text(step).strip() for step in request.steps]
        keys = hash_prefixes(problem, steps)
        known = [self._known.find(key) for key in keys]
        tasks = {
            i: asyncio.create_task(
                self._known.get(
                    keys[i], partial(self._ask_after, request.question_id, problem, steps[: i + 1])
                )
            )
            for i, reward in enumerate(known)
            if reward is None
        }
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():  # where one is refused, nobody waits for the others
                task.cancel()
        return tuple(
            tasks[i].result() if reward is None else reward for i, reward in enumerate(known)
        )

    async def close(self) -> None:
        """Release connections."""
        await self._gather.close()
        await self._link.asker.close()

    async def _ask_after(self, question_id: str, problem: str, steps: Sequence[str]) -> float:
        """Ask for the mark after the last of some steps."""
        return await self._gather.ask(question_id, await self._render(problem, steps))

    async def _ask(self, prompts: list[Prompt]) -> Answers[float]:
        body = write_marks_request(self._link.model, prompts, self._marks)
        return await self._link.asker.ask(
            "/v1/completions",
            body,
            lambda reply: read_rows(
                reply, len(prompts), "choices", "", lambda _, row: read_mark(row, *self._marks)
            ),
        )


def write_marks_request(model: str, prompts: Sequence[Prompt], marks: Marks) -> dict[str, object]:
    """Write a request for the two marks' log-probabilities after each prompt."""
    return {
        "model": model,
        "prompt": [p if isinstance(p, str) else list(p) for p in prompts],
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": len(marks),
        "logprob_token_ids": list(marks),
        "return_tokens_as_token_ids": True,
    }


def render_turns(tokens: ServerTokens, system: str | None, good_mark: str) -> Render:
    """Make the renderer of ``rlhflow``: the steps as the user's turns of a chat."""

    async def render(problem: str, steps: Sequence[str]) -> Prompt:
        chat = begin_chat(system)
        for i, step in enumerate(steps):
            said = f"{problem} {step}" if i == 0 else step
            chat += [
                Message(role="user", content=said),
                Message(role="assistant", content=good_mark),
            ]
        return await tokens.of_chat(chat[:-1], speak=True)

    return render


def render_lines(tag: str) -> Render:
    """Make the renderer of ``math_shepherd``: the steps as lines that end with the tag."""

    async def render(problem: str, steps: Sequence[str]) -> Prompt:
        return f"{problem} " + "\n".join(f"{step} {tag}" for step in steps)

    return render


def hash_prefixes(problem: str, steps: Sequence[str]) -> list[bytes]:
    """Hash a problem with its first step, its first two, and so on; 32 bytes each."""
    digest = hashlib.sha256(problem.encode())
    keys = []
    for step in steps:
        digest.update(f"\0{len(step)}\0{step}".encode())
        keys.append(digest.digest())
    return keys
