"""What all commands share: a line for people on standard error, and where the cache is."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def say(line: str) -> None:
    """Print one line to standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def default_cache() -> Path:
    """Return the completion cache: BUTWAIT_CACHE, else the user's cache folder."""
    named = os.environ.get("BUTWAIT_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "butwait" / "completions.sqlite"
