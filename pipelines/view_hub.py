"""Files of a dataset on the Hub, fetched into the Hub's cache to be looked at.

One configuration is fetched, with all its splits; what is in the cache is not fetched again.
Leaves out formats other than parquet and JSON lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.pipelines.sources.hub_access import one_line
from butwait.schemas.errors import SourceError

_SHOWN = (".parquet", ".jsonl")


@dataclass(frozen=True)
class Fetched:
    """What was fetched."""

    title: str
    files: Mapping[str, Sequence[tuple[str, Path]]]
    """By split the names of its files and where they lie."""


def fetch_dataset(
    repo_id: str,
    revision: str | None,
    config: str | None,
    most_files: int | None,
    say: Callable[[str], None],
) -> Fetched:
    """Fetch one configuration of a dataset.

    Args:
        repo_id: ``owner/name``; ``HF_ENDPOINT`` and ``HF_TOKEN`` are honoured.
        revision: Commit, tag or branch; None: the default branch.
        config: Configuration; None: the dataset's default.
        most_files: Fetch no more than this many; None: all.
        say: Takes lines about the progress.

    Raises:
        SourceError: No such dataset, revision or configuration, no way to it, or other formats.
    """
    with one_line(repo_id, revision):
        from huggingface_hub import HfApi, hf_hub_download

        info = HfApi().dataset_info(repo_id, revision=revision, files_metadata=True)
        if info.id != repo_id:
            say(f"{repo_id} has been renamed to {info.id}")
        sha = str(info.sha)
        name, by_split = _list_files(info.id, config, sha)
        wanted = [(split, file) for split, files in by_split.items() for file in files]
        _check_formats(repo_id, wanted)
        left = wanted[:most_files]
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
        n_bytes = sum(sizes.get(file, 0) for _, file in left)
        say(
            f"{info.id} at {sha[:12]}, configuration {name}: {len(left)} of {len(wanted)} files, "
            f"{n_bytes / 1e6:.1f} MB, into the Hub's cache"
        )
        found: dict[str, list[tuple[str, Path]]] = {}
        for split, file in left:
            say(f"{file} ({sizes.get(file, 0) / 1e6:.1f} MB)")
            path = hf_hub_download(info.id, file, repo_type="dataset", revision=sha)
            found.setdefault(f"{name}/{split}", []).append((file, Path(path)))
    return Fetched(f"{info.id} at {sha[:12]}", found)


def _list_files(repo_id: str, config: str | None, sha: str) -> tuple[str, dict[str, list[str]]]:
    """Return the configuration's name and, by split, the paths of its files in the repository."""
    from datasets import get_dataset_config_names, load_dataset_builder

    names = get_dataset_config_names(repo_id, revision=sha)
    if config is not None and config not in names:
        raise SourceError(
            f"{repo_id} has no configuration {config!r}; it has {', '.join(map(str, names))}"
        )
    builder: Any = load_dataset_builder(repo_id, config, revision=sha)
    marker = f"{repo_id}@{sha}/"
    return str(builder.config.name), {
        str(split): [str(url).split(marker, 1)[-1] for url in urls]
        for split, urls in (builder.config.data_files or {}).items()
    }


def _check_formats(repo_id: str, files: Sequence[tuple[str, str]]) -> None:
    if not files:
        raise SourceError(f"{repo_id} holds no data files")
    other = [file for _, file in files if not file.endswith(_SHOWN)]
    if other:
        raise SourceError(
            f"{repo_id} holds {other[0]}; only {' and '.join(_SHOWN)} files can be looked at"
        )
