"""Stage 4: the ledger and the dataset card of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from butwait.pipelines.card import render_card
from butwait.pipelines.places import AnyPath, RemotePath, fetch, files_in, worked_on_here
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.shards import ConfigFiles, read_config
from butwait.pipelines.sources.hub_files import is_address, pin_address
from butwait.pipelines.tables import write_text
from butwait.schemas.ledger import Ledger


def write_card(
    run: RunFolder, manifest: Mapping[str, Any], ledger: Ledger, configs: Sequence[str]
) -> AnyPath:
    """Write ``card/README.md`` and return its path."""
    text = publishable_recipe((run.root / "recipe.yaml").read_text(encoding="utf-8"), manifest)
    path = run.stage("card") / "README.md"
    with ExitStack() as stack:
        folders = [run.stage("rows") / name for name in configs]
        files = [stack.enter_context(_shards_here(folder)) for folder in folders]
        card = render_card(manifest, ledger.model_dump(mode="json"), files, text)
    write_text(path, card)
    return path


@contextmanager
def _shards_here(folder: AnyPath) -> Iterator[ConfigFiles]:
    """Have a configuration's shards; those of a remote run are brought here for the time."""
    with worked_on_here(folder) as here:
        if isinstance(folder, RemotePath):
            fetch(folder, [path.name for path in files_in(folder, "*.parquet")], here)
        yield read_config(here)


def publishable_recipe(recipe_yaml: str, manifest: Mapping[str, Any]) -> str:
    """Return a recipe as it may be published.

    Without the server sections (flags, environment and address may hold secrets), with file
    names instead of this machine's paths, and with the revisions that were found.
    """
    recipe = yaml.safe_load(recipe_yaml)
    recipe.pop("server", None)
    _strip_prm(recipe.get("prm") or {})
    found = [source["revision"] for source in manifest["sources"]]
    for source, revision in zip(recipe["sources"], found, strict=True):
        keys = [key for key in ("hub", "path") if is_address(source.get(key))]
        if keys:
            source[keys[0]] = pin_address(source[keys[0]], revision)
            source["revision"] = None
        elif source.get("hub"):
            source["revision"] = revision
    against = recipe.get("decontaminate", {}).get("against", "auto")
    benchmarks = [] if against == "auto" else against
    for place in [*recipe["sources"], *benchmarks, recipe.get("replay") or {}]:
        if place.get("path") and not is_address(place["path"]):
            place["path"] = Path(place["path"]).name
    if recipe.get("model"):
        recipe["model"]["id"] = manifest["model"]["id"]
        recipe["model"]["revision"] = manifest["model"]["revision"]
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)


def _strip_prm(prm: dict[str, Any]) -> None:
    """Take servers and paths out of the section of the process reward model."""
    for name in ("server", "weak_server"):
        prm.pop(name, None)
    for name in ("model", "weak"):
        model = prm.get(name)
        if model and str(model.get("id")).startswith((".", "/", "~")):
            model["id"] = "/".join(Path(model["id"]).parts[-2:])
