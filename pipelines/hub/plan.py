"""What a push has to change, worked out anew before every commit from what is on the Hub.

Up to a hundred changed files go in one commit. Above that the shards go first, to a folder that
the card in place does not name, and one last commit puts the new card there and removes the old
shards: a reader sees the old dataset or the new one. The folder's name comes from the content, so
that a push which was killed and is run again finds what it had sent. Leaves out the sending.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from butwait.pipelines.front_matter import read_front_matter
from butwait.pipelines.publication import LocalFile, Publication

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MANY_FILES = 100
"""The Hub advises at most so many files a commit; it stops waiting for one after 60 s."""
MAX_CARD_BYTES = 5_000_000
STAGED = r"[0-9a-f]{12}(?:-2)?"
SPLIT = r"[a-z][a-z0-9_]*"
OURS = {
    "dataset": re.compile(rf"data/[^/]+/(?:{STAGED}/)?{SPLIT}-\d{{5}}-of-\d{{5}}\.parquet"),
    "model": re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?|adapter/.+"),
}
"""Files that a push may delete; whatever else is in the repository stays."""
DATA_FILES = re.compile(rf"(?P<folder>data/(?P<config>[^/*]+)(?:/{STAGED})?)/{SPLIT}-\*\.parquet")
NOT_YET = """---
tags:
- butwait
configs:
- config_name: default
  data_files:
  - split: train
    path: data/not-yet/train-*.parquet
---

This dataset is being sent. It cannot be loaded before all of it is here.
"""


@dataclass(frozen=True)
class Remote:
    """A repository as it was at one commit."""

    head: str
    files: Mapping[str, Any]
    """``RepoFile`` by path."""
    card: str
    """README.md, empty where there is none."""


@dataclass(frozen=True)
class Step:
    """The next commit on top of ``head``."""

    head: str
    adds: Mapping[str, LocalFile]
    deletes: tuple[str, ...] = ()
    is_last: bool = True
    """With it the repository is what is published."""
    is_shards: bool = False
    """Only adds files that no card names."""


def look(api: HfApi, repo_id: str, repo_type: str) -> Remote:
    """Return what is on ``main`` now."""
    from huggingface_hub.hf_api import RepoFile

    head = str(api.repo_info(repo_id, repo_type=repo_type, revision="main").sha)
    tree = api.list_repo_tree(repo_id, repo_type=repo_type, revision=head, recursive=True)
    files = {item.path: item for item in tree if isinstance(item, RepoFile)}
    card = ""
    if "README.md" in files and files["README.md"].size <= MAX_CARD_BYTES:
        with tempfile.TemporaryDirectory(prefix="butwait-card-") as folder:
            path = api.hf_hub_download(
                repo_id, "README.md", repo_type=repo_type, revision=head, local_dir=folder
            )
            card = Path(path).read_text(encoding="utf-8", errors="replace")
    return Remote(head, files, card)


def is_from_butwait(remote: Remote) -> bool:
    """Whether a repository is empty or was published from here."""
    if not remote.card:
        return not set(remote.files) - {".gitattributes"}
    tags = read_front_matter(remote.card).get("tags")
    return isinstance(tags, list) and "butwait" in tags


def next_step(remote: Remote, publication: Publication, most: int | None = None) -> Step:
    """Return the next commit that brings a repository up to a publication.

    Args:
        remote: What is there.
        publication: What shall be there.
        most: Files to add and delete in one commit, by default ``MANY_FILES``; a model always goes
            in one.

    Returns:
        A last step without adds and deletes where nothing is left to do.
    """
    most = MANY_FILES if most is None else most
    folders = _find_folders(remote.card, publication)
    here = _finish(remote, publication.place(folders))
    if len(here.adds) + len(here.deletes) <= most or publication.repo_type == "model":
        return here
    moved = {
        name: _name_folder(publication, name, folder)
        for name, folder in folders.items()
        if any(path.startswith(f"{folder}/") for path in (*here.adds, *here.deletes))
    }
    there = _finish(remote, publication.place({**folders, **moved}))
    shards = {path: file for path, file in there.adds.items() if path != "README.md"}
    if not shards:
        return there
    if not _names_own_folders(remote.card):
        # Without such a card `datasets` would take the first shards for the whole dataset.
        content = NOT_YET.encode()
        return Step(remote.head, {"README.md": LocalFile.of(content)}, is_last=False)
    first = dict(list(shards.items())[:most])
    return Step(remote.head, first, is_last=False, is_shards=True)


def _finish(remote: Remote, publication: Publication) -> Step:
    """Return the one commit after which the repository is the publication."""
    adds = {
        path: file
        for path, file in sorted(publication.files.items())
        if _differs(remote.files.get(path), file)
    }
    ours = OURS[publication.repo_type]
    stale = {path for path in remote.files if ours.fullmatch(path)} - set(publication.files)
    kept = set(publication.files) | set(remote.files) - stale
    return Step(remote.head, adds, _join_folders(stale, kept))


def _differs(there: Any, file: LocalFile) -> bool:
    if there is None or there.size != file.size:
        return True
    if there.lfs is not None:
        return bool(there.lfs.sha256 != file.sha256)
    return bool(there.blob_id != file.git_oid)


def _join_folders(stale: set[str], kept: set[str]) -> tuple[str, ...]:
    """Return paths to delete; a folder of shards in which nothing stays is one path, with ``/``."""
    joined = set()
    for path in stale:
        folder = path.rpartition("/")[0] + "/"
        is_staged = re.fullmatch(rf"data/[^/]+/{STAGED}/", folder)
        whole = is_staged and not any(other.startswith(folder) for other in kept)
        joined.add(folder if whole else path)
    return tuple(sorted(joined))


def _find_folders(card: str, publication: Publication) -> dict[str, str]:
    """Return the folder of each configuration: the one that the card names, else the plain one."""
    named = {}
    for name, paths in _read_data_files(card).items():
        matches = [DATA_FILES.fullmatch(path) for path in paths]
        folders = {match["folder"] for match in matches if match and match["config"] == name}
        if len(folders) == 1 and all(matches):
            named[name] = folders.pop()
    return {c.name: named.get(c.name, f"data/{c.name}") for c in publication.configs}


def _name_folder(publication: Publication, config: str, present: str) -> str:
    """Return a folder for a configuration's content that is not the one in use."""
    folder = f"data/{config}/{publication.digest(config)}"
    return f"{folder}-2" if folder == present else folder


def _names_own_folders(card: str) -> bool:
    """Whether a card's configurations cannot match a shard in another folder."""
    paths = [path for paths in _read_data_files(card).values() for path in paths]
    return bool(paths) and all(DATA_FILES.fullmatch(path) for path in paths)


def _read_data_files(card: str) -> dict[str, list[str]]:
    """Return the patterns of each configuration of a card; whoever wrote it, it is only read."""
    configs = read_front_matter(card).get("configs")
    found: dict[str, list[str]] = {}
    for config in configs if isinstance(configs, list) else ():
        files = config.get("data_files") if isinstance(config, Mapping) else None
        listed = files if isinstance(files, list) else [files]
        name = str(config.get("config_name")) if isinstance(config, Mapping) else ""
        found[name] = [str(f.get("path")) if isinstance(f, Mapping) else str(f) for f in listed]
    return found
