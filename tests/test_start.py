"""What one begins with: help pages, ``doctor``, ``recipes``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hub.server import HubServer
from hub.state import ALICE_WRITE

from butwait.pipelines.cli import app, run_command
from butwait.pipelines.cli_help import GROUPS
from butwait.pipelines.recipe_file import check_recipe, read_document
from butwait.pipelines.recipe_shelf import TEMPLATES
from butwait.schemas.recipe import Recipe
from butwait.schemas.recipe_dpo import DpoRecipe
from butwait.schemas.recipe_eval import EvalRecipe
from butwait.schemas.recipe_grpo import GrpoRecipe
from butwait.schemas.recipe_prm import PrmRecipe
from butwait.schemas.recipe_train import SftRecipe

KINDS: dict[str, Any] = {
    "build": Recipe,
    "search": Recipe,
    "replay": Recipe,
    "eval": EvalRecipe,
    "sft": SftRecipe,
    "grpo": GrpoRecipe,
    "dpo": DpoRecipe,
    "prm": PrmRecipe,
}


def every_command(group: Any = None, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, (*place, name))
        elif not command.hidden:
            yield (*place, name)


def test_every_command_stands_in_one_group_of_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    listed = [name for names in GROUPS.values() for name in names]
    there = {place[0] for place in every_command()}
    assert len(listed) == len(set(listed))
    assert there <= set(listed)
    run_command(["--help"])
    page = capfd.readouterr().out
    for title in GROUPS:
        assert f"\n{title}:\n" in page
    for name in there:
        assert re.search(rf"^  {name} ", page, re.M), name


@pytest.mark.parametrize("place", list(every_command()), ids=" ".join)
def test_every_help_page_shows_how_the_command_is_used(
    place: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*place, "--help"]) == 0
    page = capfd.readouterr().out
    assert f"    butwait {' '.join(place)}" in page or f"    butwait {place[0]} " in page
    assert "\x1b" not in page and "│" not in page
    assert "Examples:" in page


def test_help_loads_no_library_of_colours_and_nothing_heavy() -> None:
    code = (
        "import sys; from butwait.pipelines.cli import run_command; run_command(['--help']);"
        "print(','.join(sorted(m for m in sys.modules if '.' not in m)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.strip().splitlines()[-1].split(","))
    heavy = {"rich", "pydantic", "numpy", "pyarrow", "yaml", "apache_beam", "torch", "httpx"}
    assert not loaded & heavy


def test_completion_knows_the_commands() -> None:
    env = {**os.environ, "_BUTWAIT_COMPLETE": "complete_bash", "COMP_WORDS": "butwait re"}
    code = "from butwait.pipelines.cli import app; app(prog_name='butwait')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**env, "COMP_CWORD": "1"},
    )
    assert "recipes" in done.stdout.split()


def doctor(tmp_path: Path, *more: str) -> list[str]:
    return ["doctor", "--cache", str(tmp_path / "c.sqlite"), "--out", str(tmp_path), *more]


def test_the_doctor_names_what_is_there_and_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_plantedplantedplanted")
    monkeypatch.setattr("butwait.pipelines.doctor._DEVICE", "print('cpu Grace')")
    assert run_command(doctor(tmp_path, "--offline", "--json")) == 0
    out = capfd.readouterr().out
    found = {one["name"]: one for one in json.loads(out)}
    assert found["Python"]["state"] == "ok"
    assert found["apache-beam"]["found"].startswith("2.")
    assert "GB free" in found["disk for runs"]["found"]
    assert "hf_planted" not in out and "a token, not tried" in found["Hub login"]["found"]
    if found["vllm"]["state"] == "ok":
        assert found["engine"]["found"].endswith("cpu Grace")
    else:
        assert "pip install 'butwait[vllm]'" in found["engine"]["way_out"]


def test_an_engine_that_does_not_load_is_missing_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vllm")
    monkeypatch.setattr("butwait.pipelines.doctor._DEVICE", "import no_such_module")
    assert run_command(doctor(tmp_path, "--offline")) == 1
    out = capfd.readouterr()
    assert re.search(r"^MISS  engine .*does not load$", out.out, re.M)
    assert out.err.strip() == "missing: engine"


def test_a_cache_that_is_no_database_is_missing_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("butwait.pipelines.doctor._DEVICE", "print('cpu')")
    (tmp_path / "c.sqlite").write_text("this is no database" * 100)
    assert run_command(doctor(tmp_path, "--offline")) == 1
    assert "MISS  completion cache" in capfd.readouterr().out


def test_the_doctor_asks_the_hub_who_the_token_belongs_to_and_never_shows_it(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("butwait.pipelines.doctor._DEVICE", "print('cpu')")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", ALICE_WRITE)
    run_command(doctor(tmp_path))
    out = capfd.readouterr().out
    assert "alice (write)" in out and ALICE_WRITE not in out
    monkeypatch.setenv("HF_TOKEN", "hf_ofnobody")
    run_command(doctor(tmp_path))
    out = capfd.readouterr().out
    assert "does not accept it" in out and "hf_ofnobody" not in out


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_template_is_a_valid_recipe_under_its_new_name(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert {path.stem for path in TEMPLATES.glob("*.yaml")} == set(KINDS)
    path = tmp_path / "my-first"
    assert run_command(["recipes", "new", str(path), "--from", name]) == 0
    written = path.with_suffix(".yaml")
    assert str(written) in capfd.readouterr().err
    assert check_recipe(read_document(written), "x", KINDS[name]).name == "my-first"
    assert "MY-NAME" not in written.read_text()


def test_a_new_recipe_never_overwrites_and_refuses_odd_names(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "mine.yaml"
    kept.write_text("precious")
    assert run_command(["recipes", "new", str(kept)]) == 2
    assert kept.read_text() == "precious"
    assert run_command(["recipes", "new", str(tmp_path / "My Recipe")]) == 2
    assert run_command(["recipes", "new", str(tmp_path / "x"), "--from", "../../etc"]) == 2
    err = capfd.readouterr().err
    assert "exists and is not overwritten" in err and "'My Recipe'" in err and "there are" in err


def test_recipes_are_listed_with_what_runs_them(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert run_command(["recipes", "list", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capfd.readouterr().out)}
    assert listed["build"]["command"] == "build"
    assert listed["grpo"]["command"] == "train grpo"
    assert listed["recipes/eval/pocket.yaml"]["command"] == "eval"
    assert all(one["about"] for one in listed.values())


def test_a_recipe_is_shown_by_name_and_an_unknown_one_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert run_command(["recipes", "show", "quickstart"]) == 0
    assert capfd.readouterr().out == (root / "recipes" / "quickstart.yaml").read_text()
    assert run_command(["recipes", "show", "limo"]) == 2
    assert run_command(["recipes", "show", "nonesuch"]) == 2
    err = capfd.readouterr().err
    assert "2 recipes are called 'limo'" in err and "'nonesuch'" in err
