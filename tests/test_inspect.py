"""``butwait inspect``: a run on one screen, whole or half there, and what to do next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from build_world import add, build, recipe_document, write_questions
from eval_world import make_arm, write_run
from fake_openai import FakeOpenAI

from butwait.pipelines.cli import run_command
from butwait.pipelines.inspect_run import inspect_run
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.summary import read_ledger


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    write_questions(folder / "sums.jsonl", 20)
    with FakeOpenAI(add).running() as server:
        return build(folder, recipe_document(server.url)).root


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "sums"))


def told(run: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capfd.readouterr()
    assert run_command(["inspect", str(run), "--json"]) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def test_a_whole_build_is_told_on_one_screen(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["inspect", str(run)]) == 0
    screen = capfd.readouterr().out
    assert len(screen.splitlines()) <= 40
    for word in ("sums.jsonl", "fake/model", "whole", "20 questions read", "80 samples requested",
                 "card/README.md", "butwait report"):  # fmt: skip
        assert word in screen, word


def test_the_figures_are_those_of_the_ledger_and_the_files(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found, ledger = told(run, capfd), read_ledger(run)
    assert found["verdicts"] == ledger.samples.bins
    assert found["pass_rate"] == ledger.samples.bins["correct"] / 80
    assert found["rows"] == {name: account.total for name, account in ledger.rows.items()}
    assert found["cached"] == 0
    assert found["tokens"] > 0
    assert [stage["whole"] for stage in found["stages"]] == [True] * 4
    shares = [drop["share"] for drop in found["drops"]]
    assert shares == sorted(shares, reverse=True) and 0 < len(shares) <= 5
    assert found["problems"] == []


def test_the_next_step_follows_what_is_there(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert told(run, capfd)["next"].startswith("butwait report")
    assert run_command(["report", str(run)]) == 0
    assert told(run, capfd)["next"].startswith("butwait push")
    with RunFolder(run).held():
        found = told(run, capfd)
        assert found["state"] == "a build is at work in it"
    shutil.rmtree(run / "card")
    (run / "trajectories" / "_stage.json").unlink()
    found = told(run, capfd)
    assert found["state"] == "not whole: trajectories, card"
    assert found["next"].startswith("butwait build")
    assert run_command(["inspect", str(run)]) == 0
    n_blocks = len(list((run / "trajectories").glob("part-*.parquet")))
    assert f"begun, not whole, {n_blocks} blocks done" in capfd.readouterr().out


def test_damage_is_named_and_the_rest_is_told(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    part = sorted((run / "trajectories").glob("part-*.parquet"))[0]
    part.write_bytes(b"PAR1 no parquet")
    (run / "ledger.json").write_text("[]")
    (run / "recipe.yaml").write_text("a: [")
    (run / "trajectories" / "progress.jsonl").write_text('{"label": 1}\n[2]\n{"la')
    found = told(run, capfd)
    problems = " ".join(found["problems"])
    assert part.name in problems and "ledger.json" in problems and "recipe.yaml" in problems
    assert 0 < sum(found["verdicts"].values()) < 80
    assert run_command(["inspect", str(run)]) == 0
    assert "problem" in capfd.readouterr().out


def test_words_of_a_run_cannot_write_to_the_terminal(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest |= {"name": "\x1b[2J[bold]x[/bold]", "versions": {"\x1b]0;a\x07": "\x9b31m"}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert run_command(["inspect", str(run)]) == 0
    screen = capfd.readouterr().out
    assert not set(screen) & {"\x1b", "\x07", "\x9b"}
    assert "[bold]x[/bold]" in screen


def test_an_evaluation_tells_arms_and_what_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arm = make_arm([["correct", None], ["incorrect", "!timeout"]])
    found = told(write_run(tmp_path / "exam", [arm]), capfd)
    assert (found["kind"], found["totals"]) == ("evaluation", {"cells": 4, "missing": 1})
    assert found["pass_rate"] == 0.25
    assert found["verdicts"] == {"correct": 1, "incorrect": 1, "failed": 1}
    assert found["next"].startswith("butwait eval RECIPE")


def test_a_training_run_tells_its_last_metrics(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sft"
    (folder / "checkpoints" / "samples_64").mkdir(parents=True)
    (folder / "manifest.json").write_text('{"kind": "sft", "versions": {"torch": "2"}}')
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\n{"s')
    found = told(folder, capfd)
    assert (found["kind"], found["state"]) == ("training", "not finished")
    assert found["metrics"] == {"step": 2, "loss": 1.5}
    assert found["next"].startswith("butwait train sft")
    assert run_command(["inspect", str(folder)]) == 0


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_what_is_no_run_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    assert run_command(["inspect", str(tmp_path / name)]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_nothing_is_written(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    inspect_run(run)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
