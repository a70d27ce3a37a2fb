"""Real fine-tuning of the pocket policy: resumes, masks, packing, adapters, and bad days."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from train_world import (
    POLICY,
    make_row,
    read_metrics,
    read_weights,
    start_training,
    write_recipe,
)

from butwait.pipelines.cli import run_command

SFT = "train", "sft"


def train(folder: Path, *more: str, **recipe: Any) -> Path:
    """Train to the end; the run folder."""
    path = write_recipe(folder, **recipe)
    assert run_command([*SFT, str(path), "--out", str(folder / "runs"), *more]) == 0
    return folder / "runs" / "sums"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    return train(tmp_path_factory.mktemp("whole"))


def test_checkpoints_are_named_by_the_samples_seen(whole: Path) -> None:
    found = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert found == ["samples_16", "samples_24", "samples_32", "samples_40", "samples_8"]
    lines = read_metrics(whole)
    assert [(line["step"], line["samples"]) for line in lines] == [(n, 4 * n) for n in range(1, 11)]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_run_folder_says_what_was_done(whole: Path) -> None:
    for name in ("recipe.yaml", "manifest.json", "metrics.jsonl", "final", "curves"):
        assert (whole / name).exists(), name
    assert (whole / "curves" / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert any((whole / "tensorboard").iterdir())
    card = (whole / "final" / "README.md").read_text("utf-8")
    assert "10 optimiser steps, 40 samples" in card and "revision: `sha256:" in card
    assert "nothing is claimed" in card


def test_the_final_folder_loads_with_template_and_end_tokens(whole: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    final = whole / "final"
    tokenizer = AutoTokenizer.from_pretrained(final)
    model = AutoModelForCausalLM.from_pretrained(final)
    assert str(model.dtype) == "torch.bfloat16"  # as the model that was started from
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    chat = [{"role": "user", "content": "What is 3 + 1?"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False).endswith("3 + 1?<|end|>")
    trained, before = read_weights(final), read_weights(POLICY)
    assert any(not bool((trained[name] == before[name]).all()) for name in before)


def test_a_second_run_of_a_finished_recipe_does_nothing(whole: Path, capsys: Any) -> None:
    before = (whole / "final" / "model.safetensors").stat().st_mtime_ns
    recipe = whole.parents[1] / "recipe.yaml"
    assert run_command([*SFT, str(recipe), "--out", str(whole.parent)]) == 0
    assert (whole / "final" / "model.safetensors").stat().st_mtime_ns == before
    assert "is finished" in capsys.readouterr().err


def test_another_recipe_does_not_go_on_in_the_folder_of_the_first(whole: Path, capsys: Any) -> None:
    recipe = whole.parents[1] / "recipe.yaml"
    code = run_command([*SFT, str(recipe), "--out", str(whole.parent), "--set", "seed=1"])
    said = capsys.readouterr().err
    assert code == 2 and "'seed: 42' there, 'seed: 1' now" in said and "--fresh" in said


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 7])
def test_a_killed_run_goes_on_to_the_weights_of_the_one_that_was_not(
    whole: Path, tmp_path: Path, step: int
) -> None:
    recipe = write_recipe(tmp_path)
    process = start_training(recipe, tmp_path / "runs")
    run = tmp_path / "runs" / "sums"
    wait_for_step(process, run, step)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "final").exists()
    assert run_command([*SFT, str(recipe), "--out", str(tmp_path / "runs")]) == 0
    undisturbed, resumed = read_weights(whole / "final"), read_weights(run / "final")
    assert all(bool((undisturbed[name] == resumed[name]).all()) for name in undisturbed)
    keys = ("step", "samples", "loss", "grad_norm", "learning_rate")
    seen, wanted = read_metrics(run), read_metrics(whole)
    assert [[line[k] for k in keys] for line in seen] == [
        [line[k] for k in keys] for line in wanted
    ]


def wait_for_step(process: Any, run: Path, step: int) -> None:
    """Wait until a run has logged a step."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "metrics.jsonl").exists() and len(read_metrics(run)) >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"no step {step}: {process.stdout.read()}")


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_one_line(tmp_path: Path) -> None:
    process = start_training(write_recipe(tmp_path, epochs=2000), tmp_path / "runs")
    wait_for_step(process, tmp_path / "runs" / "sums", 3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted; the last checkpoint is kept: the same command continues" in said
    assert "Traceback" not in said


def test_packed_rows_learn_what_they_learn_alone(tmp_path: Path) -> None:
    """One packed batch has the loss of its rows one by one: no attention between them."""
    rows = [make_row(n, f"Step 1: {n} + 1 = {n + 1}" * (1 + n % 3)) for n in range(12)]
    one_step = {"rows": rows, "max_steps": 1, "save_every": None}
    alone, packed = tmp_path / "alone", tmp_path / "packed"
    alone.mkdir()
    packed.mkdir()
    apart = train(alone, batch_size=12, micro_batch_size=4, **one_step)
    together = train(
        packed, batch_size=2, micro_batch_size=1, packing=True, max_length=256, **one_step
    )
    first, second = read_metrics(apart)[0], read_metrics(together)[0]
    assert second["samples"] == 12
    assert second["loss"] == pytest.approx(first["loss"], rel=1e-4)
    assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=1e-3)


def test_adapters_are_merged_into_a_final_folder_that_stands_alone(tmp_path: Path) -> None:
    run = train(tmp_path, model={"id": str(POLICY), "lora": {"r": 4, "alpha": 8}}, epochs=1)
    merged, before = read_weights(run / "final"), read_weights(POLICY)
    assert set(merged) == set(before)
    assert any(not bool((merged[name] == before[name]).all()) for name in before)
    assert (run / "final" / "adapter" / "adapter_model.safetensors").is_file()


def test_a_loss_that_is_no_number_stops_with_step_and_rows(tmp_path: Path, capsys: Any) -> None:
    path = write_recipe(tmp_path, optimiser={"learning_rate": 1e30, "warmup_steps": 0})
    code = run_command([*SFT, str(path), "--out", str(tmp_path)])
    said = capsys.readouterr().err
    assert code == 1 and "the loss is nan at step" in said and "(rows r" in said
    assert "learning_rate" in said


def test_a_full_disk_keeps_the_checkpoint_before_it(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    from butwait.trainer.loop import Watched

    saved = Watched._save_checkpoint

    def save_until_full(self: Any, model: Any, trial: Any) -> None:
        if self.state.global_step > 4:
            monkeypatch.setattr(type(self), "save_model", fill_up)
        saved(self, model, trial)

    def fill_up(self: Any, output_dir: str, **_: Any) -> None:
        Path(output_dir).mkdir(parents=True)
        (Path(output_dir) / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Watched, "_save_checkpoint", save_until_full)
    path = write_recipe(tmp_path)
    code = run_command([*SFT, str(path), "--out", str(tmp_path)])
    said = capsys.readouterr().err
    assert code == 1 and "No space left" in said and "samples_16 is whole" in said
    monkeypatch.undo()
    assert run_command([*SFT, str(path), "--out", str(tmp_path)]) == 0
    assert "going on from samples_16" in capsys.readouterr().err
    left = sorted(path.name for path in (tmp_path / "sums" / "checkpoints").iterdir())
    assert all(name.startswith("samples_") for name in left)


def test_old_checkpoints_are_removed_where_the_recipe_says_so(tmp_path: Path) -> None:
    run = train(tmp_path, keep_checkpoints=2)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "samples_32",
        "samples_40",
    ]
