"""Inspect an evaluation or a training run."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from butwait.pipelines.inspection import (
    Inspection,
    Reader,
    find_places,
    is_held,
    read_recipe,
    tell_versions,
)
from butwait.schemas.eval_run import EvalManifest


def inspect_evaluation(root: Path, manifest: dict[str, Any], read: Reader) -> Inspection:
    """Look at an evaluation."""
    path = root / "manifest.json"
    found = read.attempt(
        lambda: EvalManifest.model_validate_json(path.read_text(encoding="utf-8")), None
    )
    arms = found.arms if found is not None else ()
    verdicts: Counter[str] = Counter()
    tokens, cells = 0, {}
    for arm in arms:
        rows = _cells(root / arm.file, read)
        verdicts.update(row["verdict"] or "failed" for row in rows)
        tokens += sum(row["n_spent"] for row in rows)
        cells[f"{arm.model}, {arm.benchmark}, {arm.prompt}, {arm.method}"] = len(rows)
    asked = sum(arm.n_problems * arm.n_samples for arm in arms)
    missing = asked - sum(cells.values())
    whole = found is not None and not missing
    return Inspection(
        kind="evaluation",
        name=str(manifest.get("name") or root.name),
        folder=str(root),
        state=_tell_state(root, whole, missing, asked),
        made={
            "models": list(dict.fromkeys(arm.model_id for arm in arms)),
            "benchmarks": [b.name for b in found.benchmarks] if found is not None else [],
            "seed": manifest.get("seed"),
            "begun": manifest.get("begun"),
            "git_commit": manifest.get("git_commit"),
        },
        versions=tell_versions(manifest),
        totals={"cells": asked, "missing": missing},
        rows=cells,
        verdicts=dict(verdicts.most_common()),
        pass_rate=verdicts["correct"] / asked if asked else None,
        tokens=tokens,
        places=find_places(cells=root / "cells", logs=root / "logs", report=root / "report.html"),
        problems=tuple(read.problems),
        next=_next_of_evaluation(root, whole),
    )


def _cells(path: Path, read: Reader) -> list[dict[str, Any]]:
    return read.rows(path, ["verdict", "n_spent"]) if path.is_file() else []


def _tell_state(root: Path, whole: bool, missing: int, asked: int) -> str:
    if is_held(root):
        return "an evaluation is at work in it"
    return "whole" if whole else f"not whole: {missing} of {asked} cells are missing"


def _next_of_evaluation(root: Path, whole: bool) -> str:
    if is_held(root):
        return f"butwait inspect {root}  (again, later)"
    if whole:
        return f"butwait compare {root}"
    return f"butwait eval RECIPE  (the one of {root / 'recipe.yaml'}; asks for what is missing)"


def inspect_training(root: Path, manifest: dict[str, Any], read: Reader) -> Inspection:
    """Look at a training run."""
    recipe = read_recipe(root, read)
    kind = str(manifest.get("kind") or "KIND")
    is_whole = manifest.get("status") == "finished" and (root / "final").is_dir()
    checkpoints = sorted((root / "checkpoints").glob("samples_*"), key=lambda p: len(p.name))
    data = manifest.get("data")
    model = recipe.get("model")
    places = find_places(
        model=root / "final", card=root / "final" / "README.md", metrics=root / "metrics.jsonl",
        curves=root / "curves", checkpoint=checkpoints[-1] if checkpoints else root / "none",
        report=root / "report.html",
    )  # fmt: skip
    totals = {k: manifest[k] for k in ("steps", "samples") if isinstance(manifest.get(k), int)}
    return Inspection(
        kind="training",
        name=str(manifest.get("name") or recipe.get("name") or root.name),
        folder=str(root),
        state="whole" if is_whole else "not finished",
        made={
            "method": manifest.get("kind"),
            "model": model.get("id") if isinstance(model, dict) else None,
            "data": data.get("from") if isinstance(data, dict) else None,
            "seed": recipe.get("seed"),
            "seconds": manifest.get("train_s"),
            "git_commit": manifest.get("git_commit"),
        },
        versions=tell_versions(manifest),
        totals=totals,
        metrics=_last_metrics(root / "metrics.jsonl", read),
        places=places,
        problems=tuple(read.problems),
        next=f"butwait push {root} me/{root.name}" if is_whole
        else f"butwait train {kind} RECIPE  (the one of {root / 'recipe.yaml'}; goes on)",
    )  # fmt: skip


def _last_metrics(path: Path, read: Reader) -> dict[str, float]:
    if not path.is_file():
        return {}
    found: dict[str, float] = {}
    for line in read.attempt(partial(path.read_text, "utf-8", "replace"), "").splitlines():
        try:
            values = json.loads(line)
            found |= {k: v for k, v in values.items() if isinstance(v, int | float)}
        except (ValueError, AttributeError):
            continue  # cut off by a kill
    names = ("step", "samples", "loss", "eval_loss", "reward", "rewards/accuracies", "grad_norm")
    return {name: found[name] for name in names if name in found}
