"""Rewards are the same on a re-run, asked for once, and never made of an error."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from butwait.pipelines.cache import open_cache
from butwait.pipelines.cached import NotCached
from butwait.pipelines.sampling.once import Once
from butwait.pipelines.scoring.cached import CachedScorer, score_key
from butwait.schemas.errors import RequestRefused
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import ScoreRequest

IDENTITY = ModelIdentity(id="prm", revision="sha256:1", engine="vllm-0.32.0")
MODEL = ModelSpec(id="some/prm")
QWEN = PrmSpec(model=MODEL)


def ask(*steps: str, **more: Any) -> ScoreRequest:
    known: dict[str, Any] = {"question_id": "q", "problem": "1 + 1?", "prompt": None}
    known["messages"] = (Message(role="user", content="1 + 1?"),)
    return ScoreRequest(**{**known, "steps": steps or ("2",), **more})


class Slow:
    """A scorer that takes its time, counts, and fails where it is told to."""

    identity = IDENTITY

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.fail = False

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        self.asked.append(request.steps)
        await asyncio.sleep(0.01)
        if self.fail:
            raise RequestRefused("bad_score", "nan")
        return tuple(0.1 + 0.2 * len(step) for step in request.steps)

    async def close(self) -> None:
        return


def test_a_reward_is_the_same_to_the_last_bit_without_the_model(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "cache.sqlite")
    scorer = CachedScorer(Slow(), cache, IDENTITY, QWEN)
    first = asyncio.run(scorer.score(ask("1 + 1", " = 2")))
    cache.close()
    alone = CachedScorer(None, open_cache(tmp_path / "cache.sqlite"), IDENTITY, QWEN)
    assert asyncio.run(alone.score(ask("1 + 1", " = 2"))) == first == (1.1, 0.9)
    assert (scorer.n_hits, scorer.n_misses, alone.n_hits) == (0, 1, 1)
    with pytest.raises(NotCached, match="a prefix of 1 steps of q"):
        asyncio.run(alone.score(ask("never seen")))


def test_a_prefix_that_many_ask_for_at_once_is_scored_once(tmp_path: Path) -> None:
    async def work() -> list[tuple[float, ...]]:
        return await asyncio.gather(*[scorer.score(ask("a", question_id=f"{i}")) for i in range(9)])

    inner = Slow()
    scorer = CachedScorer(inner, open_cache(tmp_path / "c"), IDENTITY, QWEN)
    assert len(set(asyncio.run(work()))) == 1
    assert len(inner.asked) == 1 and (scorer.n_hits, scorer.n_misses) == (8, 1)


def test_an_error_reaches_all_who_asked_and_is_not_kept(tmp_path: Path) -> None:
    async def work() -> list[Any]:
        asked = [scorer.score(ask("a")) for _ in range(3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    inner = Slow()
    inner.fail = True
    scorer = CachedScorer(inner, open_cache(tmp_path / "c"), IDENTITY, QWEN)
    assert [type(error) for error in asyncio.run(work())] == [RequestRefused] * 3
    inner.fail = False
    assert asyncio.run(scorer.score(ask("a"))) == (0.1 + 0.2,)
    assert len(inner.asked) == 2


def test_an_asker_that_is_cancelled_takes_nothing_from_the_others(tmp_path: Path) -> None:
    async def work() -> list[Any]:
        tasks = [asyncio.create_task(scorer.score(ask("a"))) for _ in range(3)]
        await asyncio.sleep(0.003)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    scorer = CachedScorer(Slow(), open_cache(tmp_path / "c"), IDENTITY, QWEN)
    answers = asyncio.run(work())
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [(0.1 + 0.2,)] * 2


def test_the_key_holds_all_that_shapes_a_reward_and_nothing_else() -> None:
    likelihood = PrmSpec(layout="likelihood", model=MODEL)
    own = PrmSpec(layout="self_certainty")
    other = IDENTITY.model_copy(update={"revision": "sha256:2"})
    said = (Message(role="system", content="Think."),)
    keys = [
        score_key(IDENTITY, QWEN, ask()),
        score_key(other, QWEN, ask()),
        score_key(IDENTITY, QWEN.model_copy(update={"system": "Judge."}), ask()),
        score_key(IDENTITY, QWEN.model_copy(update={"step_tag": "@"}), ask()),
        score_key(IDENTITY, QWEN, ask("2", "")),
        score_key(IDENTITY, QWEN, ask("", "2")),
        score_key(IDENTITY, QWEN, ask(problem="1 + 2?")),
        score_key(IDENTITY, likelihood, ask()),
        score_key(IDENTITY, likelihood, ask(messages=said)),
        score_key(IDENTITY, likelihood, ask(messages=None, prompt="1 + 1?")),
        score_key(IDENTITY, likelihood.model_copy(update={"statistic": "sum"}), ask()),
        score_key(IDENTITY, own, ask(log_probs=(-0.5,))),
        score_key(IDENTITY, own, ask(log_probs=(-0.25,))),
    ]
    assert len(set(keys)) == len(keys)
    assert score_key(IDENTITY, QWEN, ask(question_id="r", messages=said)) == keys[0]
    assert score_key(IDENTITY, QWEN.model_copy(update={"statistic": "sum"}), ask()) == keys[0]
    assert score_key(IDENTITY, likelihood, ask(problem="never read")) == keys[7]


def test_the_key_of_a_prefix_never_changes() -> None:
    assert score_key(IDENTITY, QWEN, ask()) == (
        "5290141b66d02e1495a322f13d7ca1d29fa23c2881aaf4ef4e52823709a37f40"
    )


def test_once_makes_a_value_for_all_who_wait_and_remembers_the_last_used() -> None:
    made: list[str] = []

    async def make(name: str) -> str:
        made.append(name)
        await asyncio.sleep(0)
        return name.upper()

    async def work() -> None:
        once: Once[str, str] = Once(2)
        for name in ("a", "b", "a", "c", "a", "b"):
            assert await once.get(name, lambda name=name: make(name)) == name.upper()
        assert once.find("b") == "B" and once.find("c") is None

    asyncio.run(work())
    assert made == ["a", "b", "c", "b"]


def test_once_stops_making_what_nobody_waits_for() -> None:
    ended: list[str] = []

    async def make() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "never"

    async def work() -> None:
        once: Once[str, str] = Once(2)
        tasks = [asyncio.create_task(once.get("a", make)) for _ in range(2)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)
        assert not once.is_under_way("a")

    asyncio.run(work())
    assert ended == ["cancelled"]
