"""Which weights a model id means: a folder's content hash or a Hub commit.

An identity goes into cache keys and published rows, so it holds no absolute path of a machine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import ModelSpec
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


class ResolvedModel(Record):
    """A model that can be loaded."""

    location: str
    """Absolute folder or Hub id: what an engine is given."""
    id: str
    """What rows and caches call it; never an absolute path."""
    revision: str | None
    """Hub commit, or ``sha256:`` and 16 hexadecimal digits over the folder's content."""
    is_local: bool
    n_weight_bytes: int | None
    """Size of a local folder's weights."""


def is_local(spec: ModelSpec) -> bool:
    """Tell a local folder from a Hub id."""
    return spec.id.startswith((".", "/", "~"))


def resolve_model(spec: ModelSpec, base: Path) -> ResolvedModel:
    """Find out which weights a recipe's model is.

    Args:
        spec: The recipe's model.
        base: Folder that relative paths are relative to (the recipe's).

    Raises:
        ConfigError: No such folder, no model in it, or no such model on the Hub.
    """
    if is_local(spec):
        return _resolve_folder(spec, base)
    return ResolvedModel(
        location=spec.id,
        id=spec.id,
        revision=_pin_revision(spec),
        is_local=False,
        n_weight_bytes=None,
    )


def hash_folder(folder: Path) -> str:
    """Hash names and bytes of the files that decide what a model says, in name order."""
    names = sorted({path.name for pattern in CONTENT for path in folder.glob(pattern)})
    digest = hashlib.sha256()
    for path in (folder / name for name in names):
        if path.is_file():
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
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


def _pin_revision(spec: ModelSpec) -> str | None:
    """Ask the Hub for the commit that a revision names now; offline: as given."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

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
    except (HfHubHTTPError, OSError, httpx2.HTTPError):
        return spec.revision
