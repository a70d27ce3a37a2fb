"""A line for people, on standard error: standard output is for results."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print one line to standard error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
