"""The model card: what was trained, on which rows, how; and what an evaluation found, if any.

Text from recipes and datasets is quoted as code, so that it cannot become markup.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import yaml

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_train import TrainRecipe
from butwait.trainer.folder import TrainFolder

TITLES = {
    "sft": "supervised fine-tuning",
    "grpo": "GRPO",
    "dpo": "DPO",
    "prm": "a process reward model",
}


REPO_PLACEHOLDER = "OWNER/NAME"
"""Stands in the card until the model has a repository; `butwait push` puts the name there."""
SMALL_SAMPLES = 1000
LICENCES = frozenset({"apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "odc-by"})
"""Licences of rows that the Hub knows by these names."""
EVALUATION = "## Evaluation\n"


def write_card(folder: TrainFolder, recipe: TrainRecipe, manifest: dict[str, Any]) -> None:
    """Write ``final/README.md``.

    An ``evaluation.json`` in the run folder becomes the evaluation block: a list of records with
    ``name``, ``value``, ``low`` and ``high``.
    """
    front = yaml.safe_dump(_front(recipe, manifest), sort_keys=False, allow_unicode=True)
    start = recipe.model
    parts = [
        f"---\n{front}---\n",
        f"# {recipe.name}\n",
        f"{_code(_spell_place(start.id))} (revision {_code(start.revision or 'not pinned')}) after "
        f"{TITLES[manifest['kind']]} with butwait: "
        f"{manifest['steps']} optimiser steps, {manifest['samples']} samples, "
        f"seed {recipe.seed}.\n",
        *_explain_loading(manifest["kind"]),
        *_describe_data(manifest),
        *_describe_evaluation(folder.root),
        *_explain_limits(manifest),
        "## Recipe\n",
        f"```yaml\n{_spell_recipe(folder.recipe.read_text('utf-8'))}```\n",
        "## Versions\n",
        *(f"- {name} {version}" for name, version in manifest["versions"].items()),
        "",
    ]
    folder.write(folder.final / "README.md", "\n".join(parts))


def renew_evaluation(root: Path) -> None:
    """Put what ``evaluation.json`` says now into the card of a finished run.

    Args:
        root: The run folder.

    Raises:
        ConfigError: The file is not a list of records with name, value, low and high.
    """
    path = root / "final" / "README.md"
    try:
        card = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return  # the push says what is missing
    before, mark, after = card.partition(f"\n{EVALUATION}")
    if not mark:
        return
    _, following, rest = after.partition("\n## ")
    block = "\n".join(_describe_evaluation(root))
    path.write_text(f"{before}\n{block}{following}{rest}", "utf-8")


def _front(recipe: TrainRecipe, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the card's metadata as the Hub reads it."""
    is_hub = not recipe.model.id.startswith((".", "/", "~"))
    tags = ["butwait", manifest["kind"]]
    if manifest["data"].get("r1_derived") == "yes":
        tags.append("r1-derived")
    front: dict[str, Any] = {"library_name": "transformers", "tags": tags}
    licences = (manifest["data"].get("licences") or "").split(", ")
    if len(licences) == 1 and licences[0] in LICENCES and not is_hub:
        front["license"] = licences[0]
    else:
        front |= {"license": "other", "license_name": "see-base-model-and-data"}
    if is_hub:
        front["base_model"] = recipe.model.id
    if recipe.data.hub is not None:
        front["datasets"] = [recipe.data.hub]
    if manifest["kind"] != "prm":
        front["pipeline_tag"] = "text-generation"
    return front


def _explain_loading(kind: str) -> list[str]:
    if kind == "prm":
        return ["## Load it\n", f"```sh\nvllm serve {REPO_PLACEHOLDER} --runner pooling\n```\n"]
    code = [
        "from transformers import pipeline",
        "",
        f'ask = pipeline("text-generation", "{REPO_PLACEHOLDER}")',
        'question = [{"role": "user", "content": "What is 12 + 30?"}]',
        'print(ask(question, max_new_tokens=512)[0]["generated_text"][-1]["content"])',
    ]
    return ["## Load it\n", "```python", *code, "```\n"]


def _explain_limits(manifest: dict[str, Any]) -> list[str]:
    lines = [
        "- It was trained on questions with checkable answers; elsewhere it may be worse than the "
        "model it started from.",
        "- Its text may doubt itself without cause, and a right final answer does not prove the "
        "steps before it.",
        "- Errors and bias of the model it started from and of the rows stay.",
    ]
    if manifest["samples"] < SMALL_SAMPLES:
        lines.append(f"- It saw {manifest['samples']} samples: a trial, not a result.")
    return ["## Known limits\n", *lines, ""]


def _spell_place(text: str) -> str:
    """Return a Hub id as it is and of a local path its last part: no path of this machine."""
    return text if not text.startswith((".", "/", "~")) else PurePath(text).name or "local"


def _spell_recipe(text: str) -> str:
    recipe = yaml.safe_load(text)
    for section, keys in (("model", ("id", "chat_template")), ("data", ("run", "path"))):
        part = recipe.get(section) or {}
        for key in keys:
            if isinstance(part.get(key), str):
                part[key] = _spell_place(part[key])
    spelled = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    return spelled.replace("```", "` ` `")


def _spell(value: object) -> str:
    """Return a number as it is, anything else as code."""
    return str(value) if isinstance(value, (int, float)) else _code(value)


def _code(text: object) -> str:
    """Return one line of code that no text can leave."""
    line = " ".join(str(text).replace("`", "'").replace("|", "/").split())[:200]
    return f"`{line}`"


def _describe_data(manifest: dict[str, Any]) -> list[str]:
    data, gate = manifest["data"], manifest.get("gate", {})
    rows = (
        f"{data['hub']} ({data['config']})" if data.get("hub") else _spell_place(str(data["from"]))
    )
    lines = ["## Data\n", f"- rows: {_code(rows)}", f"- revision: {_code(data['revision'])}"]
    lines.append(f"- licences of the rows: {_code(data.get('licences') or 'not stated')}")
    lines.append(f"- derived from DeepSeek-R1: {data.get('r1_derived') or 'not stated'}")
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


def _describe_evaluation(root: Path) -> list[str]:
    path = root / "evaluation.json"
    if not path.is_file():
        return [EVALUATION, "None yet: nothing is claimed for this model.\n"]
    try:
        rows = [
            f"| {_code(row['name'])} | {value} | [{low}, {high}] |"
            for row in json.loads(path.read_text("utf-8"))
            for value, low, high in [[_spell(row[key]) for key in ("value", "low", "high")]]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a list of records with name, value, low and high ({error!r}); mend "
            "or remove it"
        ) from error
    return [EVALUATION, "| | value | 95 % interval |", "| --- | --- | --- |", *rows, ""]
