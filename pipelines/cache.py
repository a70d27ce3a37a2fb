"""The cache: a finished sample is never sampled twice, a scored prefix never scored twice.

It lies outside every run folder and is shared by all runs of a machine. The key is everything
that can change the output; errors are never stored. Leaves out several machines sharing one cache.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from butwait.schemas.errors import ConfigError
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest

KEY_VERSION = 1
_MAX_VARIABLES = 500
Table = Literal["completions", "scores"]


class CompletionCache(Protocol):
    """Completions by key."""

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Return what is known of ``keys``."""
        ...

    def put(self, items: Mapping[str, Completion]) -> None:
        """Store completions; an existing key keeps its first value."""
        ...


class ScoreCache(Protocol):
    """Step rewards by key."""

    def get_scores(self, keys: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return what is known of ``keys``."""
        ...

    def put_scores(self, items: Mapping[str, Sequence[float]]) -> None:
        """Store rewards; an existing key keeps its first value."""
        ...


def completion_key(identity: ModelIdentity, request: SampleRequest, index: int) -> str:
    """Return the key of one sample: SHA-256 over canonical JSON of all that shapes it.

    The question's id and the number of samples asked together are left out: neither changes what
    sample ``index`` is.
    """
    return hashlib.sha256(_write_shape(identity, request, index).encode()).hexdigest()


def completion_keys(identity: ModelIdentity, request: SampleRequest) -> list[str]:
    """Return the keys of all samples of a request, whose prefix may be long, in little time."""
    text = _write_shape(identity, request)
    # Quotes inside strings are escaped in JSON: nothing but the key itself reads like this.
    head, mark, tail = text.partition('"seed":')
    tail = tail.removeprefix(str(request.seed))
    begun = hashlib.sha256(f"{head}{mark}".encode())
    keys = []
    for index in range(request.n):
        whole = begun.copy()
        whole.update(f"{request.seed + index}{tail}".encode())
        keys.append(whole.hexdigest())
    return keys


def _write_shape(identity: ModelIdentity, request: SampleRequest, index: int = 0) -> str:
    shape = {
        "version": KEY_VERSION,
        "model": identity.id,
        "revision": identity.revision,
        "engine": identity.engine,
        "messages": [m.model_dump() for m in request.messages] if request.messages else None,
        "prompt": request.prompt,
        "prefix": request.prefix,
        "parameters": request.parameters.model_dump(mode="json"),
        "seed": request.seed + index,
        **_search_shape(request),
    }
    return _write_canonical(shape)


def hash_shape(shape: Mapping[str, object]) -> str:
    """Hash canonical JSON with SHA-256, in hexadecimal."""
    return hashlib.sha256(_write_canonical(shape).encode()).hexdigest()


def _write_canonical(shape: Mapping[str, object]) -> str:
    return json.dumps(shape, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _search_shape(request: SampleRequest) -> dict[str, object]:
    """What only the requests of a search have, so that the keys of others stay as they were."""
    shape: dict[str, object] = {}
    if not request.is_seeded:
        shape["seeded"] = False
    if request.with_tokens:
        shape["tokens"] = True
    if request.with_log_probs:
        shape["log_probs"] = True
    if request.prefix_tokens is not None:
        shape["prefix_tokens"] = list(request.prefix_tokens)
    return shape


class SqliteCache:
    """A cache in one SQLite file (write-ahead log), for one machine.

    ``synchronous=normal`` survives the death of any process; a power cut can lose the last
    commits, which are then sampled again.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            ConfigError: If the place cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Used by one thread at a time (the sampler's loop), opened in another.
            self._connection = sqlite3.connect(path, timeout=60.0, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            with self._connection:
                for table in ("completions", "scores"):
                    self._connection.execute(
                        f"CREATE TABLE IF NOT EXISTS {table} "
                        "(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
                    )
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"the completion cache {path} cannot be opened ({error}); "
                "choose another place with --cache or BUTWAIT_CACHE"
            ) from error

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Return what is known of ``keys``."""
        rows = self._read("completions", keys)
        return {key: Completion.model_validate_json(value) for key, value in rows}

    def put(self, items: Mapping[str, Completion]) -> None:
        """Store completions; an existing key keeps its first value."""
        self._write("completions", {key: item.model_dump_json() for key, item in items.items()})

    def get_scores(self, keys: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return what is known of ``keys``."""
        return {key: tuple(json.loads(value)) for key, value in self._read("scores", keys)}

    def put_scores(self, items: Mapping[str, Sequence[float]]) -> None:
        """Store rewards; an existing key keeps its first value."""
        self._write("scores", {key: json.dumps(list(item)) for key, item in items.items()})

    def _read(self, table: Table, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        for start in range(0, len(keys), _MAX_VARIABLES):
            part = keys[start : start + _MAX_VARIABLES]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, value FROM {table} WHERE key IN ({marks})"  # noqa: S608
            yield from self._connection.execute(query, part)

    def _write(self, table: Table, items: Mapping[str, str]) -> None:
        with self._connection:
            self._connection.executemany(
                f"INSERT OR IGNORE INTO {table} VALUES (?, ?)",  # noqa: S608
                list(items.items()),
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
