"""What there is to look at: the collections of a run folder, of an evaluation, or of files.

Damaged files and missing stages become notes; the rest is shown. Leaves out reading rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from butwait.evals.view.layouts import Layout, find_layout
from butwait.evals.view.shards import Shard, open_shard
from butwait.schemas.errors import ConfigError
from butwait.schemas.record import SCHEMA_VERSION

ROWS, TRAJECTORIES, TREES, QUESTIONS = "rows/", "trajectories", "trees", "questions"
STAGES = {
    "questions": ("questions", "questions-*.parquet"),
    "trajectories": ("trajectories", "part-*.parquet"),
    "trees": ("trajectories/trees", "part-*.parquet"),
    "considered": ("considered", "*.parquet"),
    "dead_letters": ("dead_letters", "*.parquet"),
}
_RECORDED = ("questions", "trajectories", "rows")


@dataclass(frozen=True)
class Collection:
    """Rows of one kind in one or more shards."""

    name: str
    layout: Layout
    shards: tuple[Shard, ...]

    @property
    def n_rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.n_rows for shard in self.shards)

    def place(self, name: str) -> int | None:
        """Return the place of a shard, None where there is none of the name."""
        return next((i for i, shard in enumerate(self.shards) if shard.name == name), None)


@dataclass(frozen=True)
class View:
    """Everything that one page shows."""

    title: str
    collections: tuple[Collection, ...]
    notes: tuple[str, ...] = ()
    run: Path | None = None
    """The run folder, where rows, samples and trees can be found from one another."""

    def find(self, name: str) -> Collection:
        """Return a collection.

        Raises:
            ConfigError: There is none of the name.
        """
        for collection in self.collections:
            if collection.name == name:
                return collection
        known = ", ".join(c.name for c in self.collections)
        raise ConfigError(f"there is no {name!r} here; there are {known}")


def open_view(path: Path) -> View:
    """Open a run folder, a folder of shards, or one file.

    Raises:
        ConfigError: Nothing is there, or nothing that can be read.
    """
    if path.is_file():
        collection = _collect(path.stem, [open_shard(path, path.name)], [])
        return View(path.name, (collection,), tuple(_tell_versions([collection])))
    if not path.is_dir():
        raise ConfigError(
            f"{path} is neither a run folder nor a file: nothing is there (a dataset on the Hub is "
            "named owner/name)"
        )
    notes: list[str] = []
    if (path / "cells").is_dir():
        found = [*_open_folders(path, "cells", notes), *_open_folders(path, "benchmarks", notes)]
        notes += _missing_cells(path)
    elif _is_run(path):
        found = _open_run(path, notes)
    else:
        found = _open_folders(path, ".", notes)
    if not found:
        said = "".join(f"; {note}" for note in notes[:3])
        raise ConfigError(
            f"{path} holds no rows, trajectories, trees or cells in .parquet or .jsonl{said}; "
            "make a run with `butwait build RECIPE` or `butwait eval RECIPE`"
        )
    notes += _tell_versions(found)
    return View(path.resolve().name, tuple(found), tuple(notes), path)


def open_files(title: str, files: Mapping[str, Sequence[tuple[str, Path]]]) -> View:
    """Open named files, e.g. what was fetched from the Hub.

    Args:
        title: Name of the whole.
        files: By collection the shards, each with its name and path.

    Raises:
        ConfigError: None of them can be read.
    """
    notes: list[str] = []
    found = [c for name, paths in files.items() if (c := _open(name, paths, notes))]
    if not found:
        raise ConfigError(f"{title} holds nothing that can be read; {'; '.join(notes[:3])}")
    return View(title, tuple(found), (*notes, *_tell_versions(found)))


def _is_run(path: Path) -> bool:
    return any((path / name).exists() for name in ("questions", "trajectories", "rows"))


def _open_run(run: Path, notes: list[str]) -> list[Collection]:
    configs = sorted(p.name for p in (run / "rows").glob("*") if p.is_dir() and p.name[0] != ".")
    configs.sort(key=lambda name: name != "default")
    wanted = {ROWS + name: (f"rows/{name}", "*.parquet") for name in configs}
    found = []
    for name, (folder, pattern) in (wanted | STAGES).items():
        paths = sorted((run / folder).glob(pattern))
        shards = [(path.name, path) for path in paths]
        if collection := _open(name, shards, notes, keep_empty=name.startswith(ROWS)):
            found.append(collection)
    for stage in _RECORDED:
        if not (run / stage / "_stage.json").is_file():
            there = "what is there is shown" if (run / stage).is_dir() else "there is nothing yet"
            notes.append(f"stage {stage} is not whole: {there} (`butwait build` continues)")
    order = [ROWS, TRAJECTORIES, TREES, QUESTIONS]
    found.sort(key=lambda c: next((i for i, x in enumerate(order) if c.name.startswith(x)), 9))
    return found


def _open_folders(root: Path, below: str, notes: list[str]) -> list[Collection]:
    """One collection a folder; of an evaluation one a file, since each is an arm of its own."""
    paths = [
        path
        for suffix in ("parquet", "jsonl")
        for path in sorted((root / below).rglob(f"*.{suffix}"))
        if not any(part[0] == "." for part in path.relative_to(root).parts)
    ]
    groups: dict[str, list[tuple[str, Path]]] = {}
    for path in paths:
        name = path.relative_to(root).with_suffix("").as_posix()
        if below == ".":
            name = path.relative_to(root).parent.as_posix() if path.parent != root else "files"
            name += "" if path.suffix == ".parquet" else " (jsonl)"
        groups.setdefault(name, []).append((path.name, path))
    return [c for name, shards in groups.items() if (c := _open(name, shards, notes))]


def _open(
    name: str, paths: Iterable[tuple[str, Path]], notes: list[str], keep_empty: bool = False
) -> Collection | None:
    shards = []
    for shard_name, path in paths:
        try:
            shards.append(open_shard(path, shard_name))
        except ConfigError as error:
            notes.append(f"left out: {error}")
    kept = [shard for shard in shards if shard.n_rows]
    if not kept:
        if shards and keep_empty:
            notes.append(f"{name} has no rows")
        return None
    return _collect(name, kept, notes)


def _collect(name: str, shards: Sequence[Shard], notes: list[str]) -> Collection:
    first = shards[0]
    layout = find_layout(first.columns, first.leaves.keys())
    for shard in shards[1:]:
        if lost := first.columns - shard.columns:
            notes.append(f"{shard.path} lacks the columns {', '.join(sorted(lost))}")
    return Collection(name, layout, tuple(shards))


def _tell_versions(collections: Sequence[Collection]) -> list[str]:
    """Say which files were written by another version; the first row speaks for its file."""
    notes = []
    for collection in collections:
        shard = collection.shards[0]
        if "schema_version" not in shard.columns:
            continue
        with shard.opened() as reader:
            batch = next(iter(reader.batches(0, ["schema_version"], 1)))
        version = batch.column(batch.schema.get_field_index("schema_version"))[0].as_py()
        if version != SCHEMA_VERSION:
            notes.append(
                f"{collection.name} is of schema version {version}, this program of version "
                f"{SCHEMA_VERSION}: what it knows is shown"
            )
    return notes


def _missing_cells(run: Path) -> list[str]:
    try:
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        files = [str(arm["file"]) for arm in manifest["arms"]]
    except (OSError, ValueError, KeyError, TypeError):
        return ["manifest.json is missing or damaged: what should be there is not known"]
    return [f"{file}: no cells yet" for file in files if not (run / file).is_file()]


def shard_number(name: str) -> str | None:
    """Return the five digits by which a question's files are known in every stage."""
    found = re.search(r"-(\d{5})-", name)
    return found[1] if found else None
