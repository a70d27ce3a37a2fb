"""The benchmark of sampling: its server's clock, its bodies, that it can lose, and its page."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sampling import loopback
from benchmarks.sampling.bare import post_all
from benchmarks.sampling.hits import ask_all
from benchmarks.sampling.loopback import MODEL, Clock
from benchmarks.sampling.meter import summarize
from benchmarks.sampling.page import targets, write_page
from benchmarks.sampling.run import loopback as running
from benchmarks.sampling.run import on_loopback
from benchmarks.sampling.setting import Load, build, write_beads, write_bodies, write_recipe
from butwait.pipelines.sampling.wire import read_completions
from butwait.schemas.sampling import SampleRequest, SamplingParameters


def play(monkeypatch: pytest.MonkeyPatch, *events: tuple[float, int], limit: int = 2) -> Clock:
    """Have a clock that saw requests come and go at these times."""
    times = iter([at for at, _ in events])
    monkeypatch.setattr(loopback.time, "monotonic", lambda: next(times))
    clock = Clock(limit)
    for _, change in events:
        clock.note(change)
    return clock


def report(ours_ms: float, wall_s: float, tokens_s: float, cpu_s: float) -> dict[str, Any]:
    side = {"seconds": 8.0, "below_s": 0.1, "ms": 0.5, "start_s": 1.0, "n": 10.0}
    vllm = {"tokens": 1e6, "seconds": 100.0, "tokens_s": 1000.0, "below": 0.01, "cpu_s": 5.0}
    return {
        "in_flight": 256,
        "latency_s": 0.2,
        "versions": {"distilabel": "1"},
        "loopback": {
            "questions": 10,
            "start_questions": 1,
            "rounds": 1,
            "hits": {"hits": 10_000, "cpu_s": cpu_s, "seconds": cpu_s},
            "sides": {
                "butwait": {**side, "ms": ours_ms, "seconds": wall_s},
                "bare": side,
                "cached": {**side, "n": 0.0},
                "distilabel": {**side, "ms": 11.0, "seconds": 80.0},
            },
        },
        "vllm": {
            "questions": 10,
            "rounds": 1,
            "sides": {"butwait": {**vllm, "tokens_s": tokens_s}, "bare": vllm},
        },
    }


def test_the_clock_runs_from_the_first_request_to_the_last_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = play(monkeypatch, (1, 1), (2, 1), (3, -1), (5, 1), (6, -1), (9, -1))
    assert clock.read() == {"n": 3, "seconds": 8, "below_s": 3, "most": 2}


def test_a_look_before_the_load_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = play(monkeypatch, (0, 1), (1, -1), (50, 1), (50, 1), (51, -1), (52, -1))
    assert clock.read() == {"n": 2, "seconds": 2, "below_s": 0, "most": 2}


def test_the_server_answers_in_the_form_that_a_build_reads() -> None:
    body = json.dumps({"n": 2, "messages": [{"content": "12 red and 30 blue beads"}]}).encode()
    parameters = SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=512)
    request = SampleRequest(
        question_id="q", step="sample", messages=None, prompt="p", n=2, seed=0,
        parameters=parameters,
    )  # fmt: skip
    first, second = read_completions(loopback.answer(body), request)
    texts = {first.text.rpartition("boxed{")[2], second.text.rpartition("boxed{")[2]}
    assert texts <= {"42}.", "49}."} and first.n_completion_tokens > 100


def test_time_with_few_requests_is_seen_and_the_end_of_the_work_is_not_counted() -> None:
    seen = [(0.0, 0.0, 0.0), (1.0, 5.0, 10.0), (2.0, 9.0, 2.0), (3.0, 12.0, 10.0)]
    found = summarize([*seen, (4.0, 20.0, 1.0), (5.0, 20.0, 0.0)], limit=10)
    assert found == {"tokens": 20.0, "seconds": 4.0, "below": pytest.approx(1 / 3)}
    assert summarize(seen[:1], 10)["tokens"] == 0


def test_it_can_be_won_and_lost(tmp_path: Path) -> None:
    won, lost = report(1.4, 8.2, 990.0, 0.4), report(1.6, 9.0, 900.0, 0.6)
    assert all(met for _, _, met in targets(won))
    assert not any(met for _, _, met in targets(lost))
    page = tmp_path / "page.md"
    assert write_page(won, page) == []
    assert len(write_page(lost, page)) == 5
    text = page.read_text("utf-8")
    assert text.count("**missed**") == 5 and text.count("## Sampling") == 1
    assert "| distilabel | 80.0 | 10.00 x | 11.00 | 22.0 x |" in text


def test_a_build_and_the_bare_loop_send_the_same_requests(tmp_path: Path) -> None:
    with running(latency_s=0.01, in_flight=8) as url:
        load = Load(tmp_path / "load", url, MODEL, MODEL, write_beads(30), 8, 512)
        write_recipe(load)
        build(load)
        bodies = write_bodies(load).read_bytes().splitlines()
        assert len(set(bodies)) == 30
        assert all(json.loads(body)["model"] == MODEL for body in bodies)
        done = asyncio.run(post_all(f"{url}/v1/chat/completions", iter(bodies), 8))
        assert done == 30
        stats = on_loopback(load, "butwait")
        assert stats["n"] == 30 and 1 <= stats["most"] <= 8 and stats["cpu_s"] > 0
        assert on_loopback(load, "cached")["n"] == 0
    assert asyncio.run(ask_all(load.work))["hits"] == 30


def test_a_larger_load_begins_like_a_smaller_one() -> None:
    pairs = zip(write_beads(5), write_beads(9), strict=False)
    assert all(itertools.starmap(lambda small, large: small == large, pairs))
