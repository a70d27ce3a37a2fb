"""A cache in a PostgreSQL database: for several machines that share it.

One connection a process. A connection that drops is made again: every read can be repeated, and a
write that was done already changes nothing the second time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from butwait.pipelines.cache.database import INDEX, TABLES, Row, Statement
from butwait.pipelines.cache.passwords import hide_password
from butwait.schemas.errors import ConfigError

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each try to connect again: a database that is started again is back within them."""
_CLAIMS = (
    "CREATE UNLOGGED TABLE IF NOT EXISTS claims "
    "(key TEXT PRIMARY KEY, owner TEXT NOT NULL, until BIGINT NOT NULL)"
)
_LOCK = 0x62757477
"""Number of the advisory lock under which tables are made; any number that is not another's."""


class PostgresDatabase:
    """Implements ``Database`` with psycopg 3.

    Args:
        address: ``postgresql://user@host/database``. A password comes better from ``~/.pgpass`` or
            PGPASSWORD than from the address, which other users of the machine can see.
        pauses_s: Before each try to connect again.

    Raises:
        ConfigError: psycopg is not installed, or the database cannot be reached or written.
    """

    has_claims = True
    octets = "octet_length({})"

    def __init__(self, address: str, pauses_s: Sequence[float] = PAUSES_S) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(
                f"a cache in PostgreSQL needs psycopg ({error}): "
                'install it with pip install "butwait[postgres]"'
            ) from error
        self._errors = psycopg.Error
        self._drops = (psycopg.OperationalError, psycopg.InterfaceError)
        self._address = address
        self._pauses_s = pauses_s
        self._process = os.getpid()
        try:
            self._connection = self._connect()
            self._make_tables()
        except psycopg.Error as error:
            raise self._refuse("cannot be opened", error) from _cause(error)

    def read(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a query."""
        return self._repeat(lambda c: c.execute(_translate(query), values).fetchall())

    def write(self, statements: Sequence[Statement]) -> None:
        """Run statements in one transaction, sent together."""

        def run(connection: psycopg.Connection[Row]) -> None:
            with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
                for statement, rows in statements:
                    if len(rows) == 1:
                        cursor.execute(_translate(statement), rows[0])
                    else:
                        cursor.executemany(_translate(statement), rows)

        self._repeat(run)

    def n_bytes(self) -> int:
        """Return the size of the tables and their indexes."""
        total = " + ".join(f"pg_total_relation_size('{table}')" for table in TABLES)
        return int(self.read(f"SELECT {total}")[0][0])

    def compact(self) -> str | None:
        """Free the space of what was deleted, beside whoever is at work."""
        for table in TABLES:
            self._repeat(lambda c, name=table: c.execute(f"VACUUM (ANALYZE) {name}"))  # type: ignore[misc]
        return "PostgreSQL keeps freed space for new entries; VACUUM FULL gives it back to the disk"

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _connect(self) -> psycopg.Connection[Row]:
        import psycopg

        self._process = os.getpid()
        return psycopg.connect(
            self._address,
            autocommit=True,
            connect_timeout=10,
            client_encoding="UTF8",
            application_name="butwait",
            # A pooler between us may give every statement another connection.
            prepare_threshold=None,
        )

    def _repeat(self, run: Callable[[psycopg.Connection[Row]], T]) -> T:
        """Run something, and again over a new connection where the one at hand is gone.

        Raises:
            ConfigError: The database cannot be reached any more, or refuses.
        """
        failure: Any = None
        for pause in (None, *self._pauses_s):
            try:
                if pause is not None or os.getpid() != self._process:
                    time.sleep(pause or 0.0)
                    self._connection = self._connect()
                return run(self._connection)
            except self._drops as error:
                failure = error
            except self._errors as error:
                raise self._refuse("refused", error) from _cause(error)
        raise self._refuse("does not answer any more", failure) from _cause(failure)

    def _make_tables(self) -> None:
        with self._connection.transaction():
            self._check_encoding()
            found = self._connection.execute(
                "SELECT COUNT(*) FROM unnest(%s::text[]) AS t (name) "
                "WHERE to_regclass(t.name) IS NOT NULL",
                [[*TABLES, "claims"]],
            ).fetchone()
            if found == (len(TABLES) + 1,):
                return
            # Two processes that make one table at a time would refuse each other.
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            for table, columns in TABLES.items():
                kinds = ", ".join(f"{name} {kind}" for name, kind in columns)
                self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({kinds})".encode())
            self._connection.execute(INDEX)
            self._connection.execute(_CLAIMS)

    def _check_encoding(self) -> None:
        encoding = self._connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ConfigError(
                f"the completion cache {self._shown} is a database in {encoding}, which "
                "cannot hold every text: createdb --encoding UTF8 --template template0"
            )

    @property
    def _shown(self) -> str:
        return hide_password(self._address)

    def _refuse(self, what: str, error: Exception) -> ConfigError:
        reason = hide_password(" ".join(str(error).split())) or type(error).__name__
        return ConfigError(
            f"the completion cache {self._shown} {what} ({reason}); "
            "choose another place with --cache or BUTWAIT_CACHE"
        )


def _cause(error: Exception) -> Exception | None:
    """Return the error, for tracebacks; None where its text holds a password."""
    return error if hide_password(str(error)) == str(error) else None


def _translate(statement: str) -> bytes:
    """Write a statement's marks as psycopg does."""
    return statement.replace("?", "%s").encode()
