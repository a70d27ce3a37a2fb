"""``butwait train`` with the settings of a job: our side of the comparison.

On a GPU it is run by this module, with a callback in the loop that watches the GPU:

    python -m benchmarks.train.ours watch.json train sft recipe.yaml --out runs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.train.jobs import WARM_UP, Job, count_tokens
from benchmarks.train.process import run


def time_ours(job: Job, folder: Path, name: str) -> dict[str, Any]:
    """Train; seconds of the loop, its steps, and tokens that went through."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(make_recipe(job, name)), "utf-8")
    arguments = ["train", job.kind, str(path), "--out", str(folder)]
    if job.on_gpu:
        run([sys.executable, "-m", "benchmarks.train.ours", job.watch, *arguments])
    else:
        run([str(Path(sys.executable).with_name("butwait")), *arguments])
    done = folder / name
    lines = [json.loads(x) for x in (done / "metrics.jsonl").read_text("utf-8").splitlines()]
    if job.on_gpu:
        found = json.loads(Path(job.watch).read_text("utf-8"))
        tokens = count_tokens(job, lines, WARM_UP)
        return {**found, "steps": job.steps - WARM_UP, "tokens": tokens}
    seconds = json.loads((done / "manifest.json").read_text("utf-8"))["loop_s"]
    return {"seconds": seconds, "steps": job.steps, "tokens": count_tokens(job, lines)}


def make_recipe(job: Job, name: str) -> dict[str, Any]:
    """Write a job as a recipe."""
    recipe: dict[str, Any] = {
        "name": name,
        "seed": job.seed,
        "model": {"id": job.model},
        "data": {"path": job.rows},
        "batch_size": job.batch,
        "micro_batch_size": job.micro,
        "max_steps": job.steps,
        "optimiser": {
            "learning_rate": job.learning_rate,
            "schedule": "constant",
            "warmup_steps": 0,
            "betas": [0.9, 0.999],
        },
    }
    if job.kind == "sft":
        return recipe | {"max_length": 2048}
    return recipe | {
        "group_size": job.group,
        "max_completion_length": job.longest,
        "temperature": job.temperature,
        "beta": job.beta,
        # Cut rollouts count, and their length too: a model of random weights ends few and has no
        # right answer, and a step without any difference between rewards would cost no update.
        "rewards": {"accuracy": 1.0, "format": 0.2, "layout": "boxed", "truncated": 0.0}
        | ({"length": 0.1} if job.on_gpu else {}),
    }


def main(watch: str, arguments: list[str]) -> int:
    """Run the command with the watch in its loop."""
    from transformers import trainer

    from benchmarks.train.watch import GpuWatch
    from butwait.pipelines.cli import run_command

    trainer.DEFAULT_CALLBACKS.append(GpuWatch(watch))  # what every trainer starts with
    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
