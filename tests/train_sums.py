"""What tests of training share: small sums as rows, runs that are killed, weights to compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from butwait.trainer.options import TrainOptions
from butwait.trainer.pocket.model import CHECKPOINTS

POLICY = str(CHECKPOINTS / "policy")
Train = Callable[[Any, TrainOptions], dict[str, Any]]


class Killed(BaseException):
    """Stands for a kill in the middle of a run."""


def make_options(folder: Path, **more: Any) -> TrainOptions:
    """Options of a run below a test's folder; what it says is kept in ``more['said']``."""
    said = more.pop("said", [])
    text = more.pop("recipe_text", "name: test\n")
    return TrainOptions(base=folder, out=folder, recipe_text=text, say=said.append, **more)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    """Write rows as JSON Lines; gives the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def kill_after_first_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the run when its first checkpoint is whole."""
    from butwait.trainer.loop import Watched

    save = Watched._save_checkpoint

    def save_and_die(self: Any, model: Any, trial: Any) -> None:
        save(self, model, trial)
        raise Killed

    monkeypatch.setattr(Watched, "_save_checkpoint", save_and_die)


def train_with_a_kill(train: Train, recipe: Any, folder: Path) -> tuple[Path, Path]:
    """Train in one go, and again with a kill in between; gives both final folders."""
    whole, cut = folder / "whole", folder / "cut"
    train(recipe, make_options(whole))
    options = make_options(cut)
    with pytest.MonkeyPatch.context() as patch:
        kill_after_first_checkpoint(patch)
        with pytest.raises(Killed):
            train(recipe, options)
    assert not (cut / recipe.name / "final").exists()
    train(recipe, options)
    return whole / recipe.name / "final", cut / recipe.name / "final"


def step_rows(n_questions: int = 6) -> list[dict[str, Any]]:
    """Solutions of small sums in two steps, two right and two wrong ones a question."""
    rows = []
    for q in range(n_questions):
        a, b, c = 10 + q, 3 + q, 20
        for k, (slip, last) in enumerate([(0, 0), (0, 2), (1, 0), (2, 0)]):
            first, second = a + b + slip, a + b + slip + c + last
            labels = [slip == 0, slip == last == 0]
            rows.append(
                {
                    "id": f"q{q}-{k}",
                    "question_id": f"q{q}",
                    "prompt": f"Compute {a} + {b} + {c}.",
                    "completions": [f"Step 1: {a} + {b} = {first}", f"Answer: \\boxed{{{second}}}"],
                    "labels": labels,
                    "values": [1.0 if labels[0] else 0.25, float(labels[1])],
                    "separator": "\n\n",
                }
            )
    return rows


def pair_rows(n: int = 12) -> list[dict[str, Any]]:
    """Pairs that share a first step, the better one right."""
    rows = []
    for q in range(n):
        a, b, c = 10 + q, 3 + q, 20
        head = f"Step 1: {a} + {b} = {a + b}\n\n"
        tails = [f"Step 2: {a + b} + {c} = {a + b + c + slip}" for slip in (0, 3)]
        rows.append(
            {
                "id": f"pair-{q}",
                "prompt": [{"role": "user", "content": f"Compute {a} + {b} + {c}."}],
                "chosen": [{"role": "assistant", "content": head + tails[0]}],
                "rejected": [{"role": "assistant", "content": head + tails[1]}],
                "prefix_characters": len(head),
            }
        )
    return rows
