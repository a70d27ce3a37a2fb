"""Questions, recipes and trainers for the tests of GRPO: the pocket policy on pocket questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
POLICY = ROOT / "trainer/pocket/checkpoints/policy"
ASK = "Please reason step by step, and put your final answer within \\boxed{}."
TINY = {
    "name": "tiny",
    "model": {"id": str(POLICY)},
    "data": {"path": "rows.jsonl"},
    "batch_size": 2,
    "group_size": 4,
    "micro_batch_size": 4,
    "max_completion_length": 40,
    "max_steps": 6,
    "save_every": 3,
    "report_to": [],
    "optimiser": {"learning_rate": 2e-4, "warmup_steps": 0},
}


def make_rows(n: int = 8) -> list[dict[str, Any]]:
    """The first pocket questions, as rows for reinforcement learning."""
    lines = (ROOT / "pipelines/pocket/data/train.jsonl").read_text("utf-8").splitlines()[:n]
    rows = []
    for number, line in enumerate(map(json.loads, lines)):
        prompt = [
            {"role": "system", "content": ASK},
            {"role": "user", "content": line["problem"]},
        ]
        rows.append(
            {
                "id": f"q{number}",
                "prompt": prompt,
                "problem": line["problem"],
                "answer": line["solution"].rpartition("{")[2].rstrip("}"),
                "pass_rate": number / 10,
            }
        )
    return rows


def write_recipe(folder: Path, rows: list[Any] | None = None, **changes: Any) -> Path:
    """A run of six steps of two questions with four rollouts each."""
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in (make_rows() if rows is None else rows))
    (folder / "rows.jsonl").write_text(lines, "utf-8")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(TINY | changes), "utf-8")
    return path


def train(folder: Path, *more: str, **changes: Any) -> int:
    """Run the command; its exit code."""
    from butwait.pipelines.cli import run_command

    path = write_recipe(folder, **changes)
    return run_command(["train", "grpo", str(path), "--out", str(folder / "runs"), *more])


def build_trainer(folder: Path, **changes: Any) -> Any:
    """The trainer of a recipe, before its first step."""
    from butwait.pipelines.recipe_file import check_recipe, dump_recipe, read_document
    from butwait.schemas.recipe_grpo import GrpoRecipe
    from butwait.trainer import grpo
    from butwait.trainer.options import TrainOptions
    from butwait.trainer.run import Run

    path = write_recipe(folder, **changes)
    recipe = check_recipe(read_document(path), str(path), GrpoRecipe)
    options = TrainOptions(folder, folder / "runs", dump_recipe(recipe), say=lambda line: None)
    run = Run.open(recipe, options, kind="grpo")
    trainer = grpo._make_trainer(recipe, options, grpo.prepare(recipe, options), run)
    trainer.model.train()
    return trainer


def roll_out(trainer: Any) -> dict[str, Any]:
    """What TRL makes of the first step's rollouts."""
    order = iter(trainer._get_train_sampler())
    n = trainer.args.generation_batch_size
    found: dict[str, Any] = trainer._generate_and_score_completions(
        [trainer.train_dataset[next(order)] for _ in range(n)]
    )
    return found


def read_weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
