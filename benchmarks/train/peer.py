"""TRL used directly with the settings of a job: the other side of the comparison.

Rows are rendered, tokenized and masked by TRL itself. One JSON line with its figures is printed.

    python -m benchmarks.train.peer '{"kind": "sft", "model": "...", "rows": "rows.jsonl", ...}'
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.train.jobs import WARM_UP, Job, count_tokens
from benchmarks.train.process import run

_BOX = re.compile(r"\\boxed\{([^{}]*)\}")


def time_peer(job: Job) -> dict[str, Any]:
    """Train by TRL alone in a process of its own; as ``time_ours``."""
    said = run([sys.executable, "-m", "benchmarks.train.peer", job.to_json()])
    line = next(line for line in said.splitlines() if line.startswith("RESULT "))
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


def share_arguments(job: Job, folder: str) -> dict[str, Any]:
    """Return the arguments of both trainers."""
    import torch

    on_gpu = torch.cuda.is_available()  # a rehearsal of the GPU's jobs has none
    return {
        "output_dir": folder,
        "max_steps": job.steps,
        "per_device_train_batch_size": job.micro,
        "gradient_accumulation_steps": job.sequences // job.micro,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
        "gradient_checkpointing": False,
        "report_to": ["tensorboard"],
        "disable_tqdm": True,
        "dataloader_pin_memory": on_gpu,
        "seed": job.seed,
    }


def make_sft(job: Job, folder: str, rows: Any, loaded: dict[str, Any]) -> Any:
    """Make TRL's trainer for supervised fine-tuning."""
    from trl import SFTConfig, SFTTrainer

    arguments = SFTConfig(**share_arguments(job, folder), max_length=None)
    rows = rows.select_columns(["prompt", "completion"])
    return SFTTrainer(args=arguments, train_dataset=rows, **loaded)


def make_grpo(job: Job, folder: str, rows: Any, loaded: dict[str, Any]) -> Any:
    """Make TRL's trainer for GRPO."""
    from trl import GRPOConfig, GRPOTrainer

    # Questions differ in length: TRL gets them in the order of our first epoch.
    rows = rows.select(np.random.default_rng([job.seed, 0]).permutation(len(rows)))
    arguments = GRPOConfig(
        **share_arguments(job, folder),
        num_generations=job.group,
        max_completion_length=job.longest,
        temperature=job.temperature,
        beta=job.beta,
        loss_type="grpo",
        shuffle_dataset=False,
    )
    return GRPOTrainer(args=arguments, train_dataset=rows, reward_funcs=reward_box, **loaded)


def reward_box(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """1 where the last box holds the answer's text, else 0: what one writes in three lines."""
    boxes = [_BOX.findall(turns[0]["content"]) for turns in completions]
    return [
        float(bool(found) and found[-1].strip() == gold)
        for found, gold in zip(boxes, answer, strict=True)
    ]


def train(job: Job) -> dict[str, Any]:
    """Train; seconds of the loop, its steps, and tokens that went through."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = load_dataset("json", data_files=job.rows, split="train")
    loaded = {
        "model": AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32),
        "processing_class": AutoTokenizer.from_pretrained(job.model),
    }
    with tempfile.TemporaryDirectory() as folder:
        make = {"sft": make_sft, "grpo": make_grpo}[job.kind]
        trainer = make(job, folder, rows, loaded)
        if job.on_gpu:
            from benchmarks.train.watch import GpuWatch

            trainer.add_callback(GpuWatch(job.watch))
        result = trainer.train()
    lines = trainer.state.log_history
    if job.on_gpu:
        found = json.loads(Path(job.watch).read_text("utf-8"))
        tokens = count_tokens(job, lines, WARM_UP)
        return {**found, "steps": job.steps - WARM_UP, "tokens": tokens}
    seconds = result.metrics["train_runtime"]
    return {"seconds": seconds, "steps": job.steps, "tokens": count_tokens(job, lines)}


if __name__ == "__main__":
    print("RESULT " + json.dumps(train(Job(**json.loads(sys.argv[1])))))
