"""The card's front matter: what loaders and the Hub's viewer read of a dataset.

Leaves out the body for people, which is the card's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from butwait.pipelines.shards import ConfigFiles

TAGS = ("reasoning", "math", "synthetic", "butwait")
HUB_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "odc-by", "odbl", "pddl"),
        *("cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "cc-by-nc-4.0"),
        *("cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "unknown"),
    }
)
"""Licences that the Hub knows by these names; others are published as ``other``."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))


def front_matter(manifest: Mapping[str, Any], configs: Sequence[ConfigFiles]) -> dict[str, Any]:
    """Return the card's metadata for loaders and the Hub's viewer.

    A configuration without rows is left out, because ``datasets`` refuses to load one.
    """
    configs = [config for config in configs if config.n_rows]
    n_rows = sum(config.n_rows for config in configs)
    size = next((name for limit, name in SIZES if n_rows < limit), "n>1M")
    return {
        "pretty_name": _one_line(manifest.get("name", "dataset")),
        **choose_licence([source.get("licence") for source in manifest.get("sources", ())]),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "tags": [*TAGS, *(["r1-derived"] if is_r1_derived(manifest) else [])],
        "configs": [_locate_config(config, first=i == 0) for i, config in enumerate(configs)],
        "dataset_info": [describe_config(config) for config in configs],
    }


def is_r1_derived(manifest: Mapping[str, Any]) -> bool:
    """Whether a source or the sampled model is declared as derived from DeepSeek-R1."""
    declared = [*manifest.get("sources", ()), manifest.get("model") or {}]
    return any(bool(item.get("r1_derived")) for item in declared)


def choose_licence(licences: Sequence[str | None]) -> dict[str, str]:
    """Return the Hub's licence fields for the sources' licences.

    One known licence is named; different or unlisted ones become ``other``, and the card's table
    of sources says which.
    """
    names = {_one_line(name).lower() if name else "unknown" for name in licences} or {"unknown"}
    if len(names) == 1:
        name = next(iter(names))
        if name in HUB_LICENCES:
            return {"license": name}
        slug = re.sub(r"[^a-z0-9.]+", "-", name).strip("-")
        return {"license": "other", "license_name": slug or "unlisted"}
    return {"license": "other", "license_name": "mixed-see-sources"}


def describe_config(config: ConfigFiles) -> dict[str, Any]:
    """Return one entry of ``dataset_info``: features, splits and sizes."""
    from datasets import DatasetInfo, Features
    from datasets.info import DatasetInfosDict
    from datasets.splits import SplitDict, SplitInfo
    from huggingface_hub import DatasetCardData

    splits = {
        name: SplitInfo(name, sum(s.n_plain_bytes for s in shards), sum(s.n_rows for s in shards))
        for name, shards in config.splits.items()
    }
    info = DatasetInfo(
        features=Features.from_arrow_schema(config.schema),
        splits=SplitDict(splits),
        download_size=sum(shard.n_bytes for shard in config.shards),
        dataset_size=sum(shard.n_plain_bytes for shard in config.shards),
    )
    data = DatasetCardData()
    DatasetInfosDict({config.name: info}).to_dataset_card_data(data)
    described: dict[str, Any] = {"config_name": config.name, **data.to_dict()["dataset_info"]}
    return described


def _locate_config(config: ConfigFiles, *, first: bool) -> dict[str, Any]:
    files = [
        {"split": split, "path": f"data/{config.name}/{split}-*.parquet"} for split in config.splits
    ]
    located: dict[str, Any] = {"config_name": config.name, "data_files": files}
    if first and config.name != "default":
        located["default"] = True
    return located


def read_front_matter(card: str) -> dict[str, Any]:
    """Return a card's front matter, empty where there is none that can be read."""
    match = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        front = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return {}
    return front if isinstance(front, dict) else {}


def place_configs(card: str, folders: Mapping[str, str]) -> str:
    """Return a card whose configurations name these folders.

    Args:
        card: With ``data/<config>/<split>-*.parquet`` for each configuration.
        folders: Folder by configuration.
    """
    front, body = read_front_matter(card), card.split("\n---\n", 1)[-1]
    for config in front.get("configs") or ():
        for files in config["data_files"]:
            folder = folders.get(config["config_name"], f"data/{config['config_name']}")
            files["path"] = f"{folder}/{files['path'].rpartition('/')[2]}"
    spelled = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{spelled}---\n{body}"


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
