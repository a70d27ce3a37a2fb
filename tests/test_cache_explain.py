"""Why a sample is in the cache or not: the field of its key that changed is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from butwait.pipelines.cache import Cache, open_cache
from butwait.pipelines.cache.explain import Finding, explain_sample
from butwait.pipelines.cache.upkeep import Rule, prune
from butwait.pipelines.cached import CachedSampler
from butwait.pipelines.cli import run_command
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.tables import read_columns
from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity, SamplingParameters
from tests.build_world import add, build, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI
from tests.test_cache import IDENTITY, CountingSampler, request

ASKED = SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=16)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = open_cache(tmp_path / "c.sqlite")
    sampler = CachedSampler(CountingSampler(), cache, IDENTITY)
    asyncio.run(sampler.sample(request(messages=chat("Be brief.", "2+2?"))))
    return cache


def chat(system: str, user: str) -> tuple[Message, ...]:
    return (Message(role="system", content=system), Message(role="user", content=user))


def find(
    cache: Cache, identity: ModelIdentity = IDENTITY, index: int = 0, **changes: Any
) -> Finding:
    asked = request(**{"messages": chat("Be brief.", "2+2?"), **changes})
    return explain_sample(cache, identity, "t", asked, index)


def test_a_hit_says_when_it_was_stored_and_by_which_engine(cache: Cache) -> None:
    found = find(cache, index=3)
    assert (found.is_hit, found.model, found.by) == (True, "m", "vllm")
    assert found.stored is not None


@pytest.mark.parametrize(
    ("changes", "field", "stored", "now"),
    [
        ({"parameters": ASKED.model_copy(update={"temperature": 0.7})}, "temperature", 0.8, 0.7),
        ({"parameters": ASKED.model_copy(update={"max_tokens": 17})}, "max_tokens", 16, 17),
        ({"parameters": ASKED.model_copy(update={"stop": ("x",)})}, "stop", [], ["x"]),
        ({"seed": 9}, "seed", 1 << 20, 9),
        ({"index": 4}, "sample index", "0 to 3", 4),
        ({"identity": IDENTITY.model_copy(update={"revision": "s"})}, "revision", "r", "s"),
        ({"identity": IDENTITY.model_copy(update={"id": "n"})}, "model", "m", "n"),
        (
            {"identity": IDENTITY.model_copy(update={"engine": "vllm+1"})},
            "engine",
            "vllm",
            "vllm+1",
        ),
        ({"prefix": "Wait"}, "prefix", None, "Wait"),
    ],
)
def test_a_miss_names_the_one_field_that_changed(
    cache: Cache, changes: dict[str, Any], field: str, stored: object, now: object
) -> None:
    found = find(cache, **changes)
    assert not found.is_hit
    assert [(c.field, c.stored, c.now) for c in found.changes] == [(field, stored, now)]


def test_which_part_of_a_prompt_changed_is_told(cache: Cache) -> None:
    [system] = find(cache, messages=chat("Be kind.", "2+2?")).changes
    assert (system.field, system.now) == ("system prompt", "Be kind.")
    assert system.stored.startswith("a text with hash ")
    [none] = find(cache, messages=(Message(role="user", content="2+2?"),)).changes
    assert (none.field, none.now) == ("system prompt", None)
    [user] = find(cache, messages=chat("Be brief.", "2 + 2?")).changes
    assert (user.field, user.now) == ("prompt", "2 + 2?")


def test_several_changes_are_all_named_against_the_nearest_request(cache: Cache) -> None:
    parameters = ASKED.model_copy(update={"temperature": 0.5, "top_p": 0.5})
    assert {c.field for c in find(cache, parameters=parameters).changes} == {"temperature", "top_p"}
    near = parameters.model_copy(update={"top_p": 0.6})
    sampler = CachedSampler(CountingSampler(), cache, IDENTITY)
    asyncio.run(sampler.sample(request(messages=chat("Be brief.", "2+2?"), parameters=near)))
    assert [c.field for c in find(cache, parameters=parameters).changes] == ["top_p"]


def test_another_problem_is_told_from_other_settings(cache: Cache, tmp_path: Path) -> None:
    other: dict[str, Any] = {"question_id": "q2", "messages": chat("Be brief.", "3+3?")}
    found = find(cache, **other)
    assert "nothing was ever asked about this problem" in found.reason
    assert "these very settings" in found.reason
    found = find(cache, **other, parameters=ASKED.model_copy(update={"temperature": 0.1}))
    assert [c.field for c in found.changes] == ["temperature"]
    empty = open_cache(tmp_path / "empty.sqlite")
    assert "nor about any other" in find(empty).reason


def test_what_was_pruned_is_told_from_what_was_never_asked(cache: Cache) -> None:
    prune(cache, Rule(keep_bytes=0))
    found = find(cache)
    assert not found.changes
    assert "pruned" in found.reason


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Path, RunFolder]]:
    write_questions(tmp_path / "sums.jsonl", 6)
    with FakeOpenAI(add).running() as server:
        document = recipe_document(server.url)
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
        yield tmp_path, build(tmp_path, document)


def explain(folder: Path, run: RunFolder, *arguments: str) -> int:
    place = ["--cache", str(folder / "cache.sqlite")]
    return run_command(["cache", "explain", str(run.root), *arguments, *place])


def test_the_command_explains_questions_trajectories_and_rows_of_a_run(
    world: tuple[Path, RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = world
    rows = [r for p in run.row_shards("but_wait") for r in read_columns(p, ["id", "question_id"])]
    question = rows[0]["question_id"]
    assert explain(folder, run, question, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert all(f["is_hit"] for f in found), found
    assert [f["sample"] for f in found][:4] == [f"{question}-sample-{i}" for i in range(4)]
    assert any("continue-0" in f["sample"] for f in found)
    assert explain(folder, run, question[:17]) == 0
    said = capsys.readouterr().out
    assert f"{question}-sample-0 to 3: hit: in the cache" in said
    assert explain(folder, run, rows[0]["id"], "--json") == 0
    assert [f["is_hit"] for f in json.loads(capsys.readouterr().out)] == [True, True]
    assert explain(folder, run, f"{question}-sample-2", "--set", "sampling.temperature=0.1") == 0
    said = capsys.readouterr().out
    assert "sample-2: miss: what is asked changed" in said
    assert "stored, 0.1 now" in said
    changed = ["--recipe", str(folder / "recipe.yaml"), "--set", "sampling.n=8"]
    assert explain(folder, run, question, *changed) == 0
    assert "sample index: 0 to 3 stored, 4 now" in capsys.readouterr().out
    assert explain(folder, run, question, *changed[:2], "--set", "seed=5") == 0
    assert "derived from the recipe's seed" in capsys.readouterr().out


def test_a_name_that_fits_nothing_or_too_much_is_refused(
    world: tuple[Path, RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = world
    assert explain(folder, run, "nothing") == 2
    assert "begins with 'nothing'" in capsys.readouterr().err
    assert explain(folder, run, "q") == 2
    assert "ids begin with 'q'" in capsys.readouterr().err
    assert explain(folder, replace(run, root=folder / "none"), "q") == 2
    assert "does not exist" in capsys.readouterr().err
