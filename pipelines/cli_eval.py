"""The ``butwait eval`` commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Check and plan evaluations.\n\n"
    "Example: butwait eval audit table.csv --problems 30 --samples 8",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command()
def audit(
    table: Annotated[
        Path, typer.Argument(help="CSV: name, expected_at_1, pass_at_n.", show_default=False)
    ],
    problems: Annotated[int, typer.Option(help="Problems of the benchmark, K.")],
    samples: Annotated[int, typer.Option(help="Samples a problem, n.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say which rows of a table cannot have been scored over all problems and samples.

    Percentages as printed; either cell may be empty. A row that is no fraction over K x n comes
    with the smaller denominators that fit. Exit code 0 whatever is found.

    \b
    Examples:
      butwait eval audit table.csv --problems 30 --samples 8
      butwait eval audit table.csv --problems 500 --samples 4 --json
    """
    from butwait.evals.audit import audit_table

    rows = audit_table(table, problems, samples)
    if as_json:
        print(json.dumps([row.record() for row in rows], indent=2))  # noqa: T201
        return
    for row in rows:
        print(row)  # noqa: T201
    n_wrong = sum(row.consistent is False for row in rows)
    print(f"{n_wrong} of {len(rows)} rows cannot be over {problems} x {samples} samples")  # noqa: T201
