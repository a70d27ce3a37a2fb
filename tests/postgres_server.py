"""A real PostgreSQL server in a temporary folder, where the machine has its programs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PASSWORD = "s3cret-w0rd"


def find_programs() -> Path | None:
    """Return the folder of initdb and postgres: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


class PostgresServer:
    """A server that listens on 127.0.0.1 and wants a password there."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        # It refuses to run as root.
        self._user = {"user": _other_user()} if os.getuid() == 0 else {}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._n_databases = 0

    def address(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """Return the address of a database, password included."""
        return f"postgresql://tester:{password}@127.0.0.1:{self.port}/{database}"

    def make_database(self, options: str = "") -> str:
        """Make a new, empty database and return its address."""
        import psycopg

        self._n_databases += 1
        name = f"test_{self._n_databases}"
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}".encode())
        return self.address(name)

    def init(self) -> None:
        """Make its files."""
        word = self._folder / "word"
        word.write_text(PASSWORD)
        for path in (self._folder, word):
            if self._user:
                shutil.chown(path, self._user["user"])
        self._run(
            "initdb", "--username=tester", f"--pwfile={word}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        """Start, and wait until it answers."""
        import psycopg

        flags = {"listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off"}
        settings = [part for name, value in flags.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, "-k", self._folder, *settings],
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )
        for _ in range(100):
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.address(), connect_timeout=2).close()
                return
            time.sleep(0.1)
        raise RuntimeError("PostgreSQL did not start")

    def stop(self) -> None:
        """Stop at once: connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            **self._user,
        )


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server for a block; skip the test where there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL (initdb, postgres) is not installed")
    with tempfile.TemporaryDirectory(prefix="butwait-pg-") as folder:
        server = PostgresServer(programs, Path(folder))
        server.init()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _other_user() -> str:
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
