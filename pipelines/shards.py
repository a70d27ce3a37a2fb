"""The final shards of a run's rows, as published: which there are, how large, with which columns.

Leaves out how rows are made and how they are sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from butwait.pipelines.tables import file_sha256
from butwait.schemas.errors import ConfigError

SHARD_NAME = re.compile(r"(?P<split>[a-z][a-z0-9_]*)-(?P<index>\d{5})-of-(?P<total>\d{5})\.parquet")
CONFIG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ShardFile:
    """One parquet file of a configuration."""

    path: Path
    split: str
    n_rows: int
    n_bytes: int
    n_plain_bytes: int
    """Size without compression."""
    sha256: str


@dataclass(frozen=True)
class ConfigFiles:
    """One dataset configuration: its files, its columns and one row to show."""

    name: str
    shards: tuple[ShardFile, ...]
    schema: pa.Schema
    sample: Mapping[str, Any] | None

    @property
    def n_rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.n_rows for shard in self.shards)

    @property
    def splits(self) -> dict[str, tuple[ShardFile, ...]]:
        """Shards by split, each in order; a split without rows cannot be loaded and is left out."""
        names = dict.fromkeys(shard.split for shard in self.shards if shard.n_rows)
        return {name: tuple(s for s in self.shards if s.split == name) for name in names}

    def hub_path(self, shard: ShardFile) -> str:
        """Return the shard's path in the dataset repository."""
        return f"data/{self.name}/{shard.path.name}"


def read_configs(rows: Path) -> tuple[ConfigFiles, ...]:
    """Read what there is to know of every configuration, ``default`` first, then by name.

    Args:
        rows: Folder with one folder a configuration.

    Raises:
        ConfigError: No configuration, a missing shard, or a file that is not parquet.
    """
    if not rows.is_dir():
        raise ConfigError(f"{rows} is missing: the run has no rows; run `butwait build` to the end")
    folders = [f for f in rows.iterdir() if f.is_dir() and not f.name.startswith((".", "_"))]
    configs = [read_config(folder) for folder in sorted(folders)]
    if not configs:
        raise ConfigError(f"{rows} has no configuration; run `butwait build` to the end")
    return tuple(sorted(configs, key=lambda config: (config.name != "default", config.name)))


def read_config(folder: Path) -> ConfigFiles:
    """Read what there is to know of one configuration.

    Raises:
        ConfigError: A missing shard, or a file that is not parquet of the same columns.
    """
    if not CONFIG_NAME.fullmatch(folder.name):
        raise ConfigError(
            f"{folder.name!r} cannot be a configuration's name: use letters, digits, '_', '.', '-'"
        )
    paths = sorted(folder.glob("*.parquet"))
    _check_complete(folder, [path.name for path in paths])
    shards, sample, schema = [], None, None
    for path in paths:
        shard, shard_schema, first = _read_shard(path)
        if schema is not None and not shard_schema.equals(schema):
            raise ConfigError(f"{path} has other columns than {paths[0].name}; build the rows anew")
        schema = schema or shard_schema
        sample = sample or first
        shards.append(shard)
    return ConfigFiles(folder.name, tuple(shards), schema, sample)


def _check_complete(folder: Path, names: list[str]) -> None:
    """Raise unless every split has shards 0 to N-1 of one N."""
    matches = [SHARD_NAME.fullmatch(name) for name in names]
    strange = [name for name, match in zip(names, matches, strict=True) if match is None]
    if strange or not names:
        what = f"a file {strange[0]!r}" if strange else "no shard"
        raise ConfigError(f"{folder} has {what}; expected train-00000-of-0000N.parquet")
    seen: dict[str, list[tuple[int, int]]] = {}
    for match in matches:
        assert match is not None
        seen.setdefault(match["split"], []).append((int(match["index"]), int(match["total"])))
    for split, found in seen.items():
        total = found[0][1]
        if found != [(index, total) for index in range(total)]:
            raise ConfigError(
                f"{folder} has {len(found)} of {total} shards of {split}; "
                "run `butwait build` again to complete it"
            )


def _read_shard(path: Path) -> tuple[ShardFile, pa.Schema, dict[str, Any] | None]:
    """Return a shard's facts, its schema and its first row."""
    match = SHARD_NAME.fullmatch(path.name)
    assert match is not None
    try:
        with pq.ParquetFile(path) as file:
            meta = file.metadata
            groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
            rows = next(file.iter_batches(batch_size=1)).to_pylist() if meta.num_rows else []
            schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{path} cannot be read as parquet ({reason}); build the rows anew"
        ) from error
    if any(group.num_rows == 0 for group in groups):
        raise ConfigError(
            f"{path} has a row group without rows, which `datasets` cannot load; build it anew"
        )
    plain = sum(group.total_byte_size for group in groups)
    n_bytes, sha256 = path.stat().st_size, file_sha256(path)
    shard = ShardFile(path, match["split"], meta.num_rows, n_bytes, plain, sha256)
    return shard, schema, (rows[0] if rows else None)
