"""Real GRPO of the pocket policy: groups, resumes, presets, and bad days."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from grpo_world import (
    POLICY,
    build_trainer,
    make_rows,
    read_lines,
    read_weights,
    roll_out,
    train,
    write_recipe,
)
from pydantic import ValidationError

from butwait.schemas.recipe_grpo import GrpoRecipe, PlateauSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL, vLLM and torch about one another

START = {"name": "x", "model": {"id": "m"}, "data": {"path": "rows.jsonl"}}
# Lengths differ, so every group teaches something; the reference is refreshed between two
# checkpoints, so that a resume has to bring it back.
LIVELY = {
    "rewards": {"length": 0.5, "truncated": 0.0},
    "optimiser": {"learning_rate": 1e-3, "warmup_steps": 0},
}
REFRESHED = {**LIVELY, "sync_ref_every": 2, "beta": 0.5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(folder, **REFRESHED) == 0
    return folder / "runs" / "tiny"


def test_checkpoints_are_named_by_the_rollouts_seen(whole: Path) -> None:
    found = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert found == ["samples_24", "samples_48"]
    lines = read_lines(whole / "metrics.jsonl")
    assert [(line["step"], line["samples"]) for line in lines] == [(n, 8 * n) for n in range(1, 7)]
    before, after = read_weights(POLICY), read_weights(whole / "final")
    assert any(not bool((before[name] == after[name]).all()) for name in before)


def test_metrics_rollouts_and_card_tell_what_happened(whole: Path) -> None:
    line = read_lines(whole / "metrics.jsonl")[-1]
    assert {
        "rewards/accuracy/mean",
        "groups/zero_variance",
        "groups/excluded",
        "rollouts/excluded",
        "verdicts/accuracy/timeout",
        "verifier/workers_lost",
        "seconds/rollouts",
        "seconds/rewards",
        "kl",
    } <= set(line)
    shares = [line[f"groups/{name}"] for name in ("zero_variance", "excluded", "with_difference")]
    assert sum(shares) == pytest.approx(1)
    rollouts = read_lines(whole / "rollouts.jsonl")
    assert [one["step"] for one in rollouts] == [n for n in range(1, 7) for _ in range(4)]
    assert {"id", "text", "verdict", "rewards/accuracy", "advantage"} <= set(rollouts[0])
    card = (whole / "final" / "README.md").read_text("utf-8")
    assert "after GRPO with butwait: 6 optimiser steps, 48 samples" in card


def test_a_server_that_goes_keeps_the_checkpoint_and_a_resume_ends_in_the_same_weights(
    whole: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from butwait.trainer.group_trainer import GRPOTrainer, KeptReference

    sample = GRPOTrainer._generate_single_turn

    def lose(self: Any, *arguments: Any) -> Any:
        if self.state.global_step == 4:
            monkeypatch.setattr(self, "use_vllm", True)
            raise ConnectionError("the server at http://gpu:8000 closed the connection")
        return sample(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(KeptReference, "_generate_single_turn", lose, raising=False)
        assert train(tmp_path, **REFRESHED) == 1
    said = capsys.readouterr().err
    assert "step 5: transformers gives no rollouts (ConnectionError" in said
    assert "the same command goes on from the last checkpoint" in said and "Traceback" not in said
    assert train(tmp_path, **REFRESHED) == 0
    assert "going on from samples_24" in capsys.readouterr().err
    assert_same(whole, tmp_path / "runs" / "tiny")


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_weights_of_the_one_that_was_not(
    whole: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, **REFRESHED)
    command = [str(Path(sys.executable).with_name("butwait")), "train", "grpo", str(recipe)]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "runs")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = tmp_path / "runs" / "tiny"
    deadline = time.monotonic() + 240
    while not (run / "checkpoints" / "samples_24").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "final").exists()
    assert train(tmp_path, **REFRESHED) == 0
    assert_same(whole, run)


def assert_same(whole: Path, resumed: Path) -> None:
    """The same weights, metrics and rollouts, but for times."""
    wanted, found = read_weights(whole / "final"), read_weights(resumed / "final")
    assert all(bool((wanted[name] == found[name]).all()) for name in wanted)
    keys = ("step", "samples", "loss", "grad_norm", "reward", "kl")
    lines = [read_lines(run / "metrics.jsonl") for run in (whole, resumed)]
    assert [[line[k] for k in keys] for line in lines[0]] == [
        [line[k] for k in keys] for line in lines[1]
    ]
    assert read_lines(whole / "rollouts.jsonl") == read_lines(resumed / "rollouts.jsonl")


def reward_as(monkeypatch: pytest.MonkeyPatch, rewards: list[float | None]) -> None:
    """Give the rollouts of a step these accuracies."""
    from butwait.trainer.rewards import Judge

    def accuracy(self: Any, prompts: Any, completion_ids: Any, **columns: Any) -> Any:
        for name in ("verdict", "extracted"):
            columns["log_extra"](f"accuracy/{name}", [None] * len(prompts))
        self._found = (rewards * len(prompts))[: len(prompts)]
        return self._found

    monkeypatch.setattr(Judge, "accuracy", accuracy)


def test_excluded_rollouts_do_not_count_in_their_group_whatever_else_they_earn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward_as(monkeypatch, [1.0, None, 0.0, 0.0, None, None, None, 1.0])
    trainer = build_trainer(tmp_path, rewards={"format": 0.5, "layout": "boxed", "length": 0.1})
    monkeypatch.setattr("butwait.trainer.rewards.format_reward", lambda text, layout: 1.0)
    monkeypatch.setattr("butwait.trainer.rewards.length_reward", lambda *_: 0.25)
    found = roll_out(trainer)["advantages"].tolist()
    scored = torch.tensor([1.0, 0.0, 0.0])
    first, *rest = ((scored - scored.mean()) / (scored.std() + 1e-4)).tolist()
    assert found == pytest.approx([first, 0.0, *rest, 0.0, 0.0, 0.0, 0.0], abs=1e-6)
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items() if values}
    assert metrics["rollouts/excluded"] == 0.5
    assert (metrics["groups/excluded"], metrics["groups/zero_variance"]) == (0.5, 0.0)


@pytest.mark.parametrize(
    "rewards", [[1.0], [None], [None] * 4 + [0.0] * 4, [1.0, None, None, None]]
)
def test_a_step_without_any_difference_leaves_the_weights_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rewards: list[float | None]
) -> None:
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float32).state_dict()
    reward_as(monkeypatch, rewards)
    changes = {"max_steps": 2, "save_every": None, "beta": 0.5}
    trainer = build_trainer(tmp_path, optimiser={"weight_decay": 0.1}, **changes)
    trainer.train()
    after = trainer.model.state_dict()
    assert all(bool((reference[name] == after[name]).all()) for name in reference)
    logged = [line for line in trainer.state.log_history if "groups/zero_variance" in line]
    assert len(logged) == 2
    assert all(line["groups/zero_variance"] + line["groups/excluded"] == 1 for line in logged)


def test_no_steps_gradient_depends_on_the_size_of_micro_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward_as(monkeypatch, [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    norms = {}
    for size in (1, 4, 8):
        folder = tmp_path / str(size)
        trainer = build_trainer(folder, micro_batch_size=size, max_steps=1, save_every=None)
        trainer.train()
        norms[size] = next(x["grad_norm"] for x in trainer.state.log_history if "grad_norm" in x)
    assert norms[1] == pytest.approx(norms[8], rel=1e-3)
    assert norms[4] == pytest.approx(norms[8], rel=1e-3)


def test_loss_types_weigh_tokens_as_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rollouts in one micro-batch: the loss at ratio 1 is minus the weighted advantage."""
    reward_as(monkeypatch, [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    for kind in ("grpo", "dr_grpo", "dapo"):
        trainer = build_trainer(tmp_path / kind, loss_type=kind, beta=0.0, micro_batch_size=8)
        batch = roll_out(trainer)
        trainer.current_gradient_accumulation_steps = 1
        loss = trainer._compute_loss(trainer.model, batch).item()
        sizes, advantages = batch["completion_mask"].sum(dim=1).float(), batch["advantages"]
        wanted = {
            "grpo": -advantages.mean(),
            "dr_grpo": -(advantages * sizes).sum() / (8 * 40),
            "dapo": -(advantages * sizes).sum() / sizes.sum(),
        }[kind]
        assert loss == pytest.approx(wanted.item(), abs=1e-5)


def test_a_flat_reward_ends_the_run_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    reward_as(monkeypatch, [1.0, 0.0])
    assert train(tmp_path, max_steps=30, stop_on_plateau={"window": 2}, save_every=None) == 0
    assert "plateau at step 4: mean reward 0.5000" in capsys.readouterr().err
    run = tmp_path / "runs" / "tiny"
    assert len(read_lines(run / "metrics.jsonl")) == 4 and (run / "final").is_dir()
    assert "ended early: plateau" in (run / "final" / "README.md").read_text("utf-8")
    assert '"stopped": "plateau at step 4' in (run / "manifest.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("redhat-feb", (5e-7, 40, 128, 64, 1.0, 0.04, 10, None, None)),
        ("redhat-apr", (2e-6, 10, 128, 32, 0.6, 0.001, 40, 8192, None)),
        ("r1", (3e-6, 0, 32, 16, 1.0, 0.001, 400, 32768, 10.0)),
    ],
)
def test_presets_hold_the_published_numbers(name: Any, numbers: tuple[Any, ...]) -> None:
    recipe = GrpoRecipe.model_validate({**START, "preset": name})
    assert numbers == (
        recipe.optimiser.learning_rate,
        recipe.optimiser.warmup_steps,
        recipe.batch_size,
        recipe.group_size,
        recipe.temperature,
        recipe.beta,
        recipe.sync_ref_every,
        recipe.max_completion_length,
        recipe.clip,
    )
    assert recipe.optimiser.schedule == "constant_with_warmup"
    assert recipe.loss_type == "grpo" and recipe.updates_per_batch == 1
    assert GrpoRecipe.model_validate({**START, "preset": name, "group_size": 8}).group_size == 8


def test_what_trl_would_choose_by_itself_is_chosen_by_us(tmp_path: Path) -> None:
    from butwait.trainer.grpo import NO_CLIP

    args = build_trainer(tmp_path, sync_ref_every=5).args
    assert (args.sync_ref_model, args.ref_model_sync_steps, args.ref_model_mixup_alpha) == (
        True,
        5,
        1.0,
    )
    assert args.use_bias_correction_kl is False and args.mask_truncated_completions is False
    assert (args.top_k, args.top_p, args.repetition_penalty, args.num_iterations) == (0, 1, 1, 1)
    assert args.epsilon == args.epsilon_high == NO_CLIP and args.delta is None
    assert args.steps_per_generation == args.gradient_accumulation_steps == 2
    assert args.gradient_checkpointing is False and args.bf16 is False


def test_several_updates_share_their_rollouts_and_clip_the_ratio(tmp_path: Path) -> None:
    changes = {**LIVELY, "updates_per_batch": 2, "clip": 0.001, "save_every": 2, "max_steps": 4}
    assert train(tmp_path, **changes) == 0
    run = tmp_path / "runs" / "tiny"
    found = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert found == ["samples_16", "samples_8"]
    assert sorted({one["step"] for one in read_lines(run / "rollouts.jsonl")}) == [1, 3]
    clipped = [line["clip_ratio/region_mean"] for line in read_lines(run / "metrics.jsonl")]
    assert clipped[0] == clipped[2] == 0 and clipped[1] > 0 and clipped[3] > 0


def test_adapters_learn_and_are_merged_into_a_final_folder_that_stands_alone(
    tmp_path: Path,
) -> None:
    model = {"id": str(POLICY), "lora": {"r": 4, "alpha": 64}}
    assert train(tmp_path, **LIVELY, model=model, max_steps=3) == 0
    run = tmp_path / "runs" / "tiny"
    merged, before = read_weights(run / "final"), read_weights(POLICY)
    assert set(merged) == set(before)
    assert any(not bool((merged[name] == before[name]).all()) for name in before)
    assert read_lines(run / "metrics.jsonl")[-1]["kl"] > 0


def test_the_reference_becomes_the_policy_when_it_is_refreshed(whole: Path) -> None:
    kl = [line["kl"] for line in read_lines(whole / "metrics.jsonl")]
    assert kl[2] == pytest.approx(0, abs=1e-6) and kl[1] > 1e-6 and kl[3] > 1e-6


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"rows": []}, 2, "rows.jsonl"),
        ({"rows": [{**make_rows(1)[0], "answer": "proof"}]}, 2, "1 answer cannot be checked"),
        ({"rows": [{"prompt": "2 + 2?", "gold": "4"}]}, 2, "needed: prompt and answer"),
        ({"rows": [{"prompt": [{"role": "user"}], "answer": "4"}]}, 2, "neither a text nor"),
        ({"batch_size": 9}, 2, "larger than the dataset: 8 questions"),
        (
            {"data": {"path": "rows.jsonl", "min_pass_rate": 0.65}, "batch_size": 4},
            2,
            "1 questions",
        ),
        ({"max_completion_length": 512}, 2, "context of 512 tokens"),
        ({"rollouts": {"engine": "vllm_server"}}, 2, "'url' belongs to engine vllm_server"),
        ({"rollouts": {"engine": "vllm_colocate"}}, 2, "rollouts.engine vllm_colocate"),
        (
            {"rollouts": {"engine": "vllm_server", "url": "http://localhost:9"}},
            2,
            "engine: transformers",
        ),
        ({"rewards": {"accuracy": 0}}, 2, "all rewards have weight 0"),
        (
            {**LIVELY, "optimiser": {"learning_rate": 1e38, "warmup_steps": 0}},
            1,
            "step 2: transformers gives no rollouts",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(
    tmp_path: Path, capsys: Any, changes: Any, code: int, said: str
) -> None:
    assert train(tmp_path, **changes) == code
    found = capsys.readouterr().err
    assert said in found and "Traceback" not in found


def test_a_server_that_does_not_answer_is_named() -> None:
    from butwait.schemas.errors import ConfigError
    from butwait.trainer.grpo import check_server

    with pytest.raises(ConfigError, match=r"http://127.0.0.1:9 does not answer.*vllm serve"):
        check_server("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "changes",
    [
        {"sync_ref_every": 5, "beta": 0},
        {"clip_high": 0.3},
        {"updates_per_batch": 2, "save_every": 3},
        {"stop_on_plateau": {"window": 5}, "log_every": 2},
        {"evolution": {"phrases": ["Wait!", " "]}},
        {"sync_ref_every": 5, "model": {"id": "m", "lora": {}}},
    ],
)
def test_recipes_that_contradict_themselves_are_refused(changes: Any) -> None:
    with pytest.raises(ValidationError):
        GrpoRecipe.model_validate({**START, **changes})


def test_questions_come_in_whole_batches_and_every_epoch_in_another_order() -> None:
    from butwait.trainer.group_trainer import QuestionOrder

    order = QuestionOrder(5, seed=1, batch_size=2, group=3, repeats=2)
    epochs = []
    for epoch in range(2):
        order.set_epoch(epoch)
        epochs.append(list(order))
    for found in epochs:
        assert len(found) == len(order) == 24
        assert found[:6] == found[6:12] and found[0] == found[2] and found[3] == found[5]
        assert len(set(found)) == 4
    assert epochs[0] != epochs[1]


def test_windows_are_compared_when_the_second_one_is_full() -> None:
    from butwait.trainer.group_trainer import compare_windows

    rewards = [(n, n / 10) for n in range(1, 9)]
    assert compare_windows(rewards, 3, 2) is None and compare_windows(rewards, 2, 2) is None
    assert compare_windows(rewards, 8, 2) == pytest.approx((0.55, 0.75))
    assert PlateauSpec().min_gain == 0.0


def test_weights_that_are_cast_once_a_rollout_train_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from butwait.trainer.group_trainer import GroupTrainer

    model = {"id": str(POLICY), "precision": "bfloat16"}
    assert train(tmp_path / "once", **LIVELY, max_steps=2, model=model) == 0
    monkeypatch.setattr(GroupTrainer, "_cast_once", lambda self: contextlib.nullcontext())
    assert train(tmp_path / "each", **LIVELY, max_steps=2, model=model) == 0
    assert_same(tmp_path / "once/runs/tiny", tmp_path / "each/runs/tiny")
