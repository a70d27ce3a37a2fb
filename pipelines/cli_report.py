"""``butwait inspect`` and ``butwait report``: what a run holds, on a screen and on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import say

app = make_app()

RunPath = Annotated[Path, typer.Argument(help="Run folder, e.g. runs/quickstart.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command()
def inspect(
    run: RunPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Tell on one screen what a run holds, how far it came, and what to do next.

    Of a build, an evaluation or a training; whole or half there. Nothing is written.

    \b
    Examples:
      butwait inspect runs/quickstart
      butwait inspect runs/pocket-eval --json | jq .next
    """
    from butwait.pipelines.inspect_run import inspect_run
    from butwait.pipelines.inspect_view import print_inspection

    print_inspection(inspect_run(run), as_json=as_json)


@app.command()
def report(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: report.html in the run folder.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Write one HTML page about a run: ledger, plots, speed and rows to look at.

    The page needs no network and runs no script. The same run gives the same bytes.
    docs/report.md explains the plots.

    \b
    Examples:
      butwait report runs/quickstart
      butwait report runs/pocket-eval --out pocket.html
    """
    from butwait.evals.report.page import make_report
    from butwait.pipelines.tables import write_text
    from butwait.schemas.errors import ConfigError

    path = run / "report.html" if out is None else out
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder: name a file, e.g. {path / 'report.html'}")
    page = make_report(run)
    try:
        write_text(path, page)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}; "
            "make room there, or name another file with --out"
        ) from error
    say(f"{path}: {len(page.encode()) / 1000:.0f} kB")
