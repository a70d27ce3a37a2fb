"""Recipes: what is accepted, and the one line that says what is wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.pipelines.recipe_file import check_recipe, dump_recipe, load_recipe, read_document
from butwait.schemas.errors import ButwaitError, ConfigError
from butwait.schemas.recipe_dpo import DpoRecipe
from butwait.schemas.recipe_eval import EvalRecipe
from butwait.schemas.recipe_grpo import GrpoRecipe
from butwait.schemas.recipe_prm import PrmRecipe
from butwait.schemas.recipe_train import SftRecipe

MINIMAL: dict[str, Any] = {
    "name": "x",
    "sources": [{"path": "a.jsonl"}],
    "model": {"id": "./m"},
    "rows": {"default": {"transform": "verified"}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(MINIMAL)
    *parents, last = path.split(".")
    place: Any = document
    for part in parents:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
    place[last] = value
    return document


def write(folder: Path, document: object) -> Path:
    path = folder / "r.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


TRAINED = {
    "sft": SftRecipe,
    "grpo": GrpoRecipe,
    "evolution": GrpoRecipe,
    "dpo": DpoRecipe,
    "prm": PrmRecipe,
}
"""Recipes of the trainer, by the word that their file's name begins with."""


def test_every_recipe_in_the_repository_is_valid(root: Path) -> None:
    folders = {path.name for path in (root / "recipes").iterdir() if path.is_dir()}
    assert folders == {"accelerate", "eval", "lab", "real", "redhat", "replay", "train"}
    found = sorted((root / "recipes").rglob("*.yaml"))
    builds = [p for p in found if p.parent.name not in ("accelerate", "eval", "train", "redhat")]
    builds = [p for p in builds if p.parent.name != "lab" or p.stem not in TRAINED]
    assert len(builds) >= 5
    for path in builds:
        assert load_recipe(path).name


def test_every_recipe_of_an_evaluation_is_valid(root: Path) -> None:
    paths = sorted((root / "recipes" / "eval").glob("*.yaml"))
    assert paths
    for path in paths:
        assert check_recipe(read_document(path), str(path), EvalRecipe).name


def test_every_recipe_of_the_trainer_is_valid(root: Path) -> None:
    paths = sorted((root / "recipes").rglob("train/*.yaml"))
    assert paths
    paths += [p for p in (root / "recipes" / "lab").glob("*.yaml") if p.stem in TRAINED]
    for path in paths:
        kind = TRAINED[path.stem.partition("-")[0]]
        assert check_recipe(read_document(path), str(path), kind).name


def test_a_dumped_recipe_loads_as_the_same_recipe() -> None:
    recipe = check_recipe(copy.deepcopy(MINIMAL), "r")
    assert check_recipe(yaml.safe_load(dump_recipe(recipe)), "r") == recipe


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sampilng", {}, "unknown key 'sampilng'; did you mean 'sampling'?"),
        ("sampling.temprature", 1, "did you mean 'temperature'?"),
        ("sources.0.pth", 1, "did you mean 'path'?"),
        ("rows.default.fromat", "x", "unknown key 'rows.default.fromat'; did you mean 'format'?"),
        ("rows.default.transform", "stich", "did you mean 'stitch'?"),
        ("rows.default.format", "bespok", "'bespoke', 'thinking_answer'"),
        ("sampling.temperature", -1, "greater than or equal to 0, not -1"),
        ("name", "../up", "not '../up'"),
        ("server", "manged", "not 'manged'"),
        ("rows", {}, "name at least one configuration"),
        ("replay", {"path": "x.jsonl"}, "exactly one of 'model'"),
        ("sources.0.hub", "a/b", "exactly one of 'hub' and 'path'"),
        ("sampling.template", "no place", "must contain {problem}"),
        ("server", {"mode": "attach"}, "needs 'url'"),
    ],
)
def test_a_mistake_is_one_line_that_names_it_and_the_way_out(
    path: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_recipe(changed(path, value), "my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: ")
    assert message in text
    assert "\n" not in text


def test_server_can_be_a_word_or_an_address() -> None:
    assert check_recipe(changed("server", "managed"), "r").server.mode == "managed"
    attached = check_recipe(changed("server", "http://127.0.0.1:9"), "r").server
    assert (attached.mode, attached.url) == ("attach", "http://127.0.0.1:9")


def test_but_wait_rows_cannot_come_from_a_recording() -> None:
    document = changed("rows.default.transform", "but_wait")
    del document["model"]
    document["replay"] = {"path": "x.jsonl"}
    with pytest.raises(ConfigError, match="a recording cannot be continued"):
        check_recipe(document, "r")


def test_but_wait_configurations_that_need_other_continuations_are_refused() -> None:
    document = changed("rows.default.transform", "but_wait")
    document["rows"]["more"] = {"transform": "but_wait", "phrase": "Wait"}
    with pytest.raises(ConfigError, match="share their continuations"):
        check_recipe(document, "r")


def test_overrides_reach_into_sections_lists_and_shorthands(tmp_path: Path) -> None:
    path = write(tmp_path, changed("server", "managed"))
    overrides = ["sampling.n=4", "sources.0.limit=3", "server.port=8123", "seed=7"]
    recipe = load_recipe(path, overrides, limit=9)
    assert (recipe.sampling.n, recipe.sources[0].limit, recipe.seed, recipe.limit) == (4, 3, 7, 9)
    assert (recipe.server.mode, recipe.server.port) == ("managed", 8123)


def test_a_path_in_an_override_is_relative_to_the_shell(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    recipe = load_recipe(path, ["sources.0.path=b.jsonl"], override_base=tmp_path / "cwd")
    assert recipe.sources[0].path == str((tmp_path / "cwd" / "b.jsonl").resolve())


@pytest.mark.parametrize(
    "override", ["nonsense", "sources.9.limit=1", "name.x=1", "=3", "seed=[", "sources.x=1"]
)
def test_an_override_that_cannot_be_applied_says_so(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_recipe(write(tmp_path, MINIMAL), [override])


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "", "\x00", "a: &a [*a]", "{" * 3000])
def test_a_file_that_is_no_recipe_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: a\nseed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match="'seed' stands twice"):
        load_recipe(path)


def test_a_missing_recipe_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
keys = st.sampled_from(["name", "sources", "model", "rows", "server", "sampling", "seed", "x"])


@settings(max_examples=200)
@given(st.dictionaries(keys, json_like))
def test_no_document_gives_anything_but_a_recipe_or_a_config_error(document: dict) -> None:
    try:
        check_recipe({**copy.deepcopy(MINIMAL), **document}, "r")
    except ButwaitError as error:
        assert error.exit_code == 2
