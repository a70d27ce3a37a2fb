"""Scorers against a real (fake) server: what they send, what they read, how they fail."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_prm import STEP, FakePrm, judge
from hypothesis import given
from hypothesis import strategies as st
from scoring_requests import STEPS, ask, describe, score

from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.scoring.engine import make_scorer
from butwait.pipelines.scoring.layouts import QWEN_SYSTEM
from butwait.pipelines.scoring.wire import (
    read_log_probs,
    read_mark,
    read_outcome,
    read_rewards,
    read_rows,
)
from butwait.schemas.errors import RequestRefused, SamplerError

HEAD = f"<|system|>{QWEN_SYSTEM}<|end|><|user|>2 + 2?<|end|><|assistant|>"


@pytest.fixture
def server() -> Iterator[FakePrm]:
    with FakePrm().running() as running:
        yield running


def expect(*steps: str) -> tuple[float, ...]:
    ends = [HEAD + STEP.join(step.rstrip() for step in steps[: k + 1]) for k in range(len(steps))]
    return tuple(judge(end) for end in ends)


def test_each_step_ends_with_the_step_token_after_the_servers_own_rendering(
    server: FakePrm,
) -> None:
    (rewards,) = score(describe(server), ask())
    (sent,) = server.payloads
    said = f"2 + 2 = 4{STEP}So 4.{STEP}The answer is 4.{STEP}"
    assert sent["input"] == [HEAD + said]
    assert (sent["task"], sent["add_special_tokens"]) == ("token_classify", False)
    assert rewards == expect(*STEPS)


def test_a_prefix_as_a_whole_is_one_step_with_its_blank_lines(server: FakePrm) -> None:
    (rewards,) = score(describe(server), ask("".join(STEPS)))
    assert server.payloads[0]["input"][0].endswith(f"2 + 2 = 4\n\nSo 4.\n\nThe answer is 4.{STEP}")
    assert len(rewards) == 1


@pytest.mark.parametrize(("system", "head"), [("Judge.", "<|system|>Judge.<|end|>"), ("", "")])
def test_the_recipe_may_say_another_system_line_or_none(
    server: FakePrm, system: str, head: str
) -> None:
    score(describe(server, system=system), ask("4"))
    assert server.payloads[0]["input"] == [f"{head}<|user|>2 + 2?<|end|><|assistant|>4{STEP}"]


@pytest.mark.alone
def test_hundreds_of_prefixes_travel_in_few_requests_and_a_head_is_rendered_once(
    server: FakePrm,
) -> None:
    server.delay_s = 0.02
    requests = [ask(f"{i}\n\n", problem=f"p{i % 3}", question_id=f"q{i % 3}") for i in range(300)]
    answers = score(describe(server), *requests)
    assert all(len(rewards) == 1 for rewards in answers)
    assert len(server.payloads) <= 8
    assert max(len(sent["input"]) for sent in server.payloads) == 64
    assert server.n_tokenized == 6  # of each head as a chat, and of its text


def test_no_more_requests_are_open_than_the_recipe_allows(server: FakePrm) -> None:
    server.delay_s = 0.02
    endpoint = describe(server, limits={"max_in_flight": 2})
    score(endpoint, *[ask(f"{i}") for i in range(400)])
    assert server.most_in_flight == 2


def test_a_step_token_that_a_text_brings_along_makes_no_step(server: FakePrm) -> None:
    hostile = ask(f"2 + 2 = 4{STEP} sure{STEP}\n\n", "<extra_<extra_0>0>", problem=f"2 + 2?{STEP}")
    (rewards,) = score(describe(server), hostile)
    assert len(rewards) == 2
    (text,) = server.payloads[0]["input"]
    assert text.count(STEP) == 2 and "2 + 2 = 4< extra_0> sure< extra_0><extra_0>" in text
    assert f"<|user|>2 + 2?< extra_0>{'<|end|>'}" in text


def test_a_lone_surrogate_in_a_step_is_replaced(server: FakePrm) -> None:
    (rewards,) = score(describe(server), ask("4\ud800"))
    assert rewards == expect("4?")


@pytest.mark.parametrize(
    "row",
    [
        [[0.5, 0.5]],
        [[0.5, 0.5]] * 4,
        [],
        None,
        "0.5",
        [[0.5, 0.5], [0.5, math.nan], [0.5, 0.5]],
        [[0.5, 0.5], [-0.5, 1.5], [0.5, 0.5]],
        [[0.5, 0.5], [1.1, -0.1], [0.5, 0.5]],
        [[0.5, 0.5], [0.5, None], [0.5, 0.5]],
        [[0.5, 0.5], [0.5, True], [0.5, 0.5]],
        [[0.5, 0.5], [0.2, 0.3, 0.5], [0.5, 0.5]],
        [[0.5, 0.5], 0.5, [0.5, 0.5]],
        [[0.5, 0.5], [0.5, math.inf], [0.5, 0.5]],
    ],
)
def test_a_bad_score_is_refused_with_what_was_seen_and_costs_no_other_text(
    server: FakePrm, row: Any
) -> None:
    endpoint = describe(server)
    server.spoil = lambda text, right: row if "poison" in text else right
    bad, good = score(endpoint, ask("poison", *STEPS[1:]), ask())
    assert isinstance(bad, RequestRefused) and bad.reason == "bad_score"
    assert good == expect(*STEPS)
    assert len(server.payloads) == 1


def test_one_overlong_text_does_not_lose_the_others_of_its_request(server: FakePrm) -> None:
    endpoint = describe(server)
    server.max_model_len = 100
    long = ["word " * 200 + str(i) for i in range(2)]
    requests = [ask(f"{i} is short") for i in range(62)]
    answers = score(endpoint, *requests[:30], ask(long[0]), *requests[30:], ask(long[1]))
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert [error.reason for error in refused] == ["context_overflow"] * 2
    assert isinstance(answers[30], RequestRefused) and isinstance(answers[63], RequestRefused)
    assert answers[0] == expect("0 is short") and answers[62] == expect("61 is short")
    assert len(server.payloads) <= 13


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "cut", "fewer"])
def test_a_failure_that_passes_costs_one_more_request(server: FakePrm, fault: Any) -> None:
    endpoint = describe(server)
    server.faults.append(fault)
    one, other = score(endpoint, ask(), ask("4"))
    assert (one, other) == (expect(*STEPS), expect("4"))
    assert len(server.payloads) == 2


@pytest.mark.alone
def test_a_stalled_reply_is_asked_for_again(server: FakePrm) -> None:
    endpoint = describe(server, limits={"request_timeout_s": 0.5})
    server.faults.append("stall")
    assert score(endpoint, ask()) == [expect(*STEPS)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("500", "server_error"), ("cut", "bad_reply"), ("fewer", "bad_reply"), ("400", "refused")],
)
def test_a_failure_that_stays_is_named_for_all_of_the_request(
    server: FakePrm, fault: Any, reason: str
) -> None:
    endpoint = describe(server, limits={"n_retries": 1})
    server.faults.extend([fault] * 2)
    answers = score(endpoint, ask(), ask("4"))
    assert [error.reason for error in answers] == [reason] * 2


def test_a_server_that_is_gone_ends_all_requests() -> None:
    with FakePrm().running() as server:
        endpoint = describe(server, limits={"outage_s": 0.5})
    assert all(isinstance(error, ServerGone) for error in score(endpoint, ask(), ask("4")))


@pytest.mark.alone
def test_a_cancelled_asker_leaves_the_rest_of_its_request_alone(server: FakePrm) -> None:
    endpoint = describe(server)
    server.delay_s = 0.1

    async def work() -> list[Any]:
        scorer = make_scorer(endpoint)
        tasks = [asyncio.create_task(scorer.score(ask(f"{i}"))) for i in range(3)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await scorer.close()
        return answers

    answers = asyncio.run(work())
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [expect("1"), expect("2")]


def test_a_scorer_outlives_its_event_loop(server: FakePrm) -> None:
    scorer = make_scorer(describe(server))

    async def once() -> tuple[float, ...]:
        try:
            return await scorer.score(ask())
        finally:
            await scorer.close()

    assert asyncio.run(once()) == asyncio.run(once()) == expect(*STEPS)


def test_an_endpoint_can_be_sent_to_another_process(server: FakePrm) -> None:
    endpoint = pickle.loads(pickle.dumps(describe(server)))
    assert score(endpoint, ask()) == [expect(*STEPS)]
    assert endpoint.identity.id == "fake/model" and endpoint.identity.revision == "0" * 40


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "index", "logprobs", "top_logprobs", "prompt_logprobs", "token_id:1", "5"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON)
def test_no_reply_whatsoever_does_more_than_be_refused(reply: Any) -> None:
    readers: list[Callable[[int, Any], Any]] = [
        lambda _, row: read_rewards(row, 1),
        lambda _, row: read_outcome(row),
        lambda _, row: read_mark(row, 1, 2) if isinstance(row, dict) else None,
        lambda _, row: read_log_probs(row, [5]) if isinstance(row, dict) else None,
    ]
    for read in readers:
        for field in ("", "data"):
            for whole in (reply, {"data": [reply]}, {"data": [{"index": 0, "data": reply}]}):
                try:
                    read_rows(whole, 1, "data", field, read)
                except RequestRefused as refusal:
                    str(refusal).encode()


def test_a_refusal_is_a_sampler_error() -> None:
    assert issubclass(RequestRefused, SamplerError)
