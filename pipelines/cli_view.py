"""``butwait view``: a page on this machine over a run, a dataset on the Hub, or a file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import say

if TYPE_CHECKING:
    from butwait.evals.view.collections import View

app = make_app()

_REPO = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@app.command()
def view(
    target: Annotated[
        str,
        typer.Argument(
            help="Run folder, a .parquet or .jsonl file, or a dataset on the Hub (owner/name, "
            "owner/name@revision).",
            metavar="RUN|FILE|REPO_ID",
        ),
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, or print its link only.")
    ] = True,
    config: Annotated[
        str | None, typer.Option(help="Configuration of a dataset on the Hub; default: its first.")
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Fetch at most this many files from the Hub.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Look at rows, samples and search trees in a browser: search, filter, read, share a link.

    The page is served on 127.0.0.1 alone, behind a random link, and writes nothing. Files are
    scanned as they are, never loaded whole. docs/view.md has the keys.

    \b
    Examples:
      butwait view runs/quickstart
      butwait view runs/search --port 8765 --no-browser
      butwait view me/pocket-reasoning@main --config stitch
      butwait view rows.jsonl
    """
    from butwait.evals.view.server import ViewServer

    server = ViewServer(_find_opener(target, config, shards), port)
    try:
        print(server.url, flush=True)  # noqa: T201
        say("serving on this machine only; Ctrl-C ends it")
        if browser and not _open_browser(server.url):
            say("no browser could be opened: open the link yourself")
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        say("ended")
    finally:
        server.server_close()


def _find_opener(target: str, config: str | None, shards: int | None) -> Callable[[], View]:
    """Return what reads the target: a path where there is one, else a name on the Hub."""
    from butwait.evals.view.collections import open_files, open_view
    from butwait.schemas.errors import ConfigError

    path = Path(target)
    is_name = _REPO.fullmatch(target) and not path.exists() and not path.parent.is_dir()
    if not is_name:
        if config is not None or shards is not None:
            raise ConfigError(
                f"--config and --shards are for a dataset on the Hub; {target} is a path: all of "
                "it is shown"
            )
        return lambda: open_view(path)
    from butwait.pipelines.view_hub import fetch_dataset

    repo_id, _, revision = target.partition("@")
    fetched = fetch_dataset(repo_id, revision or None, config, shards, say)
    return lambda: open_files(fetched.title, fetched.files)


def _open_browser(url: str) -> bool:
    """Open the page; never a browser of the terminal, which would take this one."""
    import webbrowser

    has_screen = sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    try:
        return has_screen and webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
