"""The reference page of the commands, written from their own help.

``python -m butwait.pipelines.cli_reference > docs/cli.md`` (``make docs``) writes it; a test fails
when the page and the commands differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from butwait.pipelines.cli import app
from butwait.pipelines.cli_help import GROUPS

WIDTH = 88
INTRODUCTION = """\
# Commands

Every command as `butwait COMMAND --help` shows it. Results go to standard output, progress and
errors to standard error; where there is `--json`, the result is for machines. Exit codes: 0 done,
1 something failed, 2 yours to mend (a recipe, a path, an option), 130 interrupted.

`butwait --install-completion` teaches your shell the commands.
"""


def render_reference() -> str:
    """Return the page as Markdown."""
    command: Any = get_command(app)
    parts = [INTRODUCTION]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        for name in (name for name in names if name in command.commands):
            for place, one in _walk(command.commands[name], name):
                parts.append(f"### `butwait {place}`\n\n```text\n{_help(one, place)}\n```\n")
    return "\n".join(parts)


def _walk(command: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield a command, or the commands of a group, with their full names."""
    if not hasattr(command, "commands"):
        yield place, command
        return
    for name, inner in command.commands.items():
        if not inner.hidden:
            yield from _walk(inner, f"{place} {name}")


def _help(command: Any, place: str) -> str:
    context = command.make_context(f"butwait {place}", [], resilient_parsing=True)
    context.terminal_width = context.max_content_width = WIDTH
    text: str = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


if __name__ == "__main__":
    print(render_reference(), end="")  # noqa: T201
