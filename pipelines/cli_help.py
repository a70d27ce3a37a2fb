"""Help pages: commands in groups, in plain text, so that a page costs no library of colours."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

GROUPS: dict[str, tuple[str, ...]] = {
    "Start": ("doctor", "recipes"),
    "Make a dataset": ("build", "push", "solve", "decontaminate"),
    "Look at it": ("inspect", "ledger", "tree", "report", "view", "cache"),
    "Check answers": ("verify", "explain"),
    "Train and measure": ("train", "eval", "score", "compare"),
}
"""Every command of ``butwait`` in one group; a test compares them with the commands there are."""


class Grouped(TyperGroup):
    """Lists the commands under the headings of `GROUPS`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group as a section of its own."""
        known = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        for title, names in GROUPS.items():
            rows = [
                (name, (command.help or "").partition("\n\n")[0])
                for name in names
                if (command := known.get(name)) is not None
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=16)


def make_app(**settings: Any) -> typer.Typer:
    """Make a group of commands whose help is plain text."""
    return typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        **settings,
    )
