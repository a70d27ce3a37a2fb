"""What a search relies on, shown on a real vLLM server with the pocket policy."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from butwait.pipelines.sampling.batches import BatchClient
from butwait.pipelines.sampling.engine import Endpoint, make_sampler
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.schemas.record import Message
from butwait.schemas.sampling import Completion, SampleRequest, SamplingParameters

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
PROBLEM = (
    "Tom has 47 beads. Tom gives 3 beads to Ivy. Tom doubles the number of beads. Tom loses 57 "
    "beads. Tom loses 25 beads. How many beads does Tom have now?"
)
STEP = SamplingParameters(temperature=1.0, top_p=1.0, max_tokens=64, stop=("\n\n",))
COLD = STEP.model_copy(update={"temperature": 0.0})


def ask(**more: Any) -> SampleRequest:
    given = {
        "messages": (Message(role="user", content=PROBLEM),),
        "prompt": None,
        "n": 1,
        "seed": 7,
        "is_seeded": False,
        "with_tokens": True,
        "with_log_probs": True,
        "parameters": STEP,
    }
    return SampleRequest(question_id="q", step="search-0-root", **{**given, **more})


def sample(endpoint: Endpoint, *requests: SampleRequest) -> list[list[Completion]]:
    async def gather() -> list[list[Any]]:
        inner = make_sampler(endpoint)
        assert isinstance(inner, VllmClient)
        client = BatchClient(inner)
        try:
            asked = [client.sample_each(request, range(request.n)) for request in requests]
            return await asyncio.gather(*asked)
        finally:
            await client.close()

    return asyncio.run(gather())


def test_equal_prompts_of_one_list_differ_without_a_seed_and_only_then(
    pocket_server: Endpoint,
) -> None:
    [completions] = sample(pocket_server, ask(n=32))
    assert len({completion.text for completion in completions}) > 3
    body = {
        "model": pocket_server.served_name,
        "prompt": ["12 + 3"] * 8,
        "max_tokens": 24,
        "temperature": 1.0,
    }
    found = {}
    for seed in (None, 3):
        reply = httpx.post(
            f"{pocket_server.url}/v1/completions",
            json={**body, **({} if seed is None else {"seed": seed})},
            timeout=60,
            trust_env=False,
        )
        found[seed] = {choice["text"] for choice in reply.json()["choices"]}
    assert len(found[3]) == 1 < len(found[None])


def test_a_solution_grown_step_by_step_from_its_tokens_is_the_one_written_in_one_go(
    pocket_server: Endpoint,
) -> None:
    whole_parameters = COLD.model_copy(update={"stop": (), "max_tokens": 200})
    [[whole]] = sample(pocket_server, ask(parameters=whole_parameters))
    text, tokens = "", ()
    for _ in range(12):
        more = {"prefix": text, "prefix_tokens": tokens} if tokens else {}
        [[step]] = sample(pocket_server, ask(parameters=COLD, **more))
        assert step.token_ids is not None and step.log_prob is not None and step.log_prob <= 0.0
        text, tokens = text + step.text + (step.stop_reason or ""), tokens + step.token_ids
        if step.stop_reason is None:
            break
    assert text == whole.text and text.count("\n\n") >= 2
    assert whole.token_ids is not None and tokens == whole.token_ids


def test_a_prefix_costs_its_tokens_as_prompt_and_is_not_tokenized_again(
    pocket_server: Endpoint,
) -> None:
    [[first, *_]] = sample(pocket_server, ask(n=4))
    assert first.token_ids is not None
    text = first.text + (first.stop_reason or "")
    [[second]] = sample(pocket_server, ask(prefix=text, prefix_tokens=first.token_ids))
    assert second.n_prompt_tokens == first.n_prompt_tokens + len(first.token_ids)
