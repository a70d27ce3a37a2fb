"""Transforms of one's own: found and read once by the driver, loaded again by every worker.

A file's source travels to the workers as text, so that they need no common disk; a module must be
installed where they run. The hash of the source is part of the rows' fingerprint: edited code
makes the rows anew. Left out: what the function is asked and what becomes of its errors
(``transforms/own.py``).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_rows import OwnSpec, RowSpec
from butwait.schemas.record import Record
from butwait.transforms.own import OwnTransform

MAX_BYTES = 1_000_000


class OwnCode(Record):
    """One transform: what a worker needs to load it."""

    name: str
    """As the recipe has it."""
    module: str
    """Of an installed module its name, of a file its file name."""
    function: str
    source: str | None
    """A file's text; None: the module is installed."""
    sha256: str
    """Of the file, or of the installed module's file."""


def find_own(configs: Mapping[str, RowSpec], base: Path) -> tuple[OwnCode, ...]:
    """Find the transforms of one's own that a recipe names, and try that they load.

    Args:
        configs: The recipe's ``rows``.
        base: Folder of the recipe, which paths are relative to.

    Raises:
        ConfigError: No such file or module, one that does not load, no such function, or one that
            does not take what it will be given.
    """
    named = {s.transform: (key, s) for key, s in configs.items() if isinstance(s, OwnSpec)}
    found = []
    for name, (key, spec) in named.items():
        code = _find(name, base, f"rows.{key}.transform")
        _check_call(load_own([code])[name], spec, f"rows.{key}")
        found.append(code)
    return tuple(found)


def load_own(codes: Iterable[OwnCode]) -> dict[str, OwnTransform]:
    """Load transforms, by their names in the recipe.

    Raises:
        ConfigError: One does not load here.
    """
    return {code.name: _load(code) for code in codes}


def _find(name: str, base: Path, key: str) -> OwnCode:
    place, _, function = name.rpartition(":")
    path = base / Path(place).expanduser()
    beside = base / f"{place}.py"
    if place.endswith(".py") or beside.is_file():
        path = path if place.endswith(".py") else beside
        source = _read_file(path, key)
        return OwnCode(
            name=name, module=path.name, function=function, source=source, sha256=_hash(source)
        )
    if "/" in place:
        raise ConfigError(f"{key}: {place!r} is no Python file; write FILE.py:FUNCTION")
    try:
        spec = importlib.util.find_spec(place)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key}: module {place!r} cannot be found: {error}") from error
    if spec is None:
        raise ConfigError(
            f"{key}: there is neither a module {place!r} installed here nor a file {beside}; "
            "write FILE.py:FUNCTION, or install the package"
        )
    origin = spec.origin or ""
    text = _read_file(Path(origin), key) if origin.endswith(".py") else place
    return OwnCode(name=name, module=place, function=function, source=None, sha256=_hash(text))


def _read_file(path: Path, key: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{key}: {path} is larger than {MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error}") from error


def _load(code: OwnCode) -> OwnTransform:
    try:
        is_installed = code.source is None
        module = importlib.import_module(code.module) if is_installed else _load_text(code)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ConfigError(f"transform {code.name!r} does not load: {what}") from error
    function = getattr(module, code.function, None)
    if not callable(function):
        known = [n for n, f in vars(module).items() if inspect.isfunction(f) and n[0] != "_"]
        shown = f"; it has {', '.join(sorted(known)[:8])}" if known else ""
        raise ConfigError(f"transform {code.name!r}: no function {code.function!r} there{shown}")
    loaded: OwnTransform = function
    return loaded


class _Text(importlib.abc.InspectLoader):
    """Loads a module from its text, with the import system's own means."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        """Return the module's text."""
        del fullname
        return self._source


def _load_text(code: OwnCode) -> ModuleType:
    assert code.source is not None
    name = f"butwait_own_{code.sha256[:12]}"
    spec = importlib.util.spec_from_loader(name, _Text(code.source), origin=code.module)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check_call(function: OwnTransform, spec: OwnSpec, key: str) -> None:
    """Refuse a function that cannot be called as it will be."""
    given: list[Any] = [None, None, 0]
    try:
        inspect.signature(function).bind(*given, **spec.options)
    except TypeError as error:
        raise ConfigError(
            f"{key}: {spec.transform!r} is called as function(question, group, seed"
            f"{''.join(f', {name}=...' for name in spec.options)}): {error}"
        ) from error
    except ValueError:
        return  # built in C: it tells nothing of itself


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
