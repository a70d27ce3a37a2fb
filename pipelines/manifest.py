"""The manifest: what a run was made from and with."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from butwait.pipelines.recipe_file import dump_recipe
from butwait.pipelines.resolve import Resolved
from butwait.pipelines.run_folder import STAGES, RunFolder
from butwait.pipelines.tables import write_text
from butwait.schemas.recipe import Recipe
from butwait.schemas.record import SCHEMA_VERSION
from butwait.transforms.verify import VERIFIER_VERSION

_PACKAGES = (
    "apache-beam", "datasets", "huggingface-hub", "pyarrow", "pydantic", "sympy", "torch",
    "transformers", "vllm",
)  # fmt: skip


def make_manifest(
    run: RunFolder, recipe: Recipe, resolved: Resolved, begun: float
) -> dict[str, Any]:
    """Return the manifest as a plain mapping.

    Args:
        run: The run folder, for the records of its stages.
        recipe: Effective recipe.
        resolved: What it resolved to.
        begun: Unix time, in seconds.
    """
    stages = {name: run.record(name) for name in STAGES}
    identity = resolved.identity
    return {
        "schema_version": SCHEMA_VERSION,
        "name": recipe.name,
        "butwait_version": version("butwait"),
        "git_commit": find_commit(),
        "begun": datetime.fromtimestamp(begun, UTC).isoformat(timespec="seconds"),
        "seed": recipe.seed,
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "recipe_sha256": hashlib.sha256(dump_recipe(recipe).encode()).hexdigest(),
        "verifier_version": VERIFIER_VERSION,
        "model": identity.model_dump(),
        "sources": [
            {
                "name": source.dataset,
                "licence": source.licence,
                "revision": source.revision,
                "r1_derived": source.r1_derived,
            }
            for source in resolved.sources
        ],
        "own_transforms": {code.name: code.sha256 for code in resolved.own},
        "stages": {
            name: record.model_dump(mode="json") for name, record in stages.items() if record
        },
    }


def write_manifest(run: RunFolder, manifest: dict[str, Any]) -> None:
    """Write ``manifest.json``."""
    write_text(run.root / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_commit() -> str | None:
    """Commit of the checkout that the package runs from, if it is one."""
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    commit = done.stdout.strip()
    return f"{commit}{_dirty(folder)}" if commit else None


def _dirty(folder: Path) -> str:
    """``-dirty`` where tracked files differ from the commit."""
    done = subprocess.run(
        ["git", "-C", str(folder), "diff", "--quiet", "HEAD"],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    return "-dirty" if done.returncode == 1 else ""
