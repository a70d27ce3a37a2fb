"""its_hub's particle filter over the questions of a job, in one fresh process of its own venv.

``python -m benchmarks.search.peer JOB.json OUT.json``. As its documentation has it: an
``OpenAICompatibleLanguageModel``, a ``StepGeneration`` that ends at the bare ``\\boxed``,
``ParticleFiltering(...).infer(lm, question, budget)`` question after question (``each``); or all
questions' ``ainfer`` in one ``asyncio.gather`` (``gathered``), which its documentation does not
show. Departures: the step limit is one less, because it stops one step late; a question that fails
is counted, not raised.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any

import aiohttp
from its_hub.api import AbstractProcessRewardModel
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel
from its_hub.core.lms.step_generation import StepGeneration

from benchmarks.search.setting import (
    MAX_STEP_TOKENS,
    MAX_STEPS,
    SEPARATOR,
    TEMPERATURE,
    Clock,
    Job,
    read_job,
    write_result,
)

STEP_TAG = "<extra_0>"


class FreeRewards(AbstractProcessRewardModel):
    """Every prefix 0.5, without a server."""

    def score(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        """Score at once."""
        return [0.5] * len(steps)

    async def ascore(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        """Score at once."""
        return [0.5] * len(steps)


class PooledRewards(AbstractProcessRewardModel):
    """A served process reward model: all prefixes of a call in one request to ``/pooling``."""

    def __init__(self, url: str, model: str, system: str) -> None:
        self._url, self._model, self._system = f"{url}/pooling", model, system

    def score(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        """Score from outside a loop."""
        return asyncio.run(self.ascore(prompt_or_messages, steps))

    async def ascore(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        """Score each prefix as one step, the way ``model`` aggregation does."""
        if not steps:
            return []
        head = f"<|system|>{self._system}<|end|><|user|>{prompt_or_messages}<|end|><|assistant|>"
        body = {
            "model": self._model,
            "input": [head + step.rstrip() + STEP_TAG for step in steps],
            "task": "token_classify",
            "add_special_tokens": False,
        }
        # One session a call, as its own language model has it: a loop lives one question.
        async with aiohttp.ClientSession() as session:
            async with session.post(self._url, json=body) as response:
                response.raise_for_status()
                rows = (await response.json())["data"]
        return [row["data"][-1][1] for row in rows]


def make_filter(job: Job) -> tuple[OpenAICompatibleLanguageModel, ParticleFiltering]:
    """Model and algorithm as the documentation makes them."""
    lm = OpenAICompatibleLanguageModel(
        endpoint=f"{job['url']}/v1",
        api_key="NO_API_KEY",
        model_name=job["model"],
        system_prompt=job["system"],
        max_completion_tokens=MAX_STEP_TOKENS,
    )
    steps = StepGeneration(
        max_steps=MAX_STEPS - 1,
        step_token=SEPARATOR,
        stop_token=r"\boxed",
        temperature=TEMPERATURE,
    )
    url = job["prm_url"]
    rewards = FreeRewards() if url is None else PooledRewards(url, job["prm_model"], job["system"])
    return lm, ParticleFiltering(steps, rewards)


def count_requests(clock: Clock) -> None:
    """Have the clock told of every chat request that goes out."""
    send = aiohttp.ClientSession._request

    async def counted(self: aiohttp.ClientSession, method: str, url: Any, **more: Any) -> Any:
        is_chat = str(url).endswith("/chat/completions")
        if is_chat:
            clock.opened()
        try:
            return await send(self, method, url, **more)
        finally:
            if is_chat:
                clock.closed()

    aiohttp.ClientSession._request = counted


def main() -> None:
    """Run the job."""
    job = read_job(sys.argv[1])
    warnings.simplefilter("ignore", DeprecationWarning)
    lm, algorithm = make_filter(job)
    clock = Clock()
    count_requests(clock)
    failed: list[str] = []
    n_steps = 0

    def note(result: Any) -> None:
        nonlocal n_steps
        if isinstance(result, BaseException):
            failed.append(f"{type(result).__name__}: {result}"[:200])
        else:
            n_steps += sum(result.steps_used_lst)

    if job["how"] == "each":
        for problem in job["problems"]:
            try:
                note(algorithm.infer(lm, problem, job["n_particles"], return_response_only=False))
            except Exception as error:  # noqa: BLE001 (one failing request ends its question)
                note(error)
    else:

        async def all_at_once() -> list[Any]:
            asked = (
                algorithm.ainfer(lm, problem, job["n_particles"], return_response_only=False)
                for problem in job["problems"]
            )
            return await asyncio.gather(*asked, return_exceptions=True)

        for result in asyncio.run(all_at_once()):
            note(result)
    write_result(sys.argv[2], {**clock.read(), "n_kept_steps": n_steps, "failed": failed})


if __name__ == "__main__":
    main()
