"""``butwait compare``: evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import say

if TYPE_CHECKING:
    from butwait.evals.compare import Table

app = make_app()


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Evaluation runs, e.g. runs/pocket-eval.", metavar="RUN...")
    ],
    base: Annotated[
        str | None, typer.Option(help="Base model's name; default: the first run's first model.")
    ] = None,
    k: Annotated[int | None, typer.Option("--k", min=1, help="k of pass@k; default: 8.")] = None,
    across_prompts: Annotated[
        bool,
        typer.Option("--across-prompts", help="Compare with a base of another prompt, marked *."),
    ] = False,
    form: Annotated[
        str, typer.Option("--format", help="Printed: table, markdown, json or csv.")
    ] = "table",
    plot: Annotated[
        Path | None, typer.Option(help="Draw a forest plot of the differences (.svg, .png).")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Compare evaluations: scores, counts, intervals and paired differences.

    Every arm is compared with the base under its own prompt, on the same problems. Incomplete runs,
    other problems, prompts or sampling parameters are refused. docs/eval.md explains the columns.

    \b
    Examples:
      butwait compare runs/pocket-eval
      butwait compare runs/base runs/trained --base policy --plot forest.svg
      butwait compare runs/a runs/b --format markdown > table.md
      butwait compare runs/a runs/b --format json | jq '.arms[].finding'
    """
    from butwait.evals.compare import compare_runs
    from butwait.evals.render import to_csv, to_json, to_markdown
    from butwait.schemas.errors import ConfigError

    writers = {"markdown": to_markdown, "json": to_json, "csv": to_csv, "table": None}
    if form not in writers:
        raise ConfigError(f"format {form!r} is none of {', '.join(writers)}")
    table = compare_runs(runs, base=base, k=k, across_prompts=across_prompts)
    writer = writers[form]
    if writer is None:
        _print_table(table)
    else:
        print(writer(table), end="" if form != "json" else "\n")  # noqa: T201
    if plot is not None:
        from butwait.evals.forest import draw_table

        draw_table(table, plot)
        say(f"forest plot: {plot}")


def _print_table(table: Table) -> None:
    """Print for a terminal; columns that are empty for all arms are left out."""
    import sys

    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from butwait.evals.render import COLUMNS, benchmarks_of, notes_of, table_rows, title_of

    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    for benchmark in benchmarks_of(table):
        rows = table_rows(table, benchmark)
        shown = [i for i in range(len(COLUMNS)) if any(row[i] not in ("", "-") for row in rows)]
        grid = Grid(
            title=title_of(table, benchmark), title_justify="left", box=None, pad_edge=False
        )
        for i in shown:
            grid.add_column(COLUMNS[i])
        for row in rows:
            grid.add_row(*(Text(row[i]) for i in shown))
        console.print(grid)
        console.print()
    for line in notes_of(table):
        console.print(Text(line))
