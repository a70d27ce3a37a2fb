"""Which weights a model id means: a folder's content hash or a Hub commit.

An identity goes into cache keys and published rows, so it holds no absolute path of a machine.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_sections import ModelSpec
from butwait.schemas.record import Record

CONTENT = (
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
    "chat_template*",
)
"""Files that decide what a model says; training records and cards do not count."""
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
COMMIT = re.compile("[0-9a-f]{40}")


class ResolvedModel(Record):
    """A model that can be loaded."""

    location: str
    """Absolute folder or Hub id: what an engine is given."""
    id: str
    """What rows and caches call it; never an absolute path."""
    revision: str | None
    """Hub commit, or ``sha256:`` and 16 hexadecimal digits over the folder's content; without
    the Hub what the recipe says, None for an attached model of which nothing is known."""
    is_local: bool
    n_weight_bytes: int | None
    """Size of a local folder's weights."""


def is_local(spec: ModelSpec) -> bool:
    """Tell a local folder from a Hub id."""
    return spec.id.startswith((".", "/", "~"))


def resolve_model(spec: ModelSpec, base: Path, *, is_attached: bool = False) -> ResolvedModel:
    """Find out which weights a recipe's model is.

    Args:
        spec: The recipe's model.
        base: Folder that relative paths are relative to (the recipe's).
        is_attached: Whether a running server has the model; its revision may then stay unknown
            (None) where the Hub does not answer.

    Raises:
        ConfigError: No such folder, no model in it, no such model on the Hub, or a Hub that does
            not answer for a model without a revision.
    """
    if is_local(spec):
        return _resolve_folder(spec, base)
    return ResolvedModel(
        location=spec.id,
        id=spec.id,
        revision=_pin_revision(spec, is_attached),
        is_local=False,
        n_weight_bytes=None,
    )


def hash_folder(folder: Path) -> str:
    """Hash names and bytes of the files that decide what a model says, in name order."""
    names = sorted({path.name for pattern in CONTENT for path in folder.glob(pattern)})
    files = [folder / name for name in names if (folder / name).is_file()]
    told = [(path, path.stat()) for path in files]
    return _hash_files(tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in told))


@lru_cache(maxsize=256)
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash files that are as large and as old as told: one model is asked for many times a run."""
    digest = hashlib.sha256()
    for path, size, _ in files:
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:16]}"


def _resolve_folder(spec: ModelSpec, base: Path) -> ResolvedModel:
    folder = (base / Path(spec.id).expanduser()).resolve()
    if not folder.is_dir():
        raise ConfigError(f"model {spec.id!r}: there is no folder {folder}")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model {spec.id!r}: {folder} has no config.json, it is no model folder")
    weights = [path for pattern in WEIGHTS for path in folder.glob(pattern)]
    if not weights:
        raise ConfigError(f"model {spec.id!r}: {folder} has no weights ({', '.join(WEIGHTS)})")
    return ResolvedModel(
        location=str(folder),
        id=_name_folder(folder, base.resolve()),
        revision=hash_folder(folder),
        is_local=True,
        n_weight_bytes=sum(path.stat().st_size for path in weights),
    )


def _name_folder(folder: Path, base: Path) -> str:
    """Name a folder by its path below the recipe, or by its last two parts."""
    if folder.is_relative_to(base) and folder != base:
        return folder.relative_to(base).as_posix()
    return "/".join(folder.parts[1:][-2:])


def _pin_revision(spec: ModelSpec, is_attached: bool) -> str | None:
    """Ask the Hub for the commit that a revision names now; offline: cached, else as given."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import httpx

    try:
        return str(HfApi().model_info(spec.id, revision=spec.revision, timeout=20.0).sha)
    except GatedRepoError:
        return spec.revision  # public information says enough for the server to explain itself
    except RevisionNotFoundError as error:
        raise ConfigError(f"model {spec.id!r} has no revision {spec.revision!r}") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ConfigError(
            f"model {spec.id!r} is not on the Hub (or private: log in); a local folder starts "
            "with './', '/' or '~'"
        ) from error
    except (HfHubHTTPError, OSError, httpx.HTTPError) as error:
        known = _find_cached_commit(spec) or spec.revision
        if known is None and not is_attached:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ConfigError(
                f"model {spec.id!r}: the Hub does not answer ({reason}) and model.revision (None) "
                "is no commit: pin one, or try again"
            ) from error
        return known


def _find_cached_commit(spec: ModelSpec) -> str | None:
    """Find the commit that a revision named when the model was last loaded on this machine."""
    from huggingface_hub import try_to_load_from_cache

    if spec.revision is not None and COMMIT.fullmatch(spec.revision):
        return spec.revision
    path = try_to_load_from_cache(spec.id, "config.json", revision=spec.revision)
    commit = Path(path).parent.name if isinstance(path, str) else ""
    return commit if COMMIT.fullmatch(commit) else None
