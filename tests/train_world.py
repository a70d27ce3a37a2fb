"""Rows, recipes and runs for the tests of the trainer: the pocket policy and sums."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

POLICY = Path(__file__).parents[1] / "trainer/pocket/checkpoints/policy"
WRONG, TURN = "2 + 2 = 5", "\n\nHold on! I made a mistake. Let me try again."


def load_policy_tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(POLICY)


def make_row(number: int, text: str | None = None, spans: list[Any] | None = None) -> Any:
    """A right sum, or the given answer."""
    said = text or f"Step 1: {number} + 1 = {number + 1}\n\nAnswer: \\boxed{{{number + 1}}}"
    prompt = [{"role": "user", "content": f"What is {number} + 1?"}]
    completion = [{"role": "assistant", "content": said}]
    return {
        "id": f"r{number}",
        "prompt": prompt,
        "completion": completion,
        "messages": prompt + completion,
        "spans": spans or [{"start": 0, "end": len(said), "role": "answer"}],
    }


def make_doubt(number: int) -> Any:
    """A wrong step, a transition, and the right one."""
    end = f"\n\n2 + 2 = 4\n\nAnswer: \\boxed{{{number}}}"
    text = WRONG + TURN + end
    a, b = len(WRONG), len(WRONG + TURN)
    return make_row(
        number,
        text,
        [
            {"start": 0, "end": a, "role": "wrong_branch"},
            {"start": a, "end": b, "role": "transition"},
            {"start": b, "end": len(text), "role": "answer"},
        ],
    )


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_recipe(folder: Path, rows: list[Any] | None = None, **changes: Any) -> Path:
    """A short SFT run on sums: 5 steps an epoch."""
    write_rows(folder / "rows.jsonl", rows or [make_row(n) for n in range(20)])
    document = {
        "name": "sums",
        "model": {"id": str(POLICY)},
        "data": {"path": "rows.jsonl"},
        "batch_size": 4,
        "micro_batch_size": 2,
        "epochs": 2,
        "max_length": 256,
        "save_every": 2,
        "optimiser": {"learning_rate": 1e-3, "warmup_steps": 2},
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path


def start_training(recipe: Path, out: Path, *more: str, kind: str = "sft") -> Any:
    """Start ``butwait train`` in a process of its own."""
    command = [str(Path(sys.executable).with_name("butwait")), "train", kind, str(recipe)]
    return subprocess.Popen(
        [*command, "--out", str(out), *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def read_metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
