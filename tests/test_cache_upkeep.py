"""What a cache holds and how it forgets, also while a build is at work."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from butwait.pipelines.cache import Cache, completion_keys, describe_score, open_cache
from butwait.pipelines.cache.database import Database
from butwait.pipelines.cache.postgres import PostgresDatabase
from butwait.pipelines.cache.sqlite import SqliteDatabase
from butwait.pipelines.cache.store import DAY_S
from butwait.pipelines.cache.upkeep import Rule, list_held, prune, read_age
from butwait.pipelines.cached import CachedSampler
from butwait.pipelines.cli import run_command
from butwait.schemas.errors import ConfigError
from tests.postgres_server import running_server
from tests.test_cache import IDENTITY, CountingSampler, request

OTHER = IDENTITY.model_copy(update={"id": "other/model"})
DAY_0 = 20_000


class Clock:
    """Days and seconds that a test sets."""

    def __init__(self) -> None:
        self.day = DAY_0

    def __call__(self) -> float:
        return self.day * DAY_S + 60.0


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield SqliteDatabase(tmp_path / "c.sqlite")
        return
    with running_server() as server:
        yield PostgresDatabase(server.make_database())


def fill(cache: Cache, identity: object = IDENTITY, n_questions: int = 5, n: int = 4) -> None:
    sampler = CachedSampler(CountingSampler(), cache, identity)  # type: ignore[arg-type]
    for i in range(n_questions):
        asyncio.run(
            sampler.sample(request(question_id=f"q{i}", prompt=f"p{i}", messages=None, n=n))
        )


def test_entries_are_counted_and_forgotten_by_age_model_and_size(database: Database) -> None:
    clock = Clock()
    cache = Cache(database, clock)
    fill(cache)
    clock.day += 10
    fill(cache, OTHER)
    cache.put_scores({"s": (0.5,)}, describe_score(OTHER, {"layout": "x"}, "q1", "e"))
    held = {(h.table, h.model): h for h in list_held(cache)}
    assert {key: h.entries for key, h in held.items()} == {
        ("completions", "m"): 20, ("completions", "other/model"): 20, ("scores", "other/model"): 1,
    }  # fmt: skip
    assert held["completions", "m"].record["oldest"] == "2024-10-04T00:01:00+00:00"

    assert prune(cache, Rule(older_than_days=10)).entries == 0
    would = prune(cache, Rule(older_than_days=9), dry_run=True)
    assert would.entries == 20
    assert prune(cache, Rule(older_than_days=9)) == would
    assert database.read("SELECT COUNT(*) FROM requests") == [(6,)]

    total = sum(h.bytes for h in list_held(cache))
    kept = prune(cache, Rule(keep_bytes=total // 2))
    assert total - kept.bytes <= total // 2 < total - kept.bytes + 300
    with pytest.raises(ConfigError, match="nothing of model 'nobody'; its models: m, other/model"):
        prune(cache, Rule(model="nobody"))
    prune(cache, Rule(model="other/model"))
    assert list_held(cache) == []
    database.compact()
    cache.close()


def test_use_is_noted_once_a_day_and_keeps_an_entry(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "c.sqlite"
    cache = Cache(SqliteDatabase(path), clock)
    fill(cache)
    clock.day += 10
    keys = completion_keys(IDENTITY, request(question_id="q1", prompt="p1", messages=None))
    for _ in range(3):
        assert len(cache.get(keys)) == 4
    cache.close()
    cache = Cache(SqliteDatabase(path), clock)
    used = dict(cache.database.read("SELECT used, COUNT(*) FROM requests GROUP BY used"))
    assert used == {DAY_0: 4, DAY_0 + 10: 1}
    assert prune(cache, Rule(older_than_days=5)).entries == 16
    assert cache.count(keys) == 4


def test_what_was_used_since_it_was_found_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from butwait.pipelines.cache import upkeep

    clock = Clock()
    cache = Cache(SqliteDatabase(tmp_path / "c.sqlite"), clock)
    fill(cache)
    clock.day += 10
    find = upkeep._batches

    def find_and_use(*arguments: object) -> Iterator[list[tuple[str, int]]]:
        for batch in find(*arguments):  # type: ignore[arg-type]
            cache.database.write([("UPDATE requests SET used = ?", [(clock.day,)])])
            yield batch

    monkeypatch.setattr(upkeep, "_batches", find_and_use)
    prune(cache, Rule(older_than_days=5))
    assert sum(h.entries for h in list_held(cache)) == 20


def test_pruning_beside_a_writer_breaks_neither_and_the_file_shrinks_after(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    cache = open_cache(path)
    fill(cache, n_questions=400, n=8)
    stop, failures, n_asked = threading.Event(), [], 0

    def build() -> None:
        nonlocal n_asked
        try:
            mine = open_cache(path)
            while not stop.is_set():
                fill(mine, n_questions=20, n=8)
                n_asked += 1
            mine.close()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    for _ in range(10):
        prune(cache, Rule(model="m")) if list_held(cache) else None
        refused = cache.database.compact()
    stop.set()
    thread.join()
    assert failures == []
    assert n_asked > 0
    assert refused is not None
    assert "another process" in refused
    assert cache.database.read("PRAGMA integrity_check") == [("ok",)]
    before = cache.database.n_bytes()
    prune(cache, Rule(keep_bytes=0))
    assert cache.database.compact() is None
    assert cache.database.n_bytes() < before / 2
    assert cache.database.read("PRAGMA journal_mode") == [("wal",)]


def test_a_file_of_an_older_version_keeps_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    new = open_cache(tmp_path / "new.sqlite")
    fill(new, n_questions=1)
    [(key, value)] = new.database.read("SELECT key, value FROM completions LIMIT 1")
    with sqlite3.connect(path) as old:
        for table in ("completions", "scores"):
            old.execute(
                f"CREATE TABLE {table} (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
            )
        old.execute("INSERT INTO completions VALUES (?, ?)", (key, value))
    old.close()
    cache = open_cache(path)
    assert len(cache.get([key])) == 1
    [held] = list_held(cache)
    assert (held.model, held.oldest, held.entries) == (None, None, 1)
    assert prune(cache, Rule(older_than_days=1)).entries == 0
    fill(cache, n_questions=1)
    assert sum(h.entries for h in list_held(cache)) == 4
    assert prune(cache, Rule(keep_bytes=800)).entries == 1


def test_an_age_is_days_or_weeks() -> None:
    assert (read_age("30d"), read_age("2w")) == (30, 14)
    with pytest.raises(ConfigError, match="'30'"):
        read_age("30")


def test_the_commands_count_ask_and_forget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "c.sqlite")
    assert run_command(["cache", "stats", "--cache", place]) == 2
    assert "there is no completion cache at" in capsys.readouterr().err
    cache = open_cache(Path(place))
    fill(cache)
    cache.close()
    assert run_command(["cache", "stats", "--cache", place]) == 0
    assert "completions           20" in capsys.readouterr().out
    assert run_command(["cache", "stats", "--cache", place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["held"][0]["model"] == "m"
    assert run_command(["cache", "prune", "--cache", place]) == 2
    assert "one of --older-than" in capsys.readouterr().err
    assert run_command(["cache", "prune", "--cache", place, "--model", "m", "--dry-run"]) == 0
    assert "would forget 20 entries" in capsys.readouterr().out
    assert run_command(["cache", "prune", "--cache", place, "--model", "m"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert run_command(["cache", "prune", "--cache", place, "--model", "m", "--yes"]) == 0
    assert "forgot 20 entries" in capsys.readouterr().out
