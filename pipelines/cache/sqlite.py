"""A cache in one SQLite file with a write-ahead log: for one machine.

``synchronous=normal`` survives the death of any process; a power cut can lose the last commits,
which are then sampled again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from butwait.pipelines.cache.database import INDEX, TABLES, Row, Statement
from butwait.schemas.errors import ConfigError

WAIT_S = 60.0
"""How long to wait for another writer."""


class SqliteDatabase:
    """Implements ``Database``.

    Args:
        path: The file; it and its folder are made where they are missing.

    Raises:
        ConfigError: The place cannot be written, or holds something else.
    """

    has_claims = False
    octets = "length(CAST({} AS BLOB))"

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Used by one thread at a time (the sampler's loop), opened in another.
            self._connection = sqlite3.connect(
                path, timeout=WAIT_S, check_same_thread=False, isolation_level=None
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            if self._missing():
                self._make_tables()
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"the completion cache {path} cannot be opened ({error}); "
                "choose another place with --cache or BUTWAIT_CACHE"
            ) from error

    def read(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a query."""
        with self._named():
            return self._connection.execute(query, values).fetchall()

    def write(self, statements: Sequence[Statement]) -> None:
        """Run statements in one transaction."""
        with self._named(), self._transaction():
            for statement, rows in statements:
                self._connection.executemany(statement, rows)

    def n_bytes(self) -> int:
        """Return the size of the file and its log."""
        log = self._path.with_name(f"{self._path.name}-wal")
        return sum(path.stat().st_size for path in (self._path, log) if path.is_file())

    def compact(self) -> str | None:
        """Write the file anew without its holes, where no other process has it open.

        A running build would wait for the whole of it, so it goes first.
        """
        try:
            self._connection.execute("PRAGMA busy_timeout=0")
            # Leaving the write-ahead log succeeds for the only connection alone.
            self._connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            return "another process has the cache open: freed space is filled before the file grows"
        finally:
            self._connection.execute(f"PRAGMA busy_timeout={int(WAIT_S * 1000)}")
        try:
            self._connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            return f"the file could not be written anew ({error})"
        finally:
            self._connection.execute("PRAGMA journal_mode=WAL")
        return None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ConfigError(
                f"the completion cache {self._path} cannot be used ({error}); "
                "choose another place with --cache or BUTWAIT_CACHE"
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # A transaction that begins by reading could not wait for its turn to write.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _missing(self) -> list[str]:
        """List the statements that make what the file lacks: tables, and columns of older files."""
        statements = []
        for table, columns in TABLES.items():
            known = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
            if known:
                statements += [
                    f"ALTER TABLE {table} ADD COLUMN {name} {kind}"
                    for name, kind in columns
                    if name not in known
                ]
                continue
            kinds = ", ".join(f"{name} {kind}" for name, kind in columns)
            # An integer key of this spelling is the row's own number and takes no space.
            kinds = kinds.replace("id BIGINT PRIMARY", "id INTEGER PRIMARY")
            plain = table in ("requests", "settings")
            end = "" if plain else " WITHOUT ROWID"
            statements.append(f"CREATE TABLE {table} ({kinds}){end}")
            if table == "requests":
                statements.append(INDEX)
        return statements

    def _make_tables(self) -> None:
        with self._transaction():
            for statement in self._missing():  # again: another process may have been faster
                self._connection.execute(statement)
