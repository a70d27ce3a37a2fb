"""Scorers against a real (fake) server: what they send, what they read, how they fail."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_openai import BOS
from fake_prm import STEP, FakePrm, judge, log_odds
from hypothesis import given
from hypothesis import strategies as st

from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.scoring.engine import ScorerEndpoint, make_scorer, open_scorer
from butwait.pipelines.scoring.layouts import QWEN_SYSTEM
from butwait.pipelines.scoring.wire import (
    read_log_probs,
    read_mark,
    read_outcome,
    read_rewards,
    read_rows,
)
from butwait.schemas.errors import RequestRefused, SamplerError
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Message
from butwait.schemas.scoring import Scorer, ScoreRequest

CAUSAL = ("/v1/completions",)
STEPS = ("2 + 2 = 4\n\n", "So 4.\n\n", "The answer is 4.")
HEAD = f"<|system|>{QWEN_SYSTEM}<|end|><|user|>2 + 2?<|end|><|assistant|>"


@pytest.fixture
def server() -> Iterator[FakePrm]:
    with FakePrm().running() as running:
        yield running


def ask(*steps: str, **more: Any) -> ScoreRequest:
    known: dict[str, Any] = {"question_id": "q", "problem": "2 + 2?", "prompt": None}
    known["messages"] = (Message(role="user", content="2 + 2? Think."),)
    return ScoreRequest(**{**known, "steps": steps or STEPS, **more})


def describe(server: FakePrm, layout: Any = "qwen", **more: Any) -> ScorerEndpoint:
    limits = {"n_retries": 2, **more.pop("limits", {})}
    prm = PrmSpec(
        layout=layout,
        model=ModelSpec(id="fake/model", revision="0" * 40),
        server=ServerSpec(url=server.url, **limits),
        **more,
    )
    with open_scorer(prm, base=Path(), log_dir=Path(), say=lambda line: None) as endpoint:
        server.payloads.clear()
        server.n_tokenized = 0
        return endpoint


def score(endpoint: ScorerEndpoint, *requests: ScoreRequest) -> list[Any]:
    async def gather() -> list[Any]:
        scorer = make_scorer(endpoint)
        try:
            tasks = [scorer.score(request) for request in requests]
            return await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await scorer.close()

    return asyncio.run(gather())


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
        endpoint = describe(server, limits={"n_retries": 1})
    assert all(isinstance(error, ServerGone) for error in score(endpoint, ask(), ask("4")))


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


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_rlhflow_says_a_plus_to_every_step_and_asks_for_the_next() -> None:
    with FakePrm(CAUSAL).running() as server:
        (rewards,) = score(describe(server, "rlhflow"), ask())
    turn = "<|end|><|assistant|>+<|end|><|user|>"
    first = "<|user|>2 + 2? 2 + 2 = 4"
    chats = [first, f"{first}{turn}So 4.", f"{first}{turn}So 4.{turn}The answer is 4."]
    texts = [f"{chat}<|end|><|assistant|>" for chat in chats]
    (sent,) = server.payloads
    assert sorted(sent["texts"]) == sorted(texts)
    assert (sent["max_tokens"], sent["logprobs"]) == (1, 2)
    assert rewards == pytest.approx([sigmoid(log_odds(text)) for text in texts])


def test_math_shepherd_asks_what_follows_each_tag() -> None:
    with FakePrm(CAUSAL, bos=True).running() as server:
        (rewards,) = score(describe(server, "math_shepherd"), ask())
    first = "2 + 2? 2 + 2 = 4 ки"
    texts = [first, f"{first}\nSo 4. ки", f"{first}\nSo 4. ки\nThe answer is 4. ки"]
    (sent,) = server.payloads
    assert sent["prompt"] == texts and sent["texts"] == [BOS + text for text in texts]
    expected = [sigmoid(log_odds(BOS + text)) for text in texts]
    assert rewards == pytest.approx(expected)


@pytest.mark.parametrize("layout", ["rlhflow", "math_shepherd"])
def test_only_the_last_step_is_asked_when_those_before_it_were(layout: str) -> None:
    with FakePrm(CAUSAL).running() as server:
        endpoint = describe(server, layout)

        async def work(scorer: Scorer) -> list[tuple[float, ...]]:
            found = [await scorer.score(ask(*STEPS[:k])) for k in (1, 2, 3, 3)]
            await scorer.close()
            return found

        found = asyncio.run(work(make_scorer(endpoint)))
    assert [len(sent["prompt"]) for sent in server.payloads] == [1, 1, 1]
    assert found[2] == found[3] and found[2][:2] == found[1] and found[1][:1] == found[0]


def test_the_marks_of_the_recipe_are_asked_for_by_their_token_ids() -> None:
    with FakePrm(CAUSAL).running() as server:
        endpoint = describe(server, "rlhflow", good_mark="good", bad_mark="bad")
        score(endpoint, ask("4", "5"))
        (sent,) = server.payloads
        assert sent["logprob_token_ids"] == [server._ids["good"], server._ids["bad"]]
        assert "<|assistant|>good<|end|>" in sent["texts"][1]


@pytest.mark.parametrize(
    "found", [None, {}, {"token_id:0": -1.0}, {"token_id:0": math.nan, "token_id:1": -1.0}]
)
def test_a_mark_that_is_not_in_the_reply_is_a_bad_score(found: Any) -> None:
    with FakePrm(CAUSAL).running() as server:
        endpoint = describe(server, "math_shepherd")
        server.spoil = lambda text, right: found if "poison" in text else right
        bad, good = score(endpoint, ask("poison"), ask("4"))
    assert isinstance(bad, RequestRefused) and bad.reason == "bad_score"
    assert good == pytest.approx([sigmoid(log_odds("2 + 2? 4 ки"))])


STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "worst": min,
    "mean": lambda values: sum(values) / len(values),
    "sum": sum,
}


@pytest.mark.parametrize("statistic", ["worst", "mean", "sum"])
def test_likelihood_gives_each_step_the_log_probabilities_of_its_own_tokens(
    statistic: str,
) -> None:
    with FakePrm(CAUSAL).running() as server:
        endpoint = describe(server, "likelihood", statistic=statistic)
        (rewards,) = score(endpoint, ask())
        pieces = [server.cut("<|user|>2 + 2? Think.<|end|><|assistant|>")]
        pieces += [server.cut(step) for step in STEPS]
        (sent,) = server.payloads
        assert sent["texts"] == ["".join(piece for part in pieces for piece in part)]
        assert (sent["prompt_logprobs"], sent["max_tokens"]) == (0, 1)
        at, expected = len(pieces[0]), []
        for part in pieces[1:]:
            values = [server.find_log_prob(at + k, server._ids[p]) for k, p in enumerate(part)]
            expected.append(math.exp(STATISTICS[statistic](values)))
            at += len(part)
    assert rewards == pytest.approx(expected)


def test_a_steps_likelihood_does_not_change_when_further_steps_follow() -> None:
    with FakePrm(CAUSAL).running() as server:
        endpoint = describe(server, "likelihood")
        # In one text, the fake's tokenizer joins the blank to the word that follows it.
        short, long = score(endpoint, ask("4 = 4 "), ask("4 = 4 ", "so"))
    assert long[:1] == short


def test_a_raw_prompt_gets_one_beginning_of_text_at_most() -> None:
    with FakePrm(CAUSAL, bos=True).running() as server:
        endpoint = describe(server, "likelihood")
        score(
            endpoint,
            ask("4", messages=None, prompt="Q: 1"),
            ask("5", messages=None, prompt=f"{BOS}Q: 1"),
        )
    texts = {text for sent in server.payloads for text in sent["texts"]}
    assert texts == {f"{BOS}Q: 14", f"{BOS}Q: 15"}


def test_a_step_without_a_token_has_no_likelihood() -> None:
    with FakePrm(CAUSAL).running() as server:
        (refused,) = score(describe(server, "likelihood"), ask("4", ""))
    assert isinstance(refused, RequestRefused) and refused.reason == "bad_score"
    assert "step 2" in str(refused)


@pytest.mark.parametrize("value", [None, math.nan, 0.5, -math.inf, "x"])
def test_what_is_no_log_probability_is_a_bad_score(value: Any) -> None:
    def spoil(text: str, rows: list[Any]) -> list[Any]:
        if "poison" not in text:
            return rows
        (token,) = rows[-1]
        return [*rows[:-1], {token: {"logprob": value}}]

    with FakePrm(CAUSAL).running() as server:
        endpoint = describe(server, "likelihood")
        server.spoil = spoil
        bad, good = score(endpoint, ask("poison"), ask("4"))
    assert isinstance(bad, RequestRefused) and bad.reason == "bad_score"
    assert len(good) == 1


@pytest.mark.parametrize("n_labels", [1, 2])
def test_outcome_judges_the_whole_chat_to_its_very_end(n_labels: int) -> None:
    with FakePrm(("/classify",)).running() as server:
        server.n_labels = n_labels
        (rewards,) = score(describe(server, "outcome"), ask("".join(STEPS)))
    text = f"<|user|>2 + 2?<|end|><|assistant|>{''.join(STEPS)}<|end|>"
    assert server.payloads[0]["texts"] == [text]
    assert rewards == (judge(text),)


def test_self_certainty_is_the_exponential_of_each_steps_log_probability() -> None:
    prm = PrmSpec(layout="self_certainty")
    with open_scorer(prm, base=Path(), log_dir=Path(), say=print) as endpoint:
        good, *bad = score(
            endpoint,
            ask("a", "b", log_probs=(-0.5, 0.0)),
            ask("a"),
            ask("a", log_probs=(-0.5, -0.5)),
            ask("a", log_probs=(0.5,)),
            ask("a", log_probs=(math.nan,)),
        )
    assert good == (math.exp(-0.5), 1.0)
    assert [error.reason for error in bad] == ["bad_score"] * 4


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
