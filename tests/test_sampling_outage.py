"""A client whose servers die, lie, freeze and come back: what waits, what moves, what is said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_openai import FakeOpenAI, is_probe, tell_random_story
from test_sampling_client import answer, ask

from butwait.pipelines.sampling import http
from butwait.pipelines.sampling.connect import connect
from butwait.pipelines.sampling.http import Asker
from butwait.pipelines.sampling.look import prove_with_a_token
from butwait.pipelines.sampling.patience import Patience
from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.schemas.errors import ConfigError, RequestRefused
from butwait.schemas.sampling import ModelIdentity

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI().running() as running:
        yield running


@pytest.fixture
def other() -> Iterator[FakeOpenAI]:
    with FakeOpenAI().running() as running:
        yield running


def open_client(*urls: str, said: list[str] | None = None, **more: Any) -> VllmClient:
    """Make a client without a look at its servers."""
    stuck = more.pop("report_stuck", lambda why: None)
    patience = Patience(**{"pause_s": 0.01, "outage_s": 20.0, **more})
    proof = prove_with_a_token("fake/model")
    say = (said if said is not None else []).append
    asker = Asker(
        urls, patience=patience, model="fake/model", proof=proof, say=say, report_stuck=stuck
    )
    identity = ModelIdentity(id="fake/model", revision=None, engine="fake")
    return VllmClient(asker, "fake/model", identity, max_in_flight=patience.max_in_flight)


def n_asked(server: FakeOpenAI) -> int:
    """Requests that were no probes."""
    return sum(not is_probe(payload) for payload in server.payloads)


def meanwhile(*acts: Any) -> threading.Thread:
    """Do things one after the other beside the test; numbers are pauses in seconds."""

    def play() -> None:
        for act in acts:
            time.sleep(act) if isinstance(act, float) else act()

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    return thread


def check_stories(server: FakeOpenAI, answers: list[Any], n: int = 2) -> None:
    told = {
        tell_random_story(payload, index)
        for payload in server.payloads
        for index in range(payload.get("n") or 1)
    }
    assert all(len(completions) == n for completions in answers), answers
    assert all(c.text in told for completions in answers for c in completions)


def test_a_server_that_dies_and_comes_back_costs_no_question_and_hardly_a_retry(
    server: FakeOpenAI,
) -> None:
    server.delay_s = 0.02
    said: list[str] = []
    thread = meanwhile(0.3, lambda: server.die(1.0))
    client = open_client(server.url, said=said, n_retries=1, max_in_flight=8)
    answers = answer(client, *[ask(f"q{i}") for i in range(400)])
    thread.join()
    check_stories(server, answers)
    assert n_asked(server) <= 400 + 8, "only what was in flight is asked again"
    assert said[0].startswith(f"{server.url} is down: ") and said[-1].endswith("answers again")


def test_waiting_requests_do_not_burn_while_a_server_fails(server: FakeOpenAI) -> None:
    server.faults.extend(["500"] * 12)
    client = open_client(server.url, pause_after=3, max_in_flight=4, n_retries=3)
    answers = answer(client, *[ask(f"q{i}") for i in range(40)])
    check_stories(server, answers)
    n_probes = server.n_requests - n_asked(server)
    assert n_asked(server) <= 40 + 3 + 4 and n_probes >= 5, "probes took the failures"


def test_a_person_who_waits_is_told_so_and_how_long_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "SAY_EVERY_S", 0.3)
    with FakeOpenAI().running() as server:
        pass
    said: list[str] = []
    (gone,) = answer(open_client(server.url, said=said, outage_s=1.5), ask())
    assert isinstance(gone, ServerGone) and "connection" in str(gone).lower()
    waiting = [line for line in said if line.startswith(f"waiting for {server.url}")]
    assert 2 <= len(waiting) <= 5 and "of at most 1.5" in waiting[0]


def test_a_poisoned_request_spends_its_own_retries_and_no_others(server: FakeOpenAI) -> None:
    server.choose_fault = lambda payload: "500" if "poison" in payload["prompt"] else None
    client = open_client(server.url, pause_after=2, n_retries=4)
    refused, *answers = answer(client, ask("poison"), *[ask(f"q{i}") for i in range(20)])
    assert isinstance(refused, RequestRefused) and "5 attempts" in str(refused)
    check_stories(server, answers)


def test_health_that_lies_does_not_open_a_server(server: FakeOpenAI) -> None:
    server.is_frozen = True
    stuck: list[str] = []
    limits = {"request_timeout_s": 0.3, "pause_after": 2, "n_retries": 8, "max_in_flight": 4}
    client = open_client(server.url, report_stuck=stuck.append, **limits)
    thread = meanwhile(2.5, lambda: setattr(server, "is_frozen", False))
    answers = answer(client, *[ask(f"q{i}") for i in range(20)])
    thread.join()
    check_stories(server, answers)
    assert n_asked(server) <= 20 + 3 * 4
    assert stuck[0] == "no token within 0.3 s, while /health is fine"


@pytest.mark.alone
def test_requests_to_a_server_on_which_no_token_moves_are_dropped_and_asked_again(
    server: FakeOpenAI,
) -> None:
    server.is_frozen = True
    stuck: list[str] = []

    def restart(why: str) -> None:
        stuck.append(why)
        if len(stuck) == 1:
            meanwhile(lambda: server.die(0.2))

    client = open_client(server.url, stall_s=0.5, report_stuck=restart, n_retries=1)
    began = time.monotonic()
    answers = answer(client, *[ask(f"q{i}") for i in range(10)])
    assert time.monotonic() - began < 10, "and not the 900 s of a request"
    check_stories(server, answers)
    assert "no token within 0.5 s, while /health is fine" in stuck[0]


@pytest.mark.alone
def test_a_server_that_closes_while_somebody_looks_at_it_is_opened_again(
    server: FakeOpenAI,
) -> None:
    server.is_frozen = True
    limits = {"request_timeout_s": 0.5, "stall_s": 0.4, "pause_after": 1, "outage_s": 5.0}
    thread = meanwhile(0.65, lambda: setattr(server, "is_frozen", False))
    answers = answer(open_client(server.url, **limits), *[ask(f"q{i}") for i in range(4)])
    thread.join()
    check_stories(server, answers)


@pytest.mark.alone
def test_a_slow_server_whose_counter_of_tokens_moves_is_left_alone(server: FakeOpenAI) -> None:
    server.has_metrics, server.delay_s = True, 2.0

    def count() -> None:
        for _ in range(40):
            server.n_tokens += 1
            time.sleep(0.05)

    stuck: list[str] = []
    thread = meanwhile(count)
    client = open_client(server.url, stall_s=0.4, report_stuck=stuck.append, n_retries=0)
    check_stories(server, answer(client, ask(), ask("another")))
    thread.join()
    assert not stuck and n_asked(server) == 2


def test_several_servers_share_the_work_and_give_the_same_texts(
    server: FakeOpenAI, other: FakeOpenAI
) -> None:
    server.delay_s = other.delay_s = 0.01
    requests = [ask(f"q{i}") for i in range(60)]
    shared = answer(open_client(server.url, other.url, max_in_flight=8), *requests)
    assert 20 <= n_asked(server) <= 40 and n_asked(server) + n_asked(other) == 60
    assert shared == answer(open_client(other.url), *requests)


def test_the_work_of_a_dead_server_moves_and_comes_back_with_it(
    server: FakeOpenAI, other: FakeOpenAI
) -> None:
    server.delay_s = other.delay_s = 0.02
    said: list[str] = []
    thread = meanwhile(0.3, lambda: server.die(0.7))
    client = open_client(server.url, other.url, said=said, n_retries=1, max_in_flight=8)
    answers = answer(client, *[ask(f"q{i}") for i in range(800)])
    thread.join()
    assert all(len(completions) == 2 for completions in answers)
    assert any(line.startswith(f"{server.url} is down") for line in said)
    assert any(line == f"{server.url} answers again" for line in said)
    assert not any(line.startswith("waiting") for line in said)


def test_a_frozen_servers_work_moves_to_another(server: FakeOpenAI, other: FakeOpenAI) -> None:
    server.is_frozen = True
    client = open_client(server.url, other.url, stall_s=0.3, n_retries=1, max_in_flight=4)
    answers = answer(client, *[ask(f"q{i}") for i in range(30)])
    assert all(len(completions) == 2 for completions in answers)
    assert n_asked(other) >= 28


def test_servers_of_two_models_are_named_and_one_that_is_away_is_not_needed(
    server: FakeOpenAI, other: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeOpenAI().running() as away:
        pass
    client = connect([away.url, server.url])
    assert client.served_name == "fake/model"
    assert f"nobody answers at {away.url}" in capsys.readouterr().err
    assert len(answer(client, ask())[0]) == 2
    other.max_model_len = 100
    with pytest.raises(
        ConfigError, match=f"context is 4096 at {server.url} and 100 at {other.url}"
    ):
        connect([server.url, other.url])
    other.model = "another/model"
    with pytest.raises(ConfigError, match="'another/model'"):
        connect([server.url, other.url])


def test_a_server_that_comes_back_with_another_model_is_not_taken_back(
    server: FakeOpenAI, other: FakeOpenAI
) -> None:
    said: list[str] = []
    client = open_client(server.url, other.url, said=said, n_retries=1, max_in_flight=4)
    other.delay_s = server.delay_s = 0.02
    thread = meanwhile(0.2, lambda: server.die(0.1, "another/model"))
    answers = answer(client, *[ask(f"q{i}") for i in range(300)])
    thread.join()
    assert all(len(completions) == 2 for completions in answers)
    assert not any(line.endswith("answers again") for line in said)


def test_a_request_that_meets_another_model_goes_to_a_server_that_has_its_own(
    server: FakeOpenAI, other: FakeOpenAI
) -> None:
    said: list[str] = []
    client = open_client(server.url, other.url, said=said, n_retries=1)
    server.model = "another/model"  # between two requests: no connection was ever refused
    answers = answer(client, *[ask(f"q{i}") for i in range(40)])
    assert all(len(completions) == 2 for completions in answers)
    assert any("it serves another/model now, not fake/model" in line for line in said)


def test_a_text_that_got_lost_is_asked_for_once_more_and_then_believed(server: FakeOpenAI) -> None:
    server.faults.append("hollow")
    (completions,) = answer(open_client(server.url), ask())
    assert all(c.text for c in completions) and server.n_requests == 2
    server.faults.extend(["hollow"] * 2)
    (completions,) = answer(open_client(server.url, n_retries=0), ask())
    assert [bool(c.text) for c in completions] == [True, False] and server.n_requests == 4


def test_a_model_that_ends_at_once_has_given_a_sample(server: FakeOpenAI) -> None:
    server.answer = lambda payload, index: ""
    (completions,) = answer(open_client(server.url), ask())
    assert [(c.text, c.n_completion_tokens) for c in completions] == [("", 1)] * 2
    assert server.n_requests == 1


def test_a_client_that_is_closed_in_an_outage_leaves_no_task_behind() -> None:
    with FakeOpenAI().running() as server:
        pass

    async def give_up() -> set[Any]:
        client = open_client(server.url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.sample(ask()), 0.3)
        await client.close()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(give_up()) == set()
