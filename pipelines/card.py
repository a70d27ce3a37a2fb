"""The dataset card: front matter that loaders and the Hub's viewer read, and a body for people.

The front matter goes through a YAML writer and model text through escapes, because a row may hold
anything. No time of day is in the card: the same dataset gives the same card. Leaves out sending
it; ``butwait push`` fills in the repository's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from butwait.pipelines.card_figures import describe_lengths, describe_pass_rates
from butwait.pipelines.card_use import (
    explain_citation,
    explain_limits,
    explain_loading,
    explain_settings,
    explain_training,
    name_repo,
)
from butwait.pipelines.front_matter import front_matter
from butwait.pipelines.markdown import escape_inline, fence_text, render_table, shorten_row
from butwait.pipelines.shards import ConfigFiles

MAX_SAMPLE_CHARS = 600
WHAT_A_TRANSFORM_MAKES = {
    "verified": "a sampled solution whose final answer was verified as correct",
    "stitch": "wrong attempts, a transition after each, then a solution verified as correct",
    "but_wait": "a first thought, a doubting phrase and the model's own continuation",
    "limo": "a solution in thinking and answer tags, without a system prompt",
    "rl": "a question with its gold answer and pass rate; no model text",
    "backtrack": "a searched solution that follows dead branches, says so and ends verified",
    "correct_only": "a searched solution whose final answer was verified as correct",
    "preference": "two continuations of one prefix of a search, the better and the worse",
    "step_labels": "a searched solution in steps, each with a label",
}
COLUMN_NOTES = {
    "id": "stable id of the row; shards are sorted by it",
    "question_id": "stable id of the question",
    "messages": "the whole conversation",
    "prompt": "what was asked: the turns before the answer, or the question's text",
    "completion": "the assistant's turn, the only one to train on",
    "spans": "labelled character ranges of the completion",
    "answer": "gold answer",
    "solution": "the source's own solution",
    "problem": "the question's text",
    "pass_rate": "share of the question's samples that are correct, null if not sampled",
    "flow": "verdict of the first thought, then of the final answer",
    "first_answer": "answer of the first thought",
    "n_transitions": "how often the text doubts and starts again",
    "n_samples": "samples behind the pass rate",
    "chosen": "the assistant's turn that is better",
    "rejected": "the assistant's turn that is worse",
    "prefix_characters": "characters at the start of both that are the same prefix",
    "chosen_value": "share of right solutions below the step with which the better one begins",
    "rejected_value": "the same of the worse one, null where none was finished",
    "chosen_score": "process reward of the better one, null if not scored",
    "rejected_score": "process reward of the worse one, null if not scored",
    "completions": "the steps, without their separator",
    "labels": "whether each step counts as right",
    "values": "share of right solutions among the finished ones below each step",
    "n_rollouts": "finished solutions behind each share",
    "scores": "process reward of the solution up to each step, null if not scored",
    "separator": "what stood between the steps",
    "verdict": "verdict of the whole solution, incomplete where the steps end before it",
    "provenance": "where the row comes from, completely enough to make it again",
    "schema_version": "version of this layout",
}


def render_card(
    manifest: Mapping[str, Any],
    ledger: Mapping[str, Any],
    configs: Sequence[ConfigFiles],
    recipe_yaml: str,
    repo_id: str | None = None,
) -> str:
    """Return the README of a dataset.

    Args:
        manifest: What was built from what: ``name``, ``butwait_version``, ``versions``, ``model``,
            ``sources`` and ``recipe_sha256``.
        ledger: Accounts of a total and ``bins``, or maps of such accounts.
        configs: The configurations in the order of publication.
        recipe_yaml: The effective recipe.
        repo_id: ``owner/name`` on the Hub; None leaves a placeholder for ``name_repo``.
    """
    front = yaml.safe_dump(
        front_matter(manifest, configs), sort_keys=False, allow_unicode=True, width=1000
    )
    body = [
        f"# {escape_inline(manifest.get('name', 'dataset'))}",
        *_introduce(manifest),
        *explain_loading(configs),
        *explain_training(configs, manifest),
        *_list_configs(configs, _read_transforms(recipe_yaml)),
        *_explain_generation(manifest, _read_recipe(recipe_yaml)),
        *_explain_verification(manifest, configs),
        *_explain_decontamination(ledger),
        *_tell_ledger(ledger),
        *describe_pass_rates(configs),
        *describe_lengths(configs),
        *_list_columns(configs),
        *_show_samples(configs),
        *explain_limits(manifest, ledger, configs),
        *_list_sources(manifest),
        *_explain_rebuilding(manifest, recipe_yaml),
        *explain_citation(manifest),
    ]
    card = f"---\n{front}---\n\n" + "\n\n".join(body) + "\n"
    return card if repo_id is None else name_repo(card, repo_id)


def _introduce(manifest: Mapping[str, Any]) -> Iterator[str]:
    version = escape_inline(manifest.get("butwait_version", "unknown"))
    yield (
        "A dataset for training language models to reason, in which a model's own attempts were "
        f"sampled, checked and recomposed. Made by butwait {version}."
    )


def _read_recipe(recipe_yaml: str) -> dict[str, Any]:
    recipe = yaml.safe_load(recipe_yaml)
    return recipe if isinstance(recipe, dict) else {}


def _read_transforms(recipe_yaml: str) -> dict[str, str]:
    """Return the transform of each configuration, as far as the recipe says."""
    rows = _read_recipe(recipe_yaml).get("rows")
    if not isinstance(rows, dict):
        return {}
    specs = {str(name): spec for name, spec in rows.items() if isinstance(spec, dict)}
    return {name: str(spec.get("transform", "")) for name, spec in specs.items()}


def _list_configs(configs: Sequence[ConfigFiles], transforms: Mapping[str, str]) -> Iterator[str]:
    yield "## Configurations"
    yield render_table(
        ["configuration", "rows", "shards", "size", "one row is"],
        [
            (
                config.name,
                config.n_rows,
                len(config.shards),
                _spell_bytes(sum(shard.n_bytes for shard in config.shards)),
                WHAT_A_TRANSFORM_MAKES.get(transforms.get(config.name, ""), "see the recipe"),
            )
            for config in configs
        ],
    )


def _explain_generation(manifest: Mapping[str, Any], recipe: Mapping[str, Any]) -> Iterator[str]:
    model = manifest.get("model") or {}
    yield "## How it was generated"
    if model.get("id"):
        revision = escape_inline(model.get("revision") or "not pinned")
        yield f"Sampled from {escape_inline(model['id'])} (revision {revision})."
    else:
        yield "From recorded samples: no model was called for this build."
    yield from explain_settings(manifest, recipe)
    yield "The recipe at the end holds every sampling parameter; each row's provenance its own."


def _explain_verification(
    manifest: Mapping[str, Any], configs: Sequence[ConfigFiles]
) -> Iterator[str]:
    version = manifest.get("verifier_version") or _read_verifier_version(configs)
    yield "## How it was verified"
    yield (
        f"The verifier (version {escape_inline(version)}) compared the final answer of every "
        "sample with the source's gold answer. Its verdict is one of `correct`, `incorrect`, "
        "`no_answer`, `ambiguous`, `truncated`, `gold_unusable`, `timeout` and `error`. Samples "
        "that could not be judged are counted apart, never as wrong."
    )
    yield (
        "A right final answer does not prove the reasoning before it, and gold answers of the "
        "sources may be wrong."
    )


def _explain_decontamination(ledger: Mapping[str, Any]) -> Iterator[str]:
    """Yield which benchmarks the questions were compared with; nothing for older ledgers."""
    notes = ledger.get("notes") or {}
    if not notes:
        return
    n_removed = ledger["questions"]["bins"].get("contaminated", 0)
    yield "## Copies of benchmark problems"
    yield (
        f"Questions were compared with {escape_inline(notes.get('compared_with'))}: {n_removed} "
        "were removed as copies (the same problem, also reworded; not the same problem with other "
        "numbers). What has to be understood to be recognised, such as a translation, is not found."
    )
    if "not_compared_with" in notes:
        yield f"Not compared with {escape_inline(notes['not_compared_with'])}."


def _read_verifier_version(configs: Sequence[ConfigFiles]) -> str:
    for config in configs:
        provenance = (config.sample or {}).get("provenance")
        if isinstance(provenance, Mapping) and provenance.get("verifier_version"):
            return str(provenance["verifier_version"])
    return "unknown"


def _tell_ledger(ledger: Mapping[str, Any]) -> Iterator[str]:
    yield "## Ledger"
    yield "Every question, sample and row is in exactly one bin, and the bins add up to the total."
    yield from _list_accounts(ledger)


def _list_accounts(ledger: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, account in ledger.items():
        if not isinstance(account, Mapping):
            continue
        title = f"{prefix}{name}"
        if "bins" not in account:
            counts = [(k, v) for k, v in account.items() if isinstance(v, int)]
            if counts:
                yield f"### {escape_inline(title)}"
                yield render_table(["first → final answer", "count"], counts)
            yield from _list_accounts(account, f"{title}: ")
            continue
        total = next((v for k, v in account.items() if k != "bins"), 0)
        if not total:
            continue
        bins = sorted(account["bins"].items(), key=lambda item: (-item[1], item[0]))
        yield f"### {escape_inline(title)}"
        yield render_table(["bin", "count"], [*bins, ("total", total)])


def _list_columns(configs: Sequence[ConfigFiles]) -> Iterator[str]:
    """Yield one table for each set of columns, under the names that share it."""
    yield "## Columns"
    groups: dict[str, list[ConfigFiles]] = {}
    for config in configs:
        groups.setdefault(config.schema.remove_metadata().to_string(), []).append(config)
    for members in groups.values():
        yield f"### {', '.join(escape_inline(config.name) for config in members)}"
        rows = [
            (f.name, _spell_type(f.type), COLUMN_NOTES.get(f.name, "")) for f in members[0].schema
        ]
        yield render_table(["column", "type", "what it is"], rows)


def _spell_type(kind: Any) -> str:
    """Return an Arrow type in words short enough for a table."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_spell_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"struct of {', '.join(field.name for field in kind)}"
    return str(kind)


