"""The ``butwait eval`` commands; ``butwait eval RECIPE`` means ``butwait eval run RECIPE``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import find_cache, say


class RunByDefault(TyperGroup):
    """A group whose first argument may be a recipe instead of a command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take what names no command and looks like a file as the argument of ``run``."""
        looks_like_file = args[0].endswith((".yaml", ".yml")) or "/" in args[0]
        if looks_like_file and self.get_command(ctx, args[0]) is None:
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = make_app(
    cls=RunByDefault,
    help="Evaluate models, check and plan evaluations.\n\n"
    "Example: butwait eval recipes/eval/pocket.yaml",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    recipe: Annotated[
        Path, typer.Argument(help="YAML recipe, e.g. recipes/eval/pocket.yaml.", show_default=False)
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be asked for; read nothing.")
    ] = False,
    runner: Annotated[
        str, typer.Option(help="Beam runner; further Beam flags are passed through.")
    ] = "FnApiRunner",
    out: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Completion cache: a file, or postgresql://user@host/database "
            "(default: BUTWAIT_CACHE or ~/.cache/butwait).",
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Sample models on benchmarks, verify, and score.

    Models x benchmarks x prompts x methods. A second run asks for missing cells only; scores come
    from what is stored, without a model. docs/eval.md explains every figure.

    \b
    Examples:
      butwait eval recipes/eval/pocket.yaml
      butwait eval my.yaml --dry-run
      butwait eval my.yaml --set preset=greedy --set name=my-greedy
      butwait eval my.yaml --set server=http://127.0.0.1:8000
    """
    from butwait.pipelines.recipe_file import check_recipe, read_document
    from butwait.schemas.recipe_eval import EvalRecipe

    document = read_document(recipe, set_ or (), Path.cwd())
    effective = check_recipe(document, str(recipe), EvalRecipe)
    base = recipe.resolve().parent
    if dry_run:
        from butwait.pipelines.evaluate.dry_run import print_plan

        print_plan(effective, base)
        return
    from butwait.pipelines.stages.beam_run import check_options, quiet_beam

    quiet_beam()
    check_options(runner, context.args)
    from butwait.pipelines.evaluate.run import EvalOptions, run_evaluation

    options = EvalOptions(
        base=base,
        out=out,
        cache=find_cache(cache),
        runner=runner,
        beam_options=tuple(context.args),
        api_key=os.environ.get("BUTWAIT_API_KEY"),
        say=say,
    )
    print_scores(run_evaluation(effective, options), k=None, as_json=as_json)


def print_scores(run: Path, *, k: int | None, as_json: bool) -> None:
    """Print the scores of an evaluation run; nothing but stored cells is read.

    Raises:
        ConfigError: Cells that do not belong together, or k larger than n.
    """
    from butwait.evals.arm_score import score_arm
    from butwait.evals.cells import read_arms
    from butwait.evals.names import describe_score
    from butwait.evals.render import score_record

    scores = [score_arm(cells, k) for cells in read_arms(run)]
    if as_json:
        print(json.dumps([score_record(score) for score in scores], indent=1))  # noqa: T201
        return
    for score in scores:
        for line in describe_score(score):
            print(line)  # noqa: T201


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


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Evaluation run, e.g. runs/pocket-eval.")],
    out: Annotated[Path, typer.Option(help="JSONL file to write.")],
    style: Annotated[str, typer.Option(help="lm-eval, lighteval or plain.")] = "plain",
    debug: Debug = False,
) -> None:
    """Write the cells of an evaluation as JSONL, with the fields of another tool's sample logs.

    docs/use-with-lm-eval.md maps the names of metrics.

    \b
    Examples:
      butwait eval export runs/pocket-eval --out samples.jsonl --style lm-eval
      butwait eval export runs/pocket-eval --out details.jsonl --style lighteval
    """
    n_lines = export_cells(run, out, style)
    say(f"{out}: {n_lines} lines")


def export_cells(run: Path, out: Path, style: str) -> int:
    """Write the cells of an evaluation run for the tools that read another's logs.

    Args:
        run: Evaluation run.
        out: A ``.jsonl`` file for all arms together; any other name is a folder, with one file an
            arm, named as the tool names its own.
        style: ``lm-eval``, ``lighteval`` or ``plain``.

    Returns:
        Lines written.

    Raises:
        ConfigError: No evaluation, cells that do not belong together, or an unknown style.
    """
    from butwait.evals.export import read_logs
    from butwait.pipelines.tables import write_lines

    logs = read_logs(run, style)
    if out.suffix == ".jsonl":
        return write_lines(out, (line for log in logs for line in log.lines))
    return sum(write_lines(out / log.path, log.lines) for log in logs)
