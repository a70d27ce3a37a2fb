"""Stage 4: the ledger and the dataset card of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from butwait.pipelines.card import render_card
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.shards import read_config
from butwait.pipelines.tables import write_text
from butwait.schemas.ledger import Ledger


def write_card(
    run: RunFolder, manifest: Mapping[str, Any], ledger: Ledger, configs: Sequence[str]
) -> Path:
    """Write ``card/README.md`` and return its path."""
    files = [read_config(run.stage("rows") / name) for name in configs]
    recipe = (run.root / "recipe.yaml").read_text(encoding="utf-8")
    path = run.stage("card") / "README.md"
    write_text(path, render_card(manifest, ledger.model_dump(mode="json"), files, recipe))
    return path
