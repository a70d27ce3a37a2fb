"""Several processes: two over gloo train what one does, and the configurations are readable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from train_world import read_metrics, read_weights, write_recipe

from butwait.pipelines.cli import run_command

CONFIGURATIONS = Path(__file__).parents[1] / "recipes" / "accelerate"


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, save_every=None, report_to=[])
    scripts = Path(sys.executable).parent
    launch = [scripts / "accelerate", "launch", "--config_file", CONFIGURATIONS / "cpu-2.yaml"]
    train = [scripts / "butwait", "train", "sft", recipe, "--out", tmp_path / "two"]
    done = subprocess.run(
        [*map(str, launch), "--main_process_port", "0", *map(str, train)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("10 steps, 40 samples") == 1  # said once for both
    assert run_command(["train", "sft", str(recipe), "--out", str(tmp_path / "one")]) == 0
    one, two = read_metrics(tmp_path / "one/sums"), read_metrics(tmp_path / "two/sums")
    assert [line["samples"] for line in two] == [line["samples"] for line in one]
    assert [line["loss"] for line in two] == pytest.approx([x["loss"] for x in one], rel=1e-3)
    weights = read_weights(tmp_path / "one/sums/final"), read_weights(tmp_path / "two/sums/final")
    for name in weights[0]:
        apart = (weights[0][name].float() - weights[1][name].float()).abs().max()
        assert float(apart) < 2e-3, name


@pytest.mark.parametrize("name", ["gpu-1", "fsdp2-8", "zero3-8", "cpu-2"])
def test_accelerate_reads_our_configurations(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(CONFIGURATIONS / f"{name}.yaml"))
    assert config.num_processes == int(name.rpartition("-")[2])


def test_fsdp_and_zero_settings_are_ones_that_accelerate_knows() -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    known = {action.dest for action in launch_command_parser()._actions}
    for name, section in (("fsdp2-8", "fsdp_config"), ("zero3-8", "deepspeed_config")):
        config = load_config_from_file(str(CONFIGURATIONS / f"{name}.yaml"))
        assert set(getattr(config, section)) <= known
