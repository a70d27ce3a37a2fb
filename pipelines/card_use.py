"""The part of a dataset card that says how to use it: load, train, limits, citation.

The snippets run as they stand once the repository has its name; a test runs them. Names from
recipes go into code only where they are plain identifiers of a repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from butwait.pipelines.hub.access import is_repo_name
from butwait.pipelines.markdown import escape_inline, fence_text
from butwait.pipelines.shards import ConfigFiles

REPO_PLACEHOLDER = "OWNER/NAME"
"""Stands in the card until the dataset has a repository."""
SOME_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
"""Named in snippets where the sampled model is not one of the Hub."""
SNIPPETS = ('load_dataset("{}"', "  hub: {}\n", "/datasets/{}}}")
"""Where the repository's name stands in a card."""
KINDS = (
    ("sft", ("messages",)),
    ("dpo", ("chosen", "rejected")),
    ("prm", ("completions", "labels")),
    ("grpo", ("problem", "answer")),
)
"""``butwait train`` command by the columns of a configuration."""
SMALL_ROWS = 1000


def name_repo(card: str, repo_id: str) -> str:
    """Return a card with the repository's name in its snippets."""
    for snippet in SNIPPETS:
        card = card.replace(snippet.format(REPO_PLACEHOLDER), snippet.format(repo_id))
    return card


def explain_loading(configs: Sequence[ConfigFiles]) -> Iterator[str]:
    """Yield how to load every configuration."""
    lines = ["from datasets import load_dataset", ""]
    for config in configs:
        for split in config.splits:
            variable = re.sub(r"\W", "_", config.name if config.name != "default" else "rows")
            lines.append(
                f'{variable} = load_dataset("{REPO_PLACEHOLDER}", "{config.name}", split="{split}")'
            )
    yield "## Load it"
    yield fence_text("\n".join(lines), "python")
    yield 'Pin what you train on: `revision="<commit>"`. For a quick look: `streaming=True`.'


def explain_training(configs: Sequence[ConfigFiles], manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield how to train on it: with TRL alone, and a recipe for each kind of configuration."""
    sampled = manifest.get("model") or {}
    is_local = str(sampled.get("revision")).startswith("sha256:")
    named = str(sampled.get("id"))
    model = named if is_repo_name(named) and not is_local else SOME_MODEL
    kinds = {c.name: kind for c in configs if c.splits and (kind := _find_kind(c))}
    if not kinds:
        return
    yield "## Train on it"
    texts = next((c for c in configs if kinds.get(c.name) == "sft"), None)
    if texts is not None:
        yield "The prompt is masked where the columns `prompt` and `completion` are used."
        yield fence_text(_write_sft(texts, model), "python")
    firsts = {kind: name for name, kind in reversed(kinds.items())}
    for kind, _ in KINDS:
        if kind in firsts:
            yield f"With butwait, as `{kind}.yaml`, then `butwait train {kind} {kind}.yaml`:"
            lines = [f"name: my-{kind}", f"model: {{id: {model}}}", "data:"]
            lines += [f"  hub: {REPO_PLACEHOLDER}", f"  config: {firsts[kind]}"]
            yield fence_text("\n".join(lines) + "\n", "yaml")


def explain_limits(
    manifest: Mapping[str, Any], ledger: Mapping[str, Any], configs: Sequence[ConfigFiles]
) -> Iterator[str]:
    """Yield what the dataset is not good for."""
    limits = [
        "The texts are a model's. A right final answer does not prove the steps before it, and "
        "no person has read them.",
        "Gold answers are the sources' and may be wrong; what the verifier could not judge was "
        "left out, so that questions with answers of unusual form are rarer than in the sources.",
        "Only answers that can be compared are here: no proofs, no open questions.",
    ]
    if not (ledger.get("notes") or {}).get("compared_with"):
        limits.append("The questions were not compared with any benchmark's.")
    if manifest.get("model"):
        limits.append("Errors, style and bias are those of the sampled model and of the sources.")
    n_rows = sum(config.n_rows for config in configs)
    if n_rows < SMALL_ROWS:
        limits.append(f"It is small ({n_rows} rows): good for trying things, not for a result.")
    yield "## Known limits"
    yield "\n".join(f"- {line}" for line in limits)


def explain_citation(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a BibTeX entry; the sources have their own."""
    name = re.sub(r"[^A-Za-z0-9 ._-]", "", str(manifest.get("name", "dataset")))[:100] or "dataset"
    version = re.sub(r"[^A-Za-z0-9.+-]", "", str(manifest.get("butwait_version", "unknown")))[:40]
    key = re.sub(r"\W+", "_", name).strip("_").lower()
    lines = [
        f"@misc{{{key},",
        f"  title = {{{name}: a reasoning dataset made with butwait {version}}},",
        f"  howpublished = {{Hugging Face Hub, /datasets/{REPO_PLACEHOLDER}}},",
        "}",
    ]
    yield "## Citation"
    yield "Please cite the sources too; they are under “Sources and licences”."
    yield fence_text("\n".join(lines), "bibtex")


def explain_settings(manifest: Mapping[str, Any], recipe: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of the sampling in a line."""
    sampling = recipe.get("sampling")
    if not isinstance(sampling, Mapping):
        return
    keys = ("n", "temperature", "top_p", "top_k", "max_tokens", "prompt")
    told = [
        f"{key} {escape_inline(sampling[key])}" for key in keys if sampling.get(key) is not None
    ]
    if manifest.get("seed") is not None:
        told.append(f"seed {escape_inline(manifest['seed'])}")
    if told:
        yield f"Settings: {', '.join(told)}."


def _find_kind(config: ConfigFiles) -> str | None:
    names = set(config.schema.names)
    return next((kind for kind, columns in KINDS if set(columns) <= names), None)


def _write_sft(config: ConfigFiles, model: str) -> str:
    names = config.schema.names
    columns = ["prompt", "completion"] if "completion" in names else ["messages"]
    split = next(iter(config.splits))
    return "\n".join(
        [
            "from datasets import load_dataset",
            "from trl import SFTConfig, SFTTrainer",
            "",
            f'rows = load_dataset("{REPO_PLACEHOLDER}", "{config.name}", split="{split}")',
            f'model = "{model}"  # or any other with a chat template',
            'config = SFTConfig("my-sft", max_length=4096)',
            f"columns = {columns!r}".replace("'", '"'),
            "rows = rows.select_columns(columns)",
            "SFTTrainer(model, args=config, train_dataset=rows).train()",
        ]
    )
