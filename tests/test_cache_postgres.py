"""The cache in PostgreSQL, against a real server."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from butwait.pipelines.cache import Cache, describe_request, open_cache, read_place
from butwait.pipelines.cache.claims import LASTS_S, Claims
from butwait.pipelines.cache.passwords import hide_password
from butwait.pipelines.cache.postgres import PostgresDatabase
from butwait.pipelines.cached import CachedSampler
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.sampling import Completion
from tests.build_world import build, dataset_bytes, recipe_document, write_questions
from tests.postgres_server import PASSWORD, PostgresServer, running_server
from tests.test_cache import IDENTITY, CountingSampler, request


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        yield running


def completion(text: str, index: int = 0) -> Completion:
    return Completion(
        index=index, text=text, finish_reason="stop", n_prompt_tokens=1, n_completion_tokens=1,
        seed=index,
    )  # fmt: skip


def test_finished_samples_are_asked_once_by_two_machines(server: PostgresServer) -> None:
    place, engine = server.make_database(), CountingSampler()
    first = open_cache(place)
    answers = asyncio.run(CachedSampler(engine, first, IDENTITY).sample(request(n=3)))
    first.close()
    second = open_cache(pickle.loads(pickle.dumps(place)))
    again = asyncio.run(CachedSampler(engine, second, IDENTITY).sample(request(n=5)))
    assert again[:3] == answers
    assert engine.asked == [(1 << 20, 3), ((1 << 20) + 3, 2)]
    second.close()


def test_a_key_keeps_its_first_value_and_odd_texts_come_back_as_they_were(
    server: PostgresServer,
) -> None:
    cache = open_cache(server.make_database())
    asked = describe_request(IDENTITY, request(), "e")
    odd = completion("nul \x00, 中文, 𝔘, quote ' \" \\ % ? %s")
    cache.put({"k": odd}, asked)
    cache.put({"k": completion("another"), "l": completion("l", 1)}, asked)
    assert cache.get(["k", "l", "unknown"]) == {"k": odd, "l": completion("l", 1)}
    assert cache.count(["k", "l", "unknown"]) == 2
    cache.put_scores({"s": (0.5, 0.25)}, asked)
    assert cache.get_scores(["s", "t"]) == {"s": (0.5, 0.25)}
    cache.close()


def test_many_writers_of_the_same_keys_do_not_stop_each_other(server: PostgresServer) -> None:
    place, failures = server.make_database(), []
    asked = describe_request(IDENTITY, request(), "e")

    def work(number: int) -> None:
        try:
            cache = open_cache(place)
            for round_ in range(20):
                keys = [f"{round_}-{i}" for i in range(30)]
                keys = keys if number % 2 else keys[::-1]
                cache.put({key: completion(key) for key in keys}, asked)
            cache.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert open_cache(place).count([f"{r}-{i}" for r in range(20) for i in range(30)]) == 600


def test_a_connection_that_drops_is_made_again(server: PostgresServer) -> None:
    cache = open_cache(server.make_database())
    asked = describe_request(IDENTITY, request(), "e")
    cache.put({"k": completion("k")}, asked)
    server.stop()
    later = threading.Thread(target=lambda: (time.sleep(0.7), server.start()))
    later.start()
    cache.put({"l": completion("l")}, asked)
    later.join()
    assert set(cache.get(["k", "l"])) == {"k", "l"}


def test_a_server_that_stays_away_is_one_line_without_the_password(server: PostgresServer) -> None:
    address = server.make_database()
    cache = Cache(PostgresDatabase(address, pauses_s=(0.0, 0.1)))
    server.stop()
    try:
        with pytest.raises(ConfigError, match="does not answer any more") as gone:
            cache.count(["k"])
        with pytest.raises(ConfigError, match="cannot be opened") as closed:
            open_cache(address)
    finally:
        server.start()
    for caught in (gone, closed):
        assert "\n" not in str(caught.value)
        assert "tester:***@" in str(caught.value)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://tester:{word}@127.0.0.1:noport/db",
        "postgresql://tester:{word}@127.0.0.1:1/db?nonsense=1",
        "postgresql://tester@127.0.0.1:1/db?password={word}&nonsense=1",
        "postgresql://tester:{word}@[::1/db",
    ],
)
def test_no_mistake_in_an_address_shows_its_password(address: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ConfigError) as caught:
        open_cache(address.format(word=PASSWORD))
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_password_or_database_is_named(server: PostgresServer) -> None:
    with pytest.raises(ConfigError, match="authentication failed"):
        open_cache(server.address(password="wrong"))
    with pytest.raises(ConfigError, match='"nowhere" does not exist'):
        open_cache(server.address("nowhere"))


def test_a_database_that_cannot_hold_every_text_is_refused(server: PostgresServer) -> None:
    options = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    with pytest.raises(ConfigError, match="LATIN1"):
        open_cache(server.make_database(options))


def test_without_psycopg_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"butwait\[postgres\]"):
        open_cache("postgresql://me@db/cache")


def test_another_kind_of_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'mysql://me:\*\*\*@db/x'"):
        read_place("mysql://me:word@db/x")
    assert read_place("~/c.sqlite") == Path.home() / "c.sqlite"
    assert hide_password("postgresql://me@db:5432/x") == "postgresql://me@db:5432/x"


def test_a_build_uses_it_and_writes_no_password(tmp_path: Path, server: PostgresServer) -> None:
    from tests.build_world import add
    from tests.fake_openai import FakeOpenAI

    write_questions(tmp_path / "sums.jsonl", 24)
    place = server.make_database()
    with FakeOpenAI(add).running() as engine:
        document = recipe_document(engine.url, rows={"default": {"transform": "verified"}})
        first = build(tmp_path, document, place=place)
        asked = engine.n_requests
        second = build(tmp_path, document, place=place, out="other")
        assert engine.n_requests == asked
    assert dataset_bytes(first) == dataset_bytes(second)
    files = [path for path in first.root.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_an_address_in_the_environment_is_read_and_its_password_not_shown(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from butwait.pipelines.cli import run_command

    monkeypatch.setenv("BUTWAIT_CACHE", server.address(password="wrong"))
    assert run_command(["cache", "stats"]) == 2
    monkeypatch.setenv("BUTWAIT_CACHE", server.make_database())
    assert run_command(["cache", "stats"]) == 0
    said = capsys.readouterr()
    assert "tester:***@" in said.err
    assert "tester:***@" in said.out
    assert "wrong" not in said.err
    assert PASSWORD not in said.out


def test_two_builds_at_the_same_time_ask_for_every_sample_once(
    tmp_path: Path, server: PostgresServer
) -> None:
    from tests.build_world import add
    from tests.fake_openai import FakeOpenAI

    write_questions(tmp_path / "sums.jsonl", 40)
    place = server.make_database()
    runs, failures = [], []
    with FakeOpenAI(add, delay_s=0.2).running() as engine:
        document = recipe_document(engine.url, rows={"default": {"transform": "verified"}})

        def work(out: str) -> None:
            try:
                runs.append(build(tmp_path, document, place=place, out=out))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(out,)) for out in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked = [(p["prompt"], p["seed"]) for p in engine.payloads if "plus" in p["prompt"]]
    assert failures == []
    assert len(asked) == len(set(asked)) == 40
    assert dataset_bytes(runs[0]) == dataset_bytes(runs[1])


def test_who_dies_while_asking_is_waited_for_a_minute_at_most(server: PostgresServer) -> None:
    place, now = server.make_database(), [1000.0]
    first, second = PostgresDatabase(place), PostgresDatabase(place)
    dead, waiting = Claims(first, lambda: now[0]), Claims(second, lambda: now[0])
    assert dead.take("k") and dead.take("k")
    first.close()  # killed: nobody renews and nobody gives up the claim
    assert not waiting.take("k")
    assert waiting.take("l")
    now[0] += LASTS_S + 1
    assert waiting.take("k")
    second.close()


def test_a_request_that_fails_gives_its_claim_up(server: PostgresServer) -> None:
    cache, engine = open_cache(server.make_database()), CountingSampler()
    engine.fails = True
    with pytest.raises(SamplerError):
        asyncio.run(CachedSampler(engine, cache, IDENTITY).sample(request(n=2)))
    assert cache.database.read("SELECT COUNT(*) FROM claims") == [(0,)]
    engine.fails = False
    assert len(asyncio.run(CachedSampler(engine, cache, IDENTITY).sample(request(n=2)))) == 2
    assert cache.database.read("SELECT COUNT(*) FROM claims") == [(0,)]
    cache.close()
