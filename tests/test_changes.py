"""What a build says at its start: what changed, what that undoes, what is there already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from butwait.pipelines.cache import open_cache
from butwait.pipelines.changes import compare_recipes
from butwait.pipelines.recipe_file import check_recipe
from butwait.pipelines.resolve import resolve
from butwait.pipelines.reuse import _spread, count_reusable
from butwait.pipelines.stages.trajectories import Block
from tests.build_world import add, build, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

N = 20
N_SAMPLES = 4 * N
ROWS = {"default": {"transform": "verified"}, "rl": {"transform": "rl"}}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_questions(tmp_path / "sums.jsonl", N)
    return tmp_path


def document(server: FakeOpenAI, **changes: Any) -> dict[str, Any]:
    """A small recipe; ``a__b=1`` sets ``a.b``."""
    made = recipe_document(server.url, rows={k: dict(v) for k, v in ROWS.items()})
    for key, value in changes.items():
        *sections, name = key.split("__")
        place = made
        for section in sections:
            place = place[section]
        place[name] = value
    return made


def build_again(world: Path, server: FakeOpenAI, **changes: Any) -> tuple[list[str], int]:
    """Build, build again with changes; return what the second said and its samples."""
    build(world, document(server))
    before, said = server.n_completions, []
    build(world, document(server, **changes), say=said.append)
    return said, server.n_completions - before


def test_another_renderer_makes_rows_and_card_anew_and_samples_nothing(
    world: Path, server: FakeOpenAI
) -> None:
    said, n_sampled = build_again(world, server, rows__default__format="plain")
    assert said[:5] == [
        "changed: rows.default.format: bespoke -> plain",
        f"questions: whole, kept ({N} read, {N} kept, 0 contaminated)",
        f"trajectories: whole, kept ({N_SAMPLES} trajectories, 0 failed)",
        "rows: the recipe or its inputs changed, so this stage is made anew",
        "card: the recipe or its inputs changed, so this stage is made anew",
    ]
    assert n_sampled == 0


def test_another_temperature_says_before_sampling_that_all_is_sampled_again(
    world: Path, server: FakeOpenAI
) -> None:
    said, n_sampled = build_again(world, server, sampling__temperature=0.31)
    assert said[0].startswith("changed: sampling.temperature: ")
    assert said[0].endswith(" -> 0.31")
    assert (
        f"trajectories: {N_SAMPLES} samples, 0 of them in the cache, {N_SAMPLES} to be sampled"
        in said
    )
    assert n_sampled == N_SAMPLES


def test_twice_the_samples_reuse_the_first_half(world: Path, server: FakeOpenAI) -> None:
    said, n_sampled = build_again(world, server, sampling__n=8)
    assert said[0] == "changed: sampling.n: 4 -> 8"
    assert "questions: whole, kept" in said[1]
    line = f"{2 * N_SAMPLES} samples, {N_SAMPLES} of them in the cache, {N_SAMPLES} to be sampled"
    assert f"trajectories: {line}" in said
    assert n_sampled == N_SAMPLES


def test_a_changed_source_is_told_by_its_content(world: Path, server: FakeOpenAI) -> None:
    build(world, document(server))
    write_questions(world / "sums.jsonl", N + 2)
    said: list[str] = []
    build(world, document(server), say=said.append)
    assert said[0].startswith("changed: content of sums.jsonl: sha256:")
    assert said[1] == "questions: the recipe or its inputs changed, so this stage is made anew"
    assert (
        f"trajectories: {N_SAMPLES + 8} samples, {N_SAMPLES} of them in the cache, 8 to be sampled"
        in said
    )


def test_blocks_that_are_done_are_counted(world: Path, server: FakeOpenAI) -> None:
    run = build(world, document(server))
    (run.stage("trajectories") / "_stage.json").unlink()
    lost = run.trajectory_parts()[0]
    lost.unlink()
    said: list[str] = []
    build(world, document(server), say=said.append)
    assert "trajectories: begun before, goes on where it stopped" in said
    n_blocks = len(run.trajectory_parts())
    [line] = [line for line in said if "blocks are done" in line]
    assert line.startswith(
        f"trajectories: {n_blocks - 1} of {n_blocks} blocks are done; of the others"
    )
    assert line.endswith("0 to be sampled")


def test_a_stage_asked_for_by_name_is_said_to_be_made_anew(world: Path, server: FakeOpenAI) -> None:
    build(world, document(server))
    said: list[str] = []
    build(world, document(server), from_stage="rows", say=said.append)
    assert said[2:] == [f"{stage}: made anew, as --from rows asks" for stage in ("rows", "card")]


def test_a_first_build_says_nothing_of_earlier_ones(world: Path, server: FakeOpenAI) -> None:
    said: list[str] = []
    build(world, document(server), say=said.append)
    assert not [line for line in said if "changed" in line or "kept" in line or "made" in line]


def test_a_large_stage_is_estimated_and_says_so(world: Path, server: FakeOpenAI) -> None:
    made = document(server, block_size=2)
    run = build(world, made)
    resolved = resolve(check_recipe(made, "r"), world)
    for path in run.trajectory_parts():
        path.unlink()
    cache = open_cache(world / "cache.sqlite")
    exact = count_reusable(run, cache, resolved.identity, resolved.ask)
    assert (exact.n_samples, exact.n_cached, exact.is_estimate) == (N_SAMPLES, N_SAMPLES, False)
    rough = count_reusable(run, cache, resolved.identity, resolved.ask, max_samples=20)
    assert rough.is_estimate
    assert rough.n_cached == rough.n_samples
    assert abs(rough.n_samples - N_SAMPLES) <= N_SAMPLES / 2
    assert rough.describe().startswith("about ")


def test_any_first_few_blocks_are_spread_over_the_whole() -> None:
    blocks = [Block(0, i) for i in range(100)]
    order = _spread(blocks)
    assert sorted(order, key=lambda b: b.group) == blocks
    assert {b.group // 25 for b in order[:8]} == {0, 1, 2, 3}
    assert _spread([]) == []
    assert _spread(blocks[:1]) == blocks[:1]


def test_keys_are_compared_by_dotted_path(server: FakeOpenAI) -> None:
    recipe = check_recipe(document(server), "r")
    old = recipe.model_dump(mode="json")
    assert compare_recipes(old, recipe) == []
    assert compare_recipes(None, recipe) == []
    old["sampling"]["stop"] = ["x"]
    old["rows"]["gone"] = {"transform": "limo"}
    old["sources"][0]["path"] = "other.jsonl"
    lines = [change.describe() for change in compare_recipes(old, recipe)]
    assert lines == [
        "sources.0.path: other.jsonl -> sums.jsonl",
        'sampling.stop: ["x"] -> []',
        'rows.gone: {"transform": "limo"} -> (not set)',
    ]


def test_an_unreadable_recipe_of_an_earlier_build_is_no_hindrance(
    world: Path, server: FakeOpenAI
) -> None:
    run = build(world, document(server))
    (run.root / "recipe.yaml").write_text("name: [")
    (run.root / "manifest.json").write_text("{}")
    said: list[str] = []
    build(world, document(server), say=said.append)
    assert [line.split(":")[0] for line in said] == ["questions", "trajectories", "rows", "card"]
