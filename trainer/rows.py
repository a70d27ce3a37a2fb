"""The rows that are trained on: a Hub dataset, a finished run, or local files.

Rows are read whole and stay on disk (memory-mapped), so memory does not grow with them. Left out:
streaming, because the order of the rows must be the same after a resume.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.schemas.errors import ConfigError, HubError, SourceError
from butwait.schemas.recipe_train import DataSpec

KINDS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}


@dataclass(frozen=True)
class Rows:
    """A dataset and where it came from.

    ``table`` is a ``datasets.Dataset``; ``dropped`` counts rows by the reason they were left out.
    """

    table: Any
    origin: dict[str, str | None]
    dropped: dict[str, int]


def read_rows(data: DataSpec, base: Path, wanted: tuple[str, ...]) -> Rows:
    """Read the rows of a recipe.

    Args:
        data: Where they are.
        base: Folder that relative paths are relative to.
        wanted: Column sets of which one must be there, each as names joined by ``+``.

    Raises:
        SourceError: Nothing there, not readable, other columns, or no row left.
        HubError: The Hub did not answer.
    """
    table, origin = _read_hub(data) if data.hub is not None else _read_files(data, base)
    _check_columns(table.column_names, wanted, origin)
    if data.limit is not None:
        table = table.select(range(min(data.limit, len(table))))
    table, dropped = _keep_by_rate(table, data)
    origin |= _read_provenance(table)
    if len(table) == 0:
        seen = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "the file is empty"
        raise SourceError(f"{origin['from']} has no usable row ({seen})")
    return Rows(table, origin, dropped)


def _read_provenance(table: Any) -> dict[str, str | None]:
    """Return the licences of rows made by butwait and whether one derives from DeepSeek-R1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, str | None] = {"licences": None, "r1_derived": None}
    if "provenance" not in table.column_names or len(table) == 0:
        return found
    column = table.with_format("arrow")["provenance"][:]
    names = column.type.names if pa.types.is_struct(column.type) else ()
    if "licence" in names:
        licences = pc.unique(pc.struct_field(column, "licence")).to_pylist()
        found["licences"] = ", ".join(sorted(str(name) for name in licences)[:10])
    if "r1_derived" in names:
        found["r1_derived"] = (
            "yes" if pc.any(pc.struct_field(column, "r1_derived")).as_py() else "no"
        )
    return found


def _read_hub(data: DataSpec) -> tuple[Any, dict[str, str | None]]:
    from datasets import load_dataset
    from huggingface_hub import HfApi

    assert data.hub is not None

    def refuse(error: Exception) -> HubError:
        return HubError(
            f"dataset {data.hub!r}, config {data.config!r}, split {data.split!r}, revision "
            f"{data.revision!r} cannot be loaded: {_explain_hub(error)}"
        )

    try:
        info = HfApi().dataset_info(data.hub, revision=data.revision)
    except Exception as error:
        raise refuse(error) from error
    if info.id != data.hub:
        raise HubError(f"{data.hub} was renamed to {info.id}; name {info.id} in the recipe")
    commit = info.sha
    try:
        table = load_dataset(data.hub, data.config, split=data.split, revision=commit)
    except Exception as error:
        raise refuse(error) from error
    where = f"{data.hub} ({data.config}, {data.split})"
    return table, {"from": where, "hub": data.hub, "revision": commit, "config": data.config}


def _explain_hub(error: Exception) -> str:
    """Return why a dataset cannot be had and what to do, without the token."""
    from huggingface_hub import errors, get_token

    if isinstance(error, errors.GatedRepoError):
        return "it is gated: accept its terms on its page on the Hub and log in"
    if isinstance(error, errors.RevisionNotFoundError):
        return "there is no such revision"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such dataset, or it is private and HF_TOKEN does not open it"
    what = " ".join(str(error).split())[:300]
    token = get_token()
    return what.replace(token, "***") if token else what


def _read_files(data: DataSpec, base: Path) -> tuple[Any, dict[str, str | None]]:
    from datasets import load_dataset

    folder = _find(data, base)
    files = [folder] if folder.is_file() else sorted(_list_shards(folder))
    if not files:
        raise SourceError(f"{folder} holds no .parquet, .jsonl or .json file")
    kind = KINDS.get(files[0].suffix)
    if kind is None or any(KINDS.get(file.suffix) != kind for file in files):
        raise SourceError(f"{folder}: expected .parquet, .jsonl or .json, one kind alone")
    try:
        table = load_dataset(kind, data_files=[str(file) for file in files], split="train")
    except Exception as error:
        what = " ".join(str(error.__cause__ or error).split())[:300]
        raise SourceError(f"{folder} cannot be read: {what}") from error
    shown = data.run if data.run is not None else data.path
    config = data.config if data.run is not None else None
    return table, {
        "from": f"{shown} ({config})" if config else str(shown),
        "hub": None,
        "revision": _hash_files(files),
        "config": config,
    }


def _find(data: DataSpec, base: Path) -> Path:
    """Find the folder or file of local rows."""
    place = (base / Path(data.run or data.path or "").expanduser()).resolve()
    if not place.exists():
        what = "run folder" if data.run is not None else "file or folder of rows"
        way = ": make it with `butwait build`" if data.run is not None else ""
        raise SourceError(f"{what} {place} does not exist{way}")
    if data.run is None:
        return place
    rows = place / "rows"
    if not (rows / "_stage.json").is_file():
        raise SourceError(f"{place} has no finished rows: run `butwait build` on its recipe first")
    if not (rows / data.config).is_dir():
        known = ", ".join(sorted(folder.name for folder in rows.iterdir() if folder.is_dir()))
        raise SourceError(f"{place} has no configuration {data.config!r}; it has {known}")
    return rows / data.config


def _list_shards(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.suffix in KINDS and not p.name.startswith((".", "_"))]


def _hash_files(files: list[Path]) -> str:
    """Hash names and contents, so that a card can say which bytes were trained on."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            for chunk in iter(lambda: stream.read(1 << 20), b""):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()[:32]}"


def _check_columns(found: list[str], wanted: tuple[str, ...], origin: dict[str, Any]) -> None:
    if any(set(names.split("+")) <= set(found) for names in wanted):
        return
    needed = ", or ".join(names.replace("+", " and ") for names in wanted)
    raise SourceError(f"{origin['from']} has the columns {', '.join(found)}; needed: {needed}")


def _keep_by_rate(table: Any, data: DataSpec) -> tuple[Any, dict[str, int]]:
    """Leave out questions that are too easy or too hard by their recorded pass rate."""
    low, high = data.min_pass_rate, data.max_pass_rate
    if low is None and high is None:
        return table, {}
    if "pass_rate" not in table.column_names:
        raise ConfigError("min_pass_rate and max_pass_rate need a column 'pass_rate'")
    rates = list(table["pass_rate"])
    odd = next((r for r in rates if r is not None and not isinstance(r, int | float)), None)
    if odd is not None:
        raise SourceError(f"the column 'pass_rate' holds {str(odd)[:80]!r}: it must hold numbers")
    hard = {i for i, rate in enumerate(rates) if rate is not None and low and rate < low}
    easy = {
        i for i, rate in enumerate(rates) if rate is not None and high is not None and rate > high
    }
    kept = [i for i in range(len(table)) if i not in hard and i not in easy]
    dropped = {"pass rate too low": len(hard), "pass rate too high": len(easy)}
    return table.select(kept), {reason: n for reason, n in dropped.items() if n}
