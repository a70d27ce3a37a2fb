"""The HTTP client against a real (fake) server: what it sends, what it reads, how it fails."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from fake_openai import BOS, FakeOpenAI, tell_random_story
from hypothesis import given
from hypothesis import strategies as st

from butwait.pipelines.sampling.attempt import Connection, Reply
from butwait.pipelines.sampling.connect import connect, normalize_url
from butwait.pipelines.sampling.patience import Patience
from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.pipelines.sampling.wire import read_completions, read_refusal
from butwait.schemas.errors import ConfigError, RequestRefused, SamplerError
from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity, SampleRequest, SamplingParameters

LIMITS = {field.name for field in fields(Patience)}
PARAMETERS = SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=100)


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI().running() as running:
        yield running


def ask(
    text: str | None = None, *, prompt: str | None = None, n: int = 2, **more: Any
) -> SampleRequest:
    messages = None if prompt is not None else (Message(role="user", content=text or "1 + 1?"),)
    more = {"seed": 10, "parameters": PARAMETERS, **more}
    return SampleRequest(
        question_id="q", step="sample", messages=messages, prompt=prompt, n=n, **more
    )


def answer(client: VllmClient, *requests: SampleRequest) -> list[Any]:
    async def gather() -> list[Any]:
        try:
            tasks = [client.sample(request) for request in requests]
            return await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await client.close()

    return asyncio.run(gather())


def open_client(server: FakeOpenAI, **more: Any) -> VllmClient:
    limits = {"pause_s": 0.01, **{name: more.pop(name) for name in LIMITS & set(more)}}
    return connect(server.url, patience=Patience(**limits), **more)


def test_n_samples_come_in_one_request_with_consecutive_seeds_and_their_own_counts(
    server: FakeOpenAI,
) -> None:
    (completions,) = answer(open_client(server), ask(n=5))
    assert [c.index for c in completions] == [0, 1, 2, 3, 4]
    assert [c.seed for c in completions] == [10, 11, 12, 13, 14]
    assert len({c.text for c in completions}) == 5
    assert all(c.n_completion_tokens == len(c.text.split()) for c in completions)
    assert all(c.finish_reason == "stop" and c.stop_reason is None for c in completions)
    assert server.n_requests == 1 and server.n_completions == 5
    again = answer(open_client(server), ask(n=1, seed=13))[0]
    assert again[0].text == completions[3].text


def test_what_a_server_could_fill_in_is_sent(server: FakeOpenAI) -> None:
    answer(open_client(server), ask())
    sent = server.payloads[0]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.8, 1.0, 100)
    assert (sent["top_k"], sent["min_p"], sent["repetition_penalty"]) == (0, 0.0, 1.0)
    assert (sent["n"], sent["seed"], sent["return_token_ids"]) == (2, 10, True)


def test_a_stop_string_is_named_and_a_token_limit_is_length(server: FakeOpenAI) -> None:
    stopped = PARAMETERS.model_copy(update={"stop": ("\n\n",)})
    short = PARAMETERS.model_copy(update={"max_tokens": 2})
    one, two = answer(open_client(server), ask(parameters=stopped), ask(parameters=short))
    assert one[0].finish_reason == "stop" and one[0].stop_reason == "\n\n"
    assert "\n\n" not in one[0].text
    assert two[0].finish_reason == "length" and two[0].n_completion_tokens == 2


def test_a_prefix_follows_the_generation_prompt_to_the_last_blank(server: FakeOpenAI) -> None:
    (completions,) = answer(open_client(server), ask("2 + 2?", prefix="First.\n\n"))
    sent = server.payloads[0]
    assert sent["prompt"] == "<|user|>2 + 2?<|end|><|assistant|>First.\n\n"
    assert "messages" not in sent and len(completions) == 2


def test_a_raw_prompt_is_sent_as_it_is_and_never_gets_a_second_beginning() -> None:
    with FakeOpenAI(bos=True).running() as server:
        requests = [ask(prompt="Q: 1", prefix=" A:"), ask(prompt=f"{BOS}Q: 1", prefix=" A:")]
        one, two = answer(open_client(server), *requests)
    assert {payload["prompt"] for payload in server.payloads} == {f"{BOS}Q: 1 A:"}
    assert [c.text for c in one] == [c.text for c in two]


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "cut", "fewer", "abort", "empty"])
def test_a_failure_that_passes_costs_one_more_request(server: FakeOpenAI, fault: Any) -> None:
    client = open_client(server)
    server.faults.append(fault)
    (completions,) = answer(client, ask())
    assert [c.text for c in completions] == [
        tell_random_story(server.payloads[0], index) for index in range(2)
    ]
    assert server.n_requests == 2


@pytest.mark.alone
def test_a_stalled_reply_is_asked_for_again(server: FakeOpenAI) -> None:
    server.faults.append("stall")
    (completions,) = answer(open_client(server, request_timeout_s=0.4), ask())
    assert len(completions) == 2 and server.n_requests == 2


@pytest.mark.parametrize(
    ("fault", "reason"), [("500", "server_error"), ("cut", "bad_reply"), ("reset", "unreachable")]
)
def test_a_failure_that_stays_is_this_requests_alone(
    server: FakeOpenAI, fault: Any, reason: str
) -> None:
    server.faults.extend([fault] * 3)
    client = open_client(server, n_retries=2, max_in_flight=1)
    refused, completions = answer(client, ask(), ask("another"))
    assert isinstance(refused, RequestRefused) and refused.reason == reason
    assert "3 attempts" in str(refused)
    assert len(completions) == 2


def test_a_timeout_through_all_retries_is_named(server: FakeOpenAI) -> None:
    server.delay_s = 1.0
    (refused,) = answer(open_client(server, request_timeout_s=0.1, n_retries=1), ask())
    assert isinstance(refused, RequestRefused) and refused.reason == "timeout"


@pytest.mark.alone
def test_the_servers_wish_to_wait_is_honoured(server: FakeOpenAI) -> None:
    server.faults.append("429")
    server.retry_after = "0.5"
    began = time.monotonic()
    (completions,) = answer(open_client(server), ask())
    assert time.monotonic() - began >= 0.5 and len(completions) == 2


def test_a_refusal_is_not_asked_again_and_carries_the_servers_words(server: FakeOpenAI) -> None:
    server.faults.append("400")
    (refused,) = answer(open_client(server), ask())
    assert isinstance(refused, RequestRefused) and refused.reason == "refused"
    assert "fault 400" in str(refused) and server.n_requests == 1


def test_a_prompt_beyond_the_context_is_named_as_such(server: FakeOpenAI) -> None:
    server.max_model_len = 50
    (refused,) = answer(open_client(server), ask("word " * 60))
    assert isinstance(refused, RequestRefused) and refused.reason == "context_overflow"
    assert server.n_requests == 1


@pytest.mark.alone
def test_no_more_requests_are_open_than_allowed_and_the_slots_are_used(server: FakeOpenAI) -> None:
    server.delay_s = 0.05
    answers = answer(open_client(server, max_in_flight=4), *[ask(f"q{i}") for i in range(20)])
    assert all(len(completions) == 2 for completions in answers)
    assert server.most_in_flight == 4


def test_a_client_outlives_its_event_loop(server: FakeOpenAI) -> None:
    client = open_client(server)
    assert answer(client, ask()) == answer(client, ask())


@pytest.mark.alone
def test_a_server_that_is_gone_ends_every_request_soon() -> None:
    with FakeOpenAI().running() as server:
        client = open_client(server, max_in_flight=2, outage_s=1.0)
    began = time.monotonic()
    answers = answer(client, *[ask(f"q{i}") for i in range(50)])
    assert all(isinstance(error, ServerGone) for error in answers)
    assert time.monotonic() - began < 5
    assert f"nobody answers at {server.url} for 1 s" in str(answers[0])


def test_the_death_of_our_own_server_is_told_at_once_with_its_last_words(
    server: FakeOpenAI,
) -> None:
    deaths: list[str] = []
    client = open_client(server, find_death=lambda: deaths[0] if deaths else None, pause_s=60.0)

    def die(payload: dict[str, Any], index: int) -> str:
        deaths.append("the engine has ended: out of memory")
        raise RuntimeError("as an engine does")

    server.answer = die
    began = time.monotonic()
    (gone,) = answer(client, ask())
    assert isinstance(gone, ServerGone) and "out of memory" in str(gone)
    assert time.monotonic() - began < 10


def test_an_api_key_is_sent_and_never_shown() -> None:
    with FakeOpenAI(api_key="sesame").running() as server:
        assert len(answer(open_client(server, api_key="sesame"), ask())[0]) == 2
        with pytest.raises(SamplerError, match="API key") as caught:
            open_client(server, api_key="wrong-key")
        assert "wrong-key" not in str(caught.value)
        client = open_client(server, api_key="sesame")
        server.api_key = "changed"
        (refused,) = answer(client, ask())
        assert isinstance(refused, RequestRefused)
        assert "sesame" not in str(refused) and "***" in str(refused)


def test_connecting_says_what_is_served(server: FakeOpenAI) -> None:
    identity = ModelIdentity(id="fake/model", revision=None, engine="vllm-0.0-fake")
    assert connect(server.url).identity == identity
    assert connect(f"{server.url}/v1/", "fake/model").served_name == "fake/model"
    with pytest.raises(ConfigError, match="'other'; it serves: fake/model"):
        connect(server.url, "other")
    with pytest.raises(ConfigError, match=r"the recipe's model\.id is 'some/other'"):
        connect(server.url, hub_id="some/other")


def test_connecting_to_nobody_or_nonsense_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ServerGone, match=f"nobody answers at http://127.0.0.1:{port}"):
        connect(f"http://127.0.0.1:{port}")
    for url in ("gpu7:8000", "ftp://x", "http://"):
        with pytest.raises(ConfigError, match="http"):
            normalize_url(url)


def test_a_reasoning_parser_that_would_hide_the_thinking_is_refused() -> None:
    message = {"role": "assistant", "content": "4", "reasoning": "2 and 2 ..."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "token_ids": [1]}
    reply = {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    with pytest.raises(RequestRefused, match="--reasoning-parser"):
        read_completions(reply, ask(n=1))


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "usage", "index", "text", "message", "finish_reason"]),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON)
def test_no_reply_whatsoever_does_more_than_be_refused(reply: Any) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_completions(reply, ask(n=1))
    str(caught.value).encode()


@pytest.mark.parametrize("spoken", [{"text": "4\ud800"}, {"message": {"content": "4\ud800"}}])
def test_a_lone_surrogate_in_a_sample_is_replaced(spoken: dict[str, Any]) -> None:
    choice = {"index": 0, "finish_reason": "stop", "stop_reason": "\udfff", "token_ids": [1]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    (completion,) = read_completions({"choices": [{**choice, **spoken}], "usage": usage}, ask(n=1))
    assert (completion.text, completion.stop_reason) == ("4?", "?")
    usage["prompt_tokens"] = "\ud800"  # type: ignore[assignment]
    with pytest.raises(RequestRefused, match="bad_reply") as caught:
        read_completions({"choices": [{**choice, **spoken}], "usage": usage}, ask(n=1))
    str(caught.value).encode()


def test_a_lone_surrogate_in_a_refusal_is_replaced() -> None:
    refusal = read_refusal(400, "", {"error": {"message": "no \ud800"}})
    assert str(refusal) == "refused: the server answered 400: no ?"


def test_a_key_that_a_server_repeats_in_a_list_is_hidden() -> None:
    said = {"message": [{"input": {"sesame": ["Bearer sesame"]}}]}

    async def read() -> None:
        connection = Connection("http://127.0.0.1:1", 1.0, "sesame")
        try:
            body = json.dumps({"error": said}).encode()
            connection._read(Reply(422, {}, body), lambda reply: reply, "a model")
        finally:
            await connection.close()

    with pytest.raises(RequestRefused) as caught:
        asyncio.run(read())
    assert "sesame" not in str(caught.value) and "Bearer ***" in str(caught.value)


def test_a_refusal_survives_the_way_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(RequestRefused("timeout", "no reply")))
    assert (refusal.reason, refusal.detail) == ("timeout", "no reply")


def test_a_request_that_may_be_shortened_takes_what_the_context_leaves(server: FakeOpenAI) -> None:
    server.max_model_len = 60
    wide = PARAMETERS.model_copy(update={"max_tokens": 5000})
    client = open_client(server)
    fitted, refused = answer(
        client, ask("1 + 1?", parameters=wide, fits_context=True), ask("1 + 1?", parameters=wide)
    )
    assert len(fitted) == 2
    n_prompt = fitted[0].n_prompt_tokens
    assert [p["max_tokens"] for p in server.payloads].count(60 - n_prompt) == 1
    assert refused.reason == "context_overflow"
