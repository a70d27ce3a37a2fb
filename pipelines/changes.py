"""What a build finds of an earlier one, and what a changed recipe undoes, before anything is done.

The recipe in the run folder is compared with the new one key by key, the manifest with what the
recipe resolves to now; the stages' fingerprints say which of them are made anew. Left out: how many
samples the cache has (`reuse`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from butwait.pipelines.resolve import Resolved
from butwait.pipelines.run_folder import STAGES, RunFolder
from butwait.schemas.recipe import Recipe
from butwait.transforms.verify import VERIFIER_VERSION

MAX_SHOWN = 12
"""Changed keys that are listed one by one."""
_MAX_VALUE = 60


@dataclass(frozen=True)
class Change:
    """One value that is not what it was."""

    key: str
    """Dotted path in the recipe, or a name for what lies outside it."""
    old: Any
    new: Any

    def describe(self) -> str:
        """Say it in one line."""
        return f"{self.key}: {_show(self.old)} -> {_show(self.new)}"


@dataclass(frozen=True)
class StartingPoint:
    """What an earlier build left."""

    changes: tuple[Change, ...]
    kept: dict[str, str]
    """Stages that are whole, each with what it holds."""
    others: dict[str, str]
    """What becomes of the other stages."""

    def lines(self) -> Iterator[str]:
        """Say it in lines for people."""
        for change in self.changes[:MAX_SHOWN]:
            yield f"changed: {change.describe()}"
        if len(self.changes) > MAX_SHOWN:
            yield f"changed: {len(self.changes) - MAX_SHOWN} more keys"
        for stage, counts in self.kept.items():
            yield f"{stage}: whole, kept ({counts})"
        for stage, fate in self.others.items():
            yield f"{stage}: {fate}"


def find_starting_point(
    run: RunFolder,
    recipe: Recipe,
    resolved: Resolved,
    prints: Mapping[str, str],
    from_stage: str | None = None,
) -> StartingPoint | None:
    """Find out what a build begins with; None in a folder that holds no stage.

    Args:
        run: The run folder, before anything is written.
        recipe: The new recipe.
        resolved: What it resolves to.
        prints: Fingerprints of the stages.
        from_stage: Stage from which on all are made anew by wish.
    """
    if all(run.fingerprint(stage) is None for stage in STAGES):
        return None
    kept: dict[str, str] = {}
    others: dict[str, str] = {}
    is_wished = False
    for stage in STAGES:
        is_wished = is_wished or stage == from_stage
        record, marker = run.record(stage), run.fingerprint(stage)
        if is_wished:
            others[stage] = f"made anew, as --from {from_stage} asks"
        elif not others and record is not None and record.fingerprint == prints[stage]:
            kept[stage] = ", ".join(f"{count} {name}" for name, count in record.counts.items())
        elif marker == prints[stage]:
            others[stage] = "begun before, goes on where it stopped"
        elif marker is not None:
            others[stage] = "the recipe or its inputs changed, so this stage is made anew"
        else:
            others[stage] = "to be made"
    changes = (*compare_recipes(_read_recipe(run), recipe), *_compare_manifest(run, resolved))
    return StartingPoint(changes, kept, others)


def compare_recipes(old: Any, recipe: Recipe) -> list[Change]:
    """Compare a run folder's recipe with a new one, by dotted path.

    Args:
        old: The YAML document; None or not a mapping: nothing to compare with.
        recipe: The new recipe.
    """
    if not isinstance(old, dict):
        return []
    return list(_compare(old, recipe.model_dump(mode="json"), ""))


def _compare(old: Any, new: Any, path: str) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(k for k in old if k not in new)]:
            yield from _compare(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _compare(one, other, f"{path}.{number}")
    elif old != new:
        yield Change(path, old, new)


def _read_recipe(run: RunFolder) -> Any:
    try:
        return yaml.safe_load((run.root / "recipe.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _compare_manifest(run: RunFolder, resolved: Resolved) -> Iterator[Change]:
    """What a recipe does not say: weights, revisions and contents of sources, our own versions."""
    try:
        old = json.loads((run.root / "manifest.json").read_text(encoding="utf-8"))
        model, sources = old["model"], {s["name"]: s["revision"] for s in old["sources"]}
        versions = old["butwait_version"], old["verifier_version"]
        own = dict(old.get("own_transforms", {}))
    except (OSError, ValueError, KeyError, TypeError):
        return
    identity = resolved.identity
    if model.get("id") == identity.id and model.get("revision") != identity.revision:
        yield Change(f"weights of {identity.id}", model.get("revision"), identity.revision)
    for source in resolved.sources:
        before = sources.get(source.dataset, source.revision)
        if before != source.revision:
            yield Change(f"content of {source.dataset}", before, source.revision)
    for code in resolved.own:
        before = own.get(code.name, code.sha256)
        if before != code.sha256:
            yield Change(f"code of {code.name}", before, code.sha256)
    present = resolved.row_context.butwait_version, VERIFIER_VERSION
    for name, before, now in zip(("butwait", "verifier"), versions, present, strict=True):
        if before != now:
            yield Change(f"version of {name}", before, now)


def _show(value: Any) -> str:
    if value is None:
        return "(not set)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 3]}..."
