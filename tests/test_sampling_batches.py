"""Unseeded lists of prompts: equal prompts differ, tokens go on where they stopped, refusals stay
with their own sample."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from fake_openai import FakeOpenAI, is_probe

from butwait.pipelines.sampling.batches import BatchClient
from butwait.pipelines.sampling.connect import connect
from butwait.pipelines.sampling.patience import Patience
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.schemas.errors import RequestRefused
from butwait.schemas.record import Message
from butwait.schemas.sampling import Completion, SampleRequest, SamplingParameters

STEP = SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=64, stop=("\n\n",))


def ask(problem: str = "2 + 2?", **more: Any) -> SampleRequest:
    given = {
        "messages": (Message(role="user", content=problem),),
        "prompt": None,
        "n": 4,
        "seed": 7,
        "is_seeded": False,
        "with_tokens": True,
        "with_log_probs": True,
        "parameters": STEP,
    }
    return SampleRequest(question_id=problem, step="search-0-root", **{**given, **more})


def sample(server: FakeOpenAI, *requests: SampleRequest, **more: Any) -> list[list[Any]]:
    async def gather() -> list[list[Any]]:
        inner = connect(server.url, server.model, patience=Patience(n_retries=0))
        assert isinstance(inner, VllmClient)
        client = BatchClient(inner, **more)
        try:  # prompts are tokenized first, so that what a test asks for is asked at one moment
            for request in requests:
                with contextlib.suppress(RequestRefused):
                    await inner.tokenize(request)
            asked = [client.sample_each(request, range(request.n)) for request in requests]
            return await asyncio.gather(*asked)
        finally:
            await client.close()

    return asyncio.run(gather())


def test_equal_prompts_travel_in_one_list_without_a_seed_and_differ() -> None:
    with FakeOpenAI().running() as server:
        [completions] = sample(server, ask(n=32))
    [payload] = server.payloads
    assert "seed" not in payload and payload["n"] == 1
    assert len(payload["prompt"]) == 32 and len(set(payload["prompt"])) == 1
    assert len({completion.text for completion in completions}) == 32
    assert [completion.seed for completion in completions] == list(range(7, 39))


def test_the_same_list_with_a_seed_would_be_one_text_many_times() -> None:
    with FakeOpenAI().running() as server:
        body = {"model": server.model, "max_tokens": 64, "prompt": ["2 + 2?"] * 4}
        texts = {
            key: {c["text"] for c in httpx.post(f"{server.url}/v1/completions", json=b).json()[
                "choices"
            ]}
            for key, b in {"seeded": {**body, "seed": 7}, "unseeded": body}.items()
        }  # fmt: skip
    assert len(texts["seeded"]) == 1 and len(texts["unseeded"]) == 4


def test_questions_share_a_request_and_get_their_own_answers() -> None:
    def echo(payload: dict[str, Any], index: int) -> str:
        return f"asked {payload['prompt']}\n\nmore"

    with FakeOpenAI(echo).running() as server:
        one, other = sample(server, ask("first", n=3), ask("second", n=2))
    assert len(server.payloads) == 1 and len(one) == 3 and len(other) == 2
    assert all("first" in c.text and c.stop_reason == "\n\n" for c in one)
    assert all("second" in c.text and c.log_prob < 0 for c in other)
    assert [c.index for c in one] == [0, 1, 2]


def test_a_prefix_goes_on_from_the_tokens_that_were_sampled_and_not_from_its_text() -> None:
    with FakeOpenAI().running() as server:
        [[first, *_]] = sample(server, ask())
        assert isinstance(first, Completion) and first.token_ids is not None
        n_head = first.n_prompt_tokens
        text = first.text + "\n\n"
        [[second, *_], [again, *_]] = sample(
            server,
            ask(prefix=text, prefix_tokens=first.token_ids, n=1),
            ask(prefix=text, prefix_tokens=None, n=1),
        )
    assert second.n_prompt_tokens == n_head + len(first.token_ids)
    assert server.payloads[-1]["prompt"][0].endswith("<|assistant|>" + text)
    assert isinstance(again, Completion)


def test_requests_with_other_parameters_travel_apart() -> None:
    cold = STEP.model_copy(update={"temperature": 0.0})
    with FakeOpenAI().running() as server:
        sample(
            server,
            ask(n=2),
            ask(n=2, parameters=cold),
            ask(n=1, with_tokens=False, with_log_probs=False),
        )
    sent = sorted((p["temperature"], len(p["prompt"]), "logprobs" in p) for p in server.payloads)
    assert sent == [(0.0, 2, True), (0.8, 1, False), (0.8, 2, True)]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_prompt_that_does_not_fit_is_refused_alone(n: int) -> None:
    with FakeOpenAI(max_model_len=200).running() as server:
        long, short = sample(server, ask("long " * 300, n=1), ask(n=n))
    assert isinstance(long[0], RequestRefused) and long[0].reason == "context_overflow"
    assert all(isinstance(completion, Completion) for completion in short)


def test_a_list_that_failed_is_asked_for_one_by_one_and_loses_only_what_fails_again() -> None:
    with FakeOpenAI().running() as server:
        server.faults.extend(["fewer", "500"])
        [completions] = sample(server, ask(n=4))
    assert [len(payload["prompt"]) for payload in server.payloads] == [4, 1, 1, 1, 1]
    assert sum(isinstance(completion, Completion) for completion in completions) == 3
    [refusal] = [c for c in completions if isinstance(c, RequestRefused)]
    assert refusal.reason == "server_error"


def test_a_server_that_fails_on_and_on_is_asked_once_together_and_once_alone() -> None:
    with FakeOpenAI().running() as server:
        server.faults.extend(["500"] * 100)
        [completions] = sample(server, ask(n=16))
    # The client may also look, on a slow machine, whether the server works again.
    assert sum(not is_probe(payload) for payload in server.payloads) == 17
    assert all(isinstance(completion, RequestRefused) for completion in completions)


def test_large_batches_are_split_and_nothing_is_lost() -> None:
    with FakeOpenAI().running() as server:
        answers = sample(server, *[ask(f"q{i}", n=7) for i in range(9)], max_batch=16)
    assert [len(completions) for completions in answers] == [7] * 9
    assert max(len(payload["prompt"]) for payload in server.payloads) <= 16
    assert sum(len(payload["prompt"]) for payload in server.payloads) == 63
