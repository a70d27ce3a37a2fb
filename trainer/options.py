"""What the command line adds to a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainOptions:
    """Folders and switches of one command.

    Args:
        base: Folder that relative paths of the recipe are relative to.
        out: Folder of run folders.
        recipe_text: The effective recipe as YAML, defaults filled in.
        say: Prints one line for people.
        force: Train on rows that fail the gate.
        fresh: Remove what an earlier run of the same name left.
        check_only: Stop after the gate.
    """

    base: Path
    out: Path
    recipe_text: str
    say: Callable[[str], None]
    force: bool = False
    fresh: bool = False
    check_only: bool = False
