"""What all commands share: lines for people, whether they see them change, where the cache is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from butwait.schemas.errors import ConfigError

if TYPE_CHECKING:
    from butwait.pipelines.cache import Place


REMOTE_COMMANDS = ("build", "ledger", "push")
"""Commands that take the address of a folder in a remote store."""
_REMOTE = re.compile(r"(?:--[a-z-]+=)?((?:gs|s3|azfs|hdfs|abfss?|wasbs?)://\S*)")


def say(line: str) -> None:
    """Print one line to standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def is_live(stream: TextIO) -> bool:
    """Whether a display on a stream may move: a terminal that can, with somebody before it."""
    is_dumb = os.environ.get("TERM", "dumb").lower() in ("", "dumb", "unknown")
    return stream.isatty() and not is_dumb and not os.environ.get("CI")


def refuse_addresses(arguments: Sequence[str]) -> None:
    """Refuse the address of a remote folder where a command knows local ones only.

    Raises:
        ConfigError: With the way out.
    """
    command = next((name for name in arguments if not name.startswith("-")), "")
    if command in REMOTE_COMMANDS:
        return
    for argument in arguments:
        found = _REMOTE.match(argument)
        if found is not None:
            raise ConfigError(
                f"butwait {command} works on local folders only, not on {found[1]}: copy the run "
                f"here first ({', '.join(REMOTE_COMMANDS)} take such an address)"
            )


def find_cache(named: str | None) -> Place:
    """Return where the completion cache is: as named, BUTWAIT_CACHE, or the user's cache folder.

    Raises:
        ConfigError: An address of something that is no cache.
    """
    named = named or os.environ.get("BUTWAIT_CACHE")
    if named:
        from butwait.pipelines.cache import read_place

        return read_place(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "butwait" / "completions.sqlite"
