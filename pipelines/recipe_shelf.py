"""Recipes to begin with: templates installed with the package, and those in ``recipes/``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml

from butwait.schemas.errors import ConfigError
from butwait.schemas.record import Record

Kind = Literal["build", "eval", "train sft", "train grpo", "train dpo", "train prm"]
TEMPLATES = Path(__file__).parent / "recipe_templates"
MAX_BYTES = 1_000_000
_COMMAND = re.compile(r"^#\s+butwait (build|eval|train (?:sft|grpo|dpo|prm)) ", re.M)
_END = re.compile(r"(?<!\bDr)[.;] ")
_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,63}$")


class Listed(Record):
    """One recipe on the shelf."""

    name: str
    """Of a template its name, of a file its path."""
    command: str
    """What runs it; empty where the file does not say."""
    about: str
    """Its first comment."""


def list_recipes(folder: Path) -> Iterator[Listed]:
    """Yield the templates, then the recipes below a folder.

    Args:
        folder: Usually ``recipes``; may be missing.
    """
    for path in sorted(TEMPLATES.glob("*.yaml")):
        yield _describe(path, path.stem)
    for path in sorted(folder.rglob("*.yaml")):
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            yield _describe(path, path.as_posix())


def find_recipe(name: str, folder: Path) -> Path:
    """Find a recipe by a template's name, its path, or its name below a folder.

    Raises:
        ConfigError: There is none, or several.
    """
    template = TEMPLATES / f"{name}.yaml"
    if _NAME.match(name) and template.is_file():
        return template
    path = Path(name)
    if path.is_file():
        return path
    wanted = name.removesuffix(".yaml")
    found = [p for p in sorted(folder.rglob("*.yaml")) if p.as_posix().endswith(f"/{wanted}.yaml")]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(p.as_posix() for p in found[:5])
        raise ConfigError(f"{len(found)} recipes are called {name!r}: give the path, e.g. {shown}")
    known = ", ".join(sorted(p.stem for p in TEMPLATES.glob("*.yaml")))
    raise ConfigError(
        f"no recipe {name!r}: the templates are {known}; `butwait recipes list` shows files too"
    )


def write_new(path: Path, template: str) -> Path:
    """Write a template under a name of one's own; the recipe's name is the file's.

    Args:
        path: File to write; ``.yaml`` is added where it lacks.
        template: Name of a template.

    Raises:
        ConfigError: No such template, a file that exists, a name that no recipe may have, or a
            folder that cannot be written.
    """
    path = path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")
    if not _NAME.match(path.stem):
        raise ConfigError(
            f"{path.stem!r} cannot name a recipe: lower-case letters, digits, - . _, at most 64"
        )
    source = TEMPLATES / f"{template}.yaml"
    if not _NAME.match(template) or not source.is_file():
        known = ", ".join(sorted(p.stem for p in TEMPLATES.glob("*.yaml")))
        raise ConfigError(f"no template {template!r}: there are {known}")
    text = source.read_text(encoding="utf-8").replace("MY-NAME", path.stem)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists and is not overwritten: give another name") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error
    return path


def _describe(path: Path, name: str) -> Listed:
    text = path.read_text(encoding="utf-8", errors="replace")
    return Listed(name=name, command=_find_command(text), about=_read_comment(text))


def _find_command(text: str) -> str:
    """The command that runs a recipe: its comment says it, or its keys do."""
    named = _COMMAND.search(text)
    if named:
        return named.group(1)
    try:
        keys = set(yaml.safe_load(text) or ())
    except (yaml.YAMLError, RecursionError, TypeError):
        return ""
    if "sources" in keys:
        return "build"
    return "eval" if "models" in keys else "train" if "data" in keys else ""


def _read_comment(text: str) -> str:
    """The first sentence of the comment at the head of a file."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#") or not line.strip("# "):
            break
        lines.append(line.lstrip("# ").strip())
    return _END.split(" ".join(lines), maxsplit=1)[0].rstrip(".")[:160]
