"""The layouts besides step tokens, against a real (fake) server: exact inputs, exact rewards."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_openai import BOS
from fake_prm import FakePrm, judge, log_odds
from scoring_requests import STEPS, ask, describe, score

from butwait.pipelines.scoring.engine import make_scorer, open_scorer
from butwait.schemas.errors import RequestRefused
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.scoring import Scorer

CAUSAL = ("/v1/completions",)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_rlhflow_says_a_plus_to_every_step_and_asks_for_the_next() -> None:
    with FakePrm(CAUSAL).running() as server:
        (rewards,) = score(describe(server, "rlhflow"), ask())
    turn = "<|end|><|assistant|>+<|end|><|user|>"
    first = "<|user|>2 + 2? 2 + 2 = 4"
    chats = [first, f"{first}{turn}So 4.", f"{first}{turn}So 4.{turn}The answer is 4."]
    texts = [f"{chat}<|end|><|assistant|>" for chat in chats]
    assert sorted(text for sent in server.payloads for text in sent["texts"]) == sorted(texts)
    assert all((sent["max_tokens"], sent["logprobs"]) == (1, 2) for sent in server.payloads)
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
        marks = [server._ids["good"], server._ids["bad"]]
        assert all(sent["logprob_token_ids"] == marks for sent in server.payloads)
        texts = [text for sent in server.payloads for text in sent["texts"]]
        assert sum("<|assistant|>good<|end|>" in text for text in texts) == 1


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
