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


@app.command()
def plan(
    effect: Annotated[float, typer.Option(help="Effect to be seen, in points; may be negative.")],
    base: Annotated[float, typer.Option(help="The base's expected@1, in per cent.")],
    benchmark: Annotated[
        str | None, typer.Option(help="aime24, aime25, amc23, gsm8k, math500, olympiadbench.")
    ] = None,
    problems: Annotated[int | None, typer.Option(help="Problems, instead of a benchmark.")] = None,
    samples: Annotated[int | None, typer.Option(help="Tell what this n would show too.")] = None,
    power: Annotated[float, typer.Option(help="Chance of seeing the effect.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Chance of a false alarm, two-sided.")] = 0.05,
    concentration: Annotated[
        float, typer.Option(help="Spread of difficulty: a + b of the rates' Beta distribution.")
    ] = 1.0,
    agreement: Annotated[
        float, typer.Option(help="How closely the new rates follow the old; larger is closer.")
    ] = 20.0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say how many samples a problem show an effect, or that the benchmark cannot.

    Both runs answer the same problems. docs/eval.md has the model and its assumptions.

    \b
    Examples:
      butwait eval plan --effect 3 --base 19 --benchmark aime24
      butwait eval plan --effect 2 --base 80 --benchmark math500 --samples 4
      butwait eval plan --effect -1.5 --base 60 --problems 1000 --power 0.9 --json
    """
    from dataclasses import asdict

    from butwait.evals.plan import Setting, describe_plan
    from butwait.evals.plan import plan as find_plan
    from butwait.schemas.benchmark import count_problems
    from butwait.schemas.errors import ConfigError

    if (benchmark is None) == (problems is None):
        raise ConfigError("give either --benchmark or --problems")
    setting = Setting(
        effect=effect / 100,
        base=base / 100,
        n_problems=problems if problems is not None else count_problems(benchmark or ""),
        power=power,
        alpha=alpha,
        concentration=concentration,
        agreement=agreement,
    )
    found = find_plan(setting, samples)
    if as_json:
        print(json.dumps(asdict(found), indent=2))  # noqa: T201
        return
    for line in describe_plan(found):
        print(line)  # noqa: T201
