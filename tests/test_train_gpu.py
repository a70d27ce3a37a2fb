"""On a GPU: the pocket policy trains in bfloat16, and a run that lost its end goes on."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import grpo_world
import pytest
import torch
import train_world

from butwait.pipelines.cli import run_command

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore"),  # of TRL and torch about one another
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


def train_twice(kind: str, recipe: Path, run: Path, capsys: Any) -> list[list[dict[str, Any]]]:
    """Train, take the end away and train on; the metrics of both."""
    command = ["train", kind, str(recipe), "--out", str(run.parent)]
    assert run_command(command) == 0
    first = train_world.read_metrics(run)
    manifest = (run / "manifest.json").read_text("utf-8")
    assert '"device": "cuda' in manifest
    shutil.rmtree(run / "final")
    newest = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name.split("_")[1]))
    shutil.rmtree(newest)
    capsys.readouterr()
    assert run_command(command) == 0
    assert "going on from samples_" in capsys.readouterr().err
    assert (run / "final" / "model.safetensors").is_file() and newest.is_dir()
    return [first, train_world.read_metrics(run)]


def test_fine_tuning_learns_and_goes_on_on_a_gpu(tmp_path: Path, capsys: Any) -> None:
    recipe = train_world.write_recipe(tmp_path, epochs=4, save_every=5)
    first, again = train_twice("sft", recipe, tmp_path / "runs" / "sums", capsys)
    losses = [line["loss"] for line in first]
    assert all(map(math.isfinite, losses)) and sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert [line["step"] for line in again] == list(range(1, 21))
    assert [line["loss"] for line in again] == pytest.approx(losses, rel=0.05, abs=0.01)


@pytest.mark.parametrize("micro", [8, 4])
def test_groups_learn_and_go_on_on_a_gpu(tmp_path: Path, capsys: Any, micro: int) -> None:
    rewards = {"length": 0.5, "truncated": 0.0}  # lengths differ, so every group teaches something
    changes = {"rewards": rewards, "micro_batch_size": micro, "sync_ref_every": 2, "beta": 0.5}
    recipe = grpo_world.write_recipe(tmp_path, **changes)
    first, again = train_twice("grpo", recipe, tmp_path / "runs" / "tiny", capsys)
    assert all(math.isfinite(line[name]) for line in first for name in ("loss", "kl", "grad_norm"))
    assert all(line["groups/with_difference"] > 0 for line in first)
    assert [line["step"] for line in again] == list(range(1, 7))
    weights = [grpo_world.read_weights(grpo_world.POLICY)]
    weights.append(grpo_world.read_weights(tmp_path / "runs" / "tiny" / "final"))
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
