"""A recipe from a YAML file, with overrides; every mistake is one line with the way out."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import Recipe

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
"""Values of a document, those behind an alias as often as they are named."""
_MAX_KEY = 80
"""Characters of a key that are shown."""
R = TypeVar("R", bound=BaseModel)
_NO_YAML = (yaml.YAMLError, RecursionError, ValueError, OverflowError, LookupError, TypeError)
"""The parser lets errors of its conversions through, e.g. of a date that is none."""


class _UniqueKeys(yaml.SafeLoader):
    """The safe loader, which would take the last of two equal keys without a word.

    It would also follow aliases of aliases until the memory is full.
    """

    def get_single_node(self) -> Any:
        """Refuse a document that its aliases make larger than any recipe."""
        node = super().get_single_node()
        pending, n_nodes = [node], 0
        while pending:
            here = pending.pop()
            n_nodes += 1
            if n_nodes > MAX_NODES:
                raise yaml.YAMLError(f"more than {MAX_NODES} values, aliases counted")
            if isinstance(here, yaml.SequenceNode):
                pending += here.value
            elif isinstance(here, yaml.MappingNode):
                pending += [part for pair in here.value for part in pair]
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a mapping that names a key twice."""
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"key {twice!r} stands twice in one section{node.start_mark}")
        return super().construct_mapping(node, deep)


def load_recipe(
    path: Path,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    override_base: Path | None = None,
) -> Recipe:
    """Read, override and check a recipe.

    Args:
        path: YAML file.
        overrides: ``key=value`` strings; the key is a dotted path (``sampling.n=4``,
            ``sources.0.limit=10``), the value is YAML.
        limit: Rows to read of each source, over the recipe's own.
        override_base: Folder that local paths in overrides are relative to; default: the
            recipe's own, as for paths inside it.

    Raises:
        ConfigError: Missing or unreadable file, malformed YAML, unknown key (with the nearest
            known one) or a value out of range.
    """
    document = read_document(path, overrides, override_base)
    if limit is not None:
        document["limit"] = limit
    return check_recipe(document, str(path))


def read_document(
    path: Path, overrides: Sequence[str] = (), override_base: Path | None = None
) -> dict[str, Any]:
    """Read and override a recipe that is not checked yet; arguments as of `load_recipe`.

    Raises:
        ConfigError: Missing or unreadable file, malformed YAML, or an override without a value.
    """
    document = _read_yaml(path)
    for override in overrides:
        _apply(document, override, override_base)
    return document


def check_recipe(document: dict[str, Any], label: str, kind: type[R] = Recipe) -> R:  # type: ignore[assignment]
    """Validate a recipe document of some kind; ``label`` names it in errors.

    Raises:
        ConfigError: With the first mistake, in one line.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{label}: {_explain(error, kind)}") from error


def dump_recipe(recipe: BaseModel) -> str:
    """Return the effective recipe as YAML, defaults filled in."""
    document = recipe.model_dump(mode="json")
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"recipe {path} is larger than {MAX_BYTES} bytes: not a recipe")
        document = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"recipe {path} does not exist; see recipes/ for examples") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}") from error
    except _NO_YAML as error:
        what = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(f"recipe {path} is not valid YAML: {what}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"recipe {path} must be a mapping of keys, e.g. name: first-try")
    return document


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a safe loader


def _apply(document: dict[str, Any], override: str, base: Path | None) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override!r}: write key=value, e.g. --set sampling.n=4")
    try:
        value = _parse(text)
    except _NO_YAML as error:
        raise ConfigError(f"--set {override[:80]!r}: the value is not valid YAML") from error
    *parents, last = key.split(".")
    if base is not None and _is_local(key, last, value):
        value = str((base / Path(value).expanduser()).resolve())
    place: Any = document
    for part in parents:
        place = _descend(place, part, override)
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ConfigError(f"--set {override!r}: {'.'.join(parents)} is not a section")


def _is_local(key: str, last: str, value: object) -> bool:
    """Whether an override names a local path: typed in a shell, it is relative to the shell."""
    if not isinstance(value, str):
        return False
    return last in ("path", "run", "chat_template") or (
        key == "model.id" and value.startswith((".", "/", "~"))
    )


def _descend(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, part, override)]
    if not isinstance(place, dict):
        raise ConfigError(f"--set {override!r}: {part!r} is below a value, not a section")
    inner = place.get(part)
    if inner is None:
        place[part] = {}
    elif part == "server" and isinstance(inner, str):
        is_url = inner.startswith("http")
        place[part] = {"mode": "attach", "url": inner} if is_url else {"mode": inner}
    return place[part]


def _index(place: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise ConfigError(
            f"--set {override!r}: {part!r} is not an index of a list of {len(place)} items"
        )
    return int(part)


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """One line for the most telling mistake: an unknown key before its consequences."""
    details = sorted(error.errors(), key=lambda d: d["type"] != "extra_forbidden")
    first = details[0]
    place = ".".join(_readable(first["loc"])) or "recipe"
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] == "union_tag_not_found":
        key = _read_key(first)
        return f"'{place}.{key}' is required{more}"
    if first["type"] == "extra_forbidden":
        return f"unknown key {place!r}{_nearest(first['loc'], kind)}{more}"
    if first["type"] == "missing":
        return f"{place!r} is required{more}"
    shown = repr(first["input"])
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "union_tag_invalid":
        tag, expected = str(first["ctx"]["tag"])[:_MAX_KEY], str(first["ctx"]["expected_tags"])
        names = [name.strip(" '") for name in expected.split(",")]
        names = ["FILE.py:FUNCTION" if name == "own" else name for name in names]
        close = difflib.get_close_matches(tag, names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        key = _read_key(first)
        return f"{place}.{key}: {tag!r} is none of {', '.join(names)}{hint}{more}"
    seen = "" if isinstance(first["input"], dict) else f", not {shown}"
    return f"{place}: {message}{seen}{more}"


def _read_key(detail: Any) -> str:
    """The key that chooses between sections; pydantic names a function that reads it."""
    return str(detail["ctx"]["discriminator"]).strip("'").removesuffix("()").lstrip("_")


def _readable(place: tuple[int | str, ...]) -> list[str]:
    """The place as a person writes it: without the tag that pydantic adds below a union."""
    parts = [str(part)[:_MAX_KEY] for part in place]
    for section, n in (("rows", 2), ("search", 1)):
        if parts[:1] == [section] and len(parts) > n + 1:
            return parts[:n] + parts[n + 1 :]
    return parts


def _nearest(place: tuple[int | str, ...], kind: type[BaseModel]) -> str:
    """Suggest the known key nearest to the unknown one, from the model that refused it."""
    names = _known_keys(kind, list(place[:-1]))
    close = difflib.get_close_matches(str(place[-1])[:_MAX_KEY], names, 1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known keys here: {', '.join(sorted(names))}" if names else ""


def _known_keys(model: Any, place: list[int | str]) -> list[str]:
    models = _models_in(model)
    for part in place:
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field)]
        elif any(part == _tag(m) for m in models):
            models = [m for m in models if part == _tag(m)]
        elif "root" in (name for m in models for name in m.model_fields):
            models = [i for m in models for i in _models_in(m.model_fields["root"].annotation)]
    return [name for m in models for name in m.model_fields]


def _tag(model: type[BaseModel]) -> str | None:
    fields = model.model_fields
    field = fields.get("transform") or fields.get("method")
    if field is None:
        return None
    names = get_args(field.annotation)
    return str(names[0]) if names else "own"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """All record classes inside an annotation, through unions, tuples and dicts."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models_in(arg)]
