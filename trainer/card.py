"""The model card: what was trained, on which rows, how; and what an evaluation found, if any.

Text from recipes and datasets is quoted as code, so that it cannot become markup.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from butwait.schemas.recipe_train import TrainRecipe
from butwait.trainer.folder import TrainFolder

TITLES = {
    "sft": "supervised fine-tuning",
    "grpo": "GRPO",
    "dpo": "DPO",
    "prm": "a process reward model",
}


def write_card(folder: TrainFolder, recipe: TrainRecipe, manifest: dict[str, Any]) -> None:
    """Write ``final/README.md``.

    An ``evaluation.json`` in the run folder becomes the evaluation block: a list of records with
    ``name``, ``value``, ``low`` and ``high``.
    """
    front = yaml.safe_dump(_front(recipe, manifest), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{front}---\n",
        f"# {recipe.name}\n",
        f"`{recipe.model.id}` after {TITLES[manifest['kind']]} with butwait: "
        f"{manifest['steps']} optimiser steps, {manifest['samples']} samples.\n",
        *_describe_data(manifest),
        *_describe_evaluation(folder),
        "## Recipe\n",
        f"```yaml\n{folder.recipe.read_text('utf-8').replace('```', '` ` `')}```\n",
        "## Versions\n",
        *(f"- {name} {version}" for name, version in manifest["versions"].items()),
        "",
    ]
    folder.write(folder.final / "README.md", "\n".join(parts))


def _front(recipe: TrainRecipe, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the card's metadata as the Hub reads it."""
    is_hub = not recipe.model.id.startswith((".", "/", "~"))
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["butwait", manifest["kind"]]}
    if is_hub:
        front["base_model"] = recipe.model.id
    if recipe.data.hub is not None:
        front["datasets"] = [recipe.data.hub]
    if manifest["kind"] != "prm":
        front["pipeline_tag"] = "text-generation"
    return front


def _describe_data(manifest: dict[str, Any]) -> list[str]:
    data, gate = manifest["data"], manifest.get("gate", {})
    lines = ["## Data\n", f"- rows: `{data['from']}`", f"- revision: `{data['revision']}`"]
    if gate:
        what = "tokens of prompts" if manifest["kind"] == "grpo" else "tokens"
        lines.append(f"- trained on {gate['kept']} of {gate['rows']} rows, {gate['tokens']} {what}")
        left = {name: n for name, n in gate["findings"].items() if n}
        if left:
            lines.append(
                f"- the gate found: {', '.join(f'{n} {name}' for name, n in left.items())}"
            )
    for reason, n in manifest.get("dropped", {}).items():
        lines.append(f"- left out: {n} ({reason})")
    if "stopped" in manifest:
        lines.append(f"- ended early: {manifest['stopped']}")
    return [*lines, ""]


def _describe_evaluation(folder: TrainFolder) -> list[str]:
    path = folder.root / "evaluation.json"
    if not path.is_file():
        return ["## Evaluation\n", "None yet: nothing is claimed for this model.\n"]
    rows = json.loads(path.read_text("utf-8"))
    lines = ["## Evaluation\n", "| | value | 95 % interval |", "| --- | --- | --- |"]
    lines += [f"| {r['name']} | {r['value']} | [{r['low']}, {r['high']}] |" for r in rows]
    return [*lines, ""]
