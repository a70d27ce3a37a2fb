"""What an inspection says of a run, and the reading of files that may be damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from butwait.pipelines.places import AnyPath
from butwait.pipelines.tables import count_rows, read_columns
from butwait.schemas.errors import ButwaitError

Kind = Literal["build", "evaluation", "training"]
T = TypeVar("T")


@dataclass(frozen=True)
class Inspection:
    """A run in a few figures; what is not known is None or empty."""

    kind: Kind
    name: str
    folder: str
    state: str
    """``whole``, or what is missing."""
    made: dict[str, Any]
    """Model, sources or data, engine, seed."""
    versions: dict[str, str]
    stages: tuple[dict[str, Any], ...] = ()
    totals: dict[str, int] = field(default_factory=dict)
    drops: tuple[dict[str, Any], ...] = ()
    """The largest reasons for leaving something out."""
    rows: dict[str, int] = field(default_factory=dict)
    """By configuration, or cells by arm."""
    verdicts: dict[str, int] = field(default_factory=dict)
    pass_rate: float | None = None
    """Correct samples over those that were asked for."""
    tokens: int | None = None
    cached: int | None = None
    """Samples that the cache answered; None: not recorded."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The last ones of a training."""
    places: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    next: str = ""
    """The command to run now."""


class Reader:
    """Reads what may be damaged and remembers what was."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def attempt(self, read: Callable[[], T], default: T) -> T:
        """Return what a reader returns; the default, and a problem, where it fails."""
        try:
            return read()
        except (ButwaitError, OSError, ValueError, KeyError, RecursionError) as error:
            line = " ".join(str(error).split())
            if line not in self.problems:
                self.problems.append(line)
            return default

    def document(self, path: Path) -> dict[str, Any]:
        """Return a JSON object; empty where there is none, or none that can be read."""
        if not path.is_file():
            return {}
        text = self.attempt(partial(path.read_text, encoding="utf-8"), "null")
        found = self.attempt(partial(json.loads, text), None)
        if not isinstance(found, dict):
            self.problems.append(f"{path} is no JSON object")
            return {}
        return found

    def count(self, paths: Iterable[AnyPath]) -> int:
        """Return the rows of some files, those that can be read."""
        return sum(self.attempt(partial(count_rows, path), 0) for path in paths)

    def rows(self, path: AnyPath, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Return small columns of one fragment; nothing of one that cannot be read."""
        return self.attempt(lambda: list(read_columns(path, columns)), [])


def read_recipe(root: Path, read: Reader) -> dict[str, Any]:
    """Return a run's effective recipe; empty where there is none, or none that can be read."""
    path = root / "recipe.yaml"
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        read.problems.append(f"{path} cannot be read: {' '.join(str(error).split())[:200]}")
        return {}
    return found if isinstance(found, dict) else {}


def tell_versions(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the versions that a manifest names."""
    named = {
        "butwait": manifest.get("butwait_version"),
        "verifier": manifest.get("verifier_version"),
    }
    others = manifest.get("versions")
    both = {**named, **(others if isinstance(others, dict) else {})}
    return {str(name): str(version) for name, version in both.items() if version}


def find_places(**places: AnyPath) -> dict[str, str]:
    """Return those of some paths that exist."""
    return {name: str(path) for name, path in places.items() if path.is_dir() or path.is_file()}


def is_held(root: Path) -> bool:
    """Whether another process holds the folder's lock."""
    try:
        import fcntl

        with (root / ".lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, FileNotFoundError):
        return False
    except OSError:
        return True
    return False
