"""What a run publishes: its files by their path in the repository, checked to be of one piece.

A run that was interrupted, edited or half rebuilt is refused here, before the Hub is asked
anything. Leaves out the sending.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from butwait.pipelines.card_use import name_repo
from butwait.pipelines.front_matter import place_configs, read_front_matter
from butwait.pipelines.places import AnyPath, RemotePath, fetch, relative_name, worked_on_here
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.shards import ConfigFiles, read_configs
from butwait.schemas.errors import ConfigError


@dataclass(frozen=True)
class LocalFile:
    """One file to publish, with both names that the Hub may know its content by."""

    source: Path | bytes
    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> LocalFile:
        """Return the file with this content."""
        return cls(content, len(content), hashlib.sha256(content).hexdigest())

    @property
    def git_oid(self) -> str:
        """The SHA-1 by which git names the content."""
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        header = b"blob %d\0" % len(content)
        return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Publication:
    """Everything that one push sends."""

    configs: tuple[ConfigFiles, ...]
    files: Mapping[str, LocalFile]
    """By path in the repository."""
    repo_type: Literal["dataset", "model"] = "dataset"

    @property
    def n_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files.values())

    def digest(self, config: str) -> str:
        """Return twelve digits that name the content of a configuration's shards."""
        shards = next(c.shards for c in self.configs if c.name == config)
        lines = "".join(f"{shard.path.name} {shard.sha256}\n" for shard in shards)
        return hashlib.sha256(lines.encode()).hexdigest()[:12]

    def place(self, folders: Mapping[str, str]) -> Publication:
        """Return the same publication with its configurations in these folders.

        Args:
            folders: Folder in the repository, by configuration.
        """
        if all(folder == f"data/{name}" for name, folder in folders.items()):
            return self
        files = {
            f"{folders[config.name]}/{shard.path.name}": self.files[config.hub_path(shard)]
            for config in self.configs
            for shards in config.splits.values()
            for shard in shards
        }
        card = self.files["README.md"].source
        assert isinstance(card, bytes)
        files["README.md"] = LocalFile.of(place_configs(card.decode(), folders).encode())
        return replace(self, files=files)


@contextmanager
def fetch_publication(run: AnyPath) -> Iterator[Path]:
    """Have the folder of a run here, as far as it is published; a local one is what it is.

    Raises:
        ConfigError: A remote run that is not there, or not whole.
    """
    with worked_on_here(run) as here:
        if isinstance(run, RemotePath):
            records = {name: RunFolder(run).record(name) for name in ("rows", "card")}
            for name, record in records.items():
                if record is None:
                    raise ConfigError(
                        f"stage {name!r} of {run} is not whole; finish it with `butwait build` "
                        "first"
                    )
            named = [file.name for record in records.values() if record for file in record.files]
            beside = [f"{name}/_stage.json" for name in records]
            fetch(run, ["manifest.json", "recipe.yaml", *beside, *named], here)
        yield here


def read_publication(run: Path, repo_id: str) -> Publication:
    """Read what a run publishes, and check that it is whole and of one piece.

    Raises:
        ConfigError: A missing or unreadable file, an unfinished stage, or files that contradict
            each other.
    """
    folder = RunFolder(run)
    if not run.is_dir():
        raise ConfigError(f"run folder {run} is missing; make it with `butwait build RECIPE`")
    for name in ("manifest.json", "recipe.yaml", "ledger.json", "card/README.md"):
        if not (run / name).is_file():
            raise ConfigError(f"{run} has no {name}: finish the run with `butwait build` first")
    for stage in ("rows", "card"):
        if folder.record(stage) is None:
            raise ConfigError(
                f"stage {stage!r} of {run} is not whole; finish it with `butwait build` first"
            )
    configs = tuple(config for config in read_configs(run / "rows") if config.n_rows)
    if not configs:
        raise ConfigError(f"{run} has no rows to publish; {run / 'ledger.json'} says why")
    _check_stage_hashes(folder, configs)
    _check_ledger(run / "ledger.json", configs)
    readme = _read_readme(run / "card" / "README.md", configs, repo_id)
    files = {
        config.hub_path(shard): LocalFile(shard.path, shard.n_bytes, shard.sha256)
        for config in configs
        for shards in config.splits.values()
        for shard in shards
    }
    files["README.md"] = LocalFile.of(readme)
    return Publication(configs, files)


def _check_stage_hashes(folder: RunFolder, configs: tuple[ConfigFiles, ...]) -> None:
    """Raise if a shard is not the one that the stage wrote."""
    record = folder.record("rows")
    known = {file.name: file.sha256 for file in record.files} if record else {}
    for config in configs:
        for shard in config.shards:
            name = relative_name(shard.path, folder.root)
            if known.get(name) != shard.sha256:
                raise ConfigError(
                    f"{shard.path} is not the file that the build wrote; build the rows anew with "
                    "`butwait build RECIPE --from rows`"
                )


def _check_ledger(path: Path, configs: tuple[ConfigFiles, ...]) -> None:
    """Raise if the ledger does not add up or counts other rows than the shards hold."""
    try:
        ledger: Any = json.loads(path.read_text(encoding="utf-8"))
        rows = ledger["rows"]
        wrong = _find_imbalance(ledger)
        written = {name: account["bins"].get("written", 0) for name, account in rows.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a ledger ({error!r}); build the run anew") from error
    if wrong:
        raise ConfigError(f"{path} does not add up in {wrong}; build the run anew")
    held = {config.name: config.n_rows for config in configs}
    if {name: n for name, n in written.items() if n} != {n: c for n, c in held.items() if c}:
        raise ConfigError(f"{path} counts rows {written}, the shards hold {held}; build rows anew")


def _find_imbalance(accounts: Mapping[str, Any], prefix: str = "") -> str | None:
    """Return the name of the first account whose bins do not add up to its total."""
    for name, account in accounts.items():
        if not isinstance(account, Mapping):
            continue
        if "bins" not in account:
            wrong = _find_imbalance(account, f"{prefix}{name}: ")
            if wrong:
                return wrong
        elif sum(account["bins"].values()) != sum(n for k, n in account.items() if k != "bins"):
            return f"{prefix}{name}"
    return None


def _read_readme(path: Path, configs: tuple[ConfigFiles, ...], repo_id: str) -> bytes:
    """Return the card with the repository's name, if it is the card of these rows."""
    try:
        card = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text ({error.reason}); build it anew") from error
    front = read_front_matter(card)
    infos = front.get("dataset_info") or []
    told = {
        info.get("config_name"): sum(split["num_examples"] for split in info.get("splits", ()))
        for info in (infos if isinstance(infos, list) else [infos])
    }
    held = {config.name: config.n_rows for config in configs}
    if told != held:
        raise ConfigError(
            f"{path} describes rows {told}, the run holds {held}; write it anew with "
            "`butwait build RECIPE --from card`"
        )
    return name_repo(card, repo_id).encode()