def _show_samples(configs: Sequence[ConfigFiles]) -> Iterator[str]:
    yield "## Sample rows"
    for config in configs:
        yield f"### {escape_inline(config.name)}"
        if config.sample is None:
            yield "No row was made for this configuration; it is not published."
            continue
        text, is_cut = shorten_row(config.sample, MAX_SAMPLE_CHARS)
        if is_cut:
            yield "Long values are cut here for display; the dataset has them whole."
        yield fence_text(text, "json")


def _list_sources(manifest: Mapping[str, Any]) -> Iterator[str]:
    sources = [source for source in manifest.get("sources", ()) if isinstance(source, Mapping)]
    yield "## Sources and licences"
    yield render_table(
        ["source", "licence", "revision", "derived from DeepSeek-R1"],
        [
            (
                source.get("name", "unknown"),
                source.get("licence") or "unknown",
                source.get("revision") or "not pinned",
                "yes" if source.get("r1_derived") else "no",
            )
            for source in sources
        ],
    )
    yield "Questions and solutions keep the licence of their source."
    derived = [escape_inline(s.get("name", "unknown")) for s in sources if s.get("r1_derived")]
    if (manifest.get("model") or {}).get("r1_derived"):
        derived.append("the sampled model")
    if derived:
        yield (
            f"Derived from outputs of DeepSeek-R1: {', '.join(derived)}. Rows with such a parent "
            "have `r1_derived` true in their provenance."
        )
    else:
        yield "Nothing here is declared as derived from outputs of DeepSeek-R1."


def _explain_rebuilding(manifest: Mapping[str, Any], recipe_yaml: str) -> Iterator[str]:
    yield "## Build it again"
    yield (
        "With the named files and model at hand, save this as `recipe.yaml` and run "
        "`butwait build recipe.yaml`. How the model was served is left out."
    )
    yield fence_text(recipe_yaml, "yaml")
    versions = manifest.get("versions") or {}
    if versions:
        yield render_table(["package", "version"], sorted(versions.items()))


def _spell_bytes(n_bytes: int) -> str:
    size = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
