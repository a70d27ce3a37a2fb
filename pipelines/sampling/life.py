"""What the processes of a run tell one another about a managed server, in files beside its log.

The driver writes which server runs, or why none will run any more; a worker whose requests get no
token writes that, for the driver to start the server again. Files, because workers may be other
processes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from butwait.schemas.record import Record


class Life(Record):
    """Which managed server runs."""

    pid: int
    """Its supervisor."""
    n_restarts: int = 0
    """Starts after the first."""
    gone: str = ""
    """Why it will not be started again; empty while it runs or is being started."""


def write_life(path: Path, life: Life) -> None:
    """Write a server's state; readers see the old or the new one, never half of it."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(life.model_dump_json(), encoding="utf-8")
    temporary.replace(path)


def read_life(path: Path) -> Life | None:
    """Read a server's state; None where there is none (the driver is at its very start or end)."""
    try:
        return Life.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def read_end(path: Path) -> str | None:
    """Say why a server will not run any more; None while it does or may."""
    life = read_life(path)
    return life.gone or None if life is not None else None


def report_stuck(path: Path, why: str) -> None:
    """Ask the driver to start the server again that runs now."""
    life = read_life(path)
    if life is not None:
        with suppress(OSError):  # the folder is gone, and so is the driver
            _stuck_path(path, life.pid).write_text(why, encoding="utf-8")


def find_stuck(path: Path, pid: int) -> str | None:
    """Say why a worker wants this server started again; None where none does."""
    try:
        return _stuck_path(path, pid).read_text(encoding="utf-8")
    except OSError:
        return None


def forget_lives(path: Path) -> None:
    """Remove what an earlier run left: its process ids may be given again."""
    for left in [path, *path.parent.glob(f"{path.stem}.stuck-*")]:
        left.unlink(missing_ok=True)


def _stuck_path(path: Path, pid: int) -> Path:
    return path.with_suffix(f".stuck-{pid}")
