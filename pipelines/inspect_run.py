"""Inspect a run folder, whole or half there; nothing is written.

Reads records, footers and small columns, never texts. What cannot be read is named and left out.
"""

from __future__ import annotations

from pathlib import Path

from butwait.pipelines.inspect_build import inspect_build
from butwait.pipelines.inspect_others import inspect_evaluation, inspect_training
from butwait.pipelines.inspection import Inspection, Reader
from butwait.pipelines.run_folder import STAGES
from butwait.schemas.errors import ConfigError

_TRAINED = ("final", "checkpoints", "metrics.jsonl")


def inspect_run(run: Path) -> Inspection:
    """Look into a run folder.

    Raises:
        ConfigError: There is none, it is a file, or no run is in it.
    """
    if not run.exists():
        raise ConfigError(f"{run} does not exist: name a run folder, e.g. runs/quickstart")
    if not run.is_dir():
        raise ConfigError(f"{run} is a file: name a run folder, e.g. {run.parent}")
    read = Reader()
    manifest = read.document(run / "manifest.json")
    if manifest.get("kind") == "evaluation":
        return inspect_evaluation(run, manifest, read)
    if manifest.get("kind") or any((run / name).exists() for name in _TRAINED):
        return inspect_training(run, manifest, read)
    if any((run / name).exists() for name in ("ledger.json", *STAGES)):
        return inspect_build(run, manifest, read)
    raise ConfigError(
        f"{run} holds no run: no manifest.json, questions/, trajectories/ or checkpoints/; "
        "`butwait build`, `eval` and `train` make run folders"
    )
