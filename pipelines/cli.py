"""The ``butwait`` command: the composition root, and the only reader of the environment.

Commands import what they need when they run, so that ``butwait --help`` stays fast.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from butwait.pipelines.cli_cache import app as cache_app
from butwait.pipelines.cli_compare import app as compare_app
from butwait.pipelines.cli_decontaminate import app as decontaminate_app
from butwait.pipelines.cli_eval import app as eval_app
from butwait.pipelines.cli_eval import print_scores
from butwait.pipelines.cli_help import Grouped, make_app
from butwait.pipelines.cli_push import app as push_app
from butwait.pipelines.cli_report import app as report_app
from butwait.pipelines.cli_start import app as start_app
from butwait.pipelines.cli_start import recipes_app
from butwait.pipelines.cli_train import app as train_app
from butwait.pipelines.cli_verify import app as verify_app
from butwait.pipelines.cli_view import app as view_app
from butwait.pipelines.terminal import find_cache, refuse_addresses
from butwait.pipelines.terminal import say as _say
from butwait.schemas.errors import ButwaitError

app = make_app(
    name="butwait",
    cls=Grouped,
    help="From questions to verified reasoning datasets.\n\n"
    "\b\nExamples:\n"
    "  butwait doctor\n"
    "  butwait build recipes/quickstart.yaml\n"
    "  butwait COMMAND --help",
)

INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""

app.add_typer(start_app)
app.add_typer(recipes_app, name="recipes")
app.add_typer(verify_app)
app.add_typer(decontaminate_app)
app.add_typer(train_app, name="train")
app.add_typer(eval_app, name="eval")
app.add_typer(compare_app)
app.add_typer(report_app)
app.add_typer(push_app)
app.add_typer(cache_app, name="cache")
app.add_typer(view_app)

BEAM_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


RecipePath = Annotated[
    Path, typer.Argument(help="YAML recipe, e.g. recipes/quickstart.yaml.", show_default=False)
]
RunPath = Annotated[Path, typer.Argument(help="Run folder, e.g. runs/quickstart.")]
AnyRun = Annotated[
    str, typer.Argument(help="Run folder, e.g. runs/quickstart or gs://bucket/runs/mine.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Read at most this many rows of each source.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Sample two questions, show prompt, samples and cost; write nothing."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key; repeatable."),
]
Runner = Annotated[str, typer.Option(help="Beam runner; further Beam flags are passed through.")]
OutFolder = Annotated[
    str, typer.Option(help="Folder for run folders: a local path, or e.g. gs://bucket/runs.")
]
CachePlace = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Completion cache: a file, or postgresql://user@host/database "
        "(default: BUTWAIT_CACHE or ~/.cache/butwait).",
    ),
]
FromStage = Annotated[
    str | None,
    typer.Option("--from", help="Make this stage and all after it anew: questions, ..., card."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.callback(invoke_without_command=True)
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options of the command itself."""
    if version:
        from importlib.metadata import version as installed

        print(f"butwait {installed('butwait')}")  # noqa: T201
        raise typer.Exit


@app.command(context_settings=BEAM_ARGUMENTS)
def build(
    context: typer.Context,
    recipe: RecipePath,
    limit: Limit = None,
    dry_run: DryRun = False,
    set_: Overrides = None,
    runner: Runner = "FnApiRunner",
    out: OutFolder = "runs",
    cache: CachePlace = None,
    from_: FromStage = None,
    debug: Debug = False,
) -> None:
    """Build a dataset: questions, trajectories, rows, card.

    A second run continues the first: whole stages are skipped, finished samples are kept.
    BUTWAIT_API_KEY is sent to a server that asks for a key.

    \b
    Examples:
      butwait build recipes/quickstart.yaml
      butwait build my.yaml --dry-run
      butwait build my.yaml --limit 100 --set sampling.n=4
      butwait build my.yaml --set server=http://127.0.0.1:8000
      butwait build my.yaml --from rows
      butwait build my.yaml --direct_running_mode=multi_threading
      butwait build my.yaml --runner FlinkRunner --flink_master=jm:8081 --out gs://bucket/runs
    """
    from butwait.pipelines.remote import is_remote
    from butwait.pipelines.stages.beam_run import check_options, quiet_beam

    quiet_beam(keeps_errors=is_remote(runner, context.args))
    check_options(runner, context.args)
    from butwait.pipelines.build import BuildOptions, build_dataset
    from butwait.pipelines.places import read_folder
    from butwait.pipelines.recipe_file import load_recipe
    from butwait.pipelines.summary import print_summary

    _spare_garbage()
    effective = load_recipe(recipe, set_ or (), limit, override_base=Path.cwd())
    options = BuildOptions(
        base=recipe.resolve().parent,
        out=read_folder(out),
        cache=find_cache(cache),
        runner=runner,
        beam_options=tuple(context.args),
        from_stage=from_,
        # Its own name: a key meant for another service must not go to a recipe's server.
        api_key=os.environ.get("BUTWAIT_API_KEY"),
        say=_say,
    )
    if dry_run:
        from butwait.pipelines.dry_run import dry_run as run_dry

        run_dry(effective, options)
        return
    print_summary(build_dataset(effective, options))


def _spare_garbage() -> None:
    """Look for garbage less often, and never in what was imported.

    A sixth of a build's processor time went there.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@app.command()
def ledger(
    run: AnyRun,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Print a run's ledger: where every question, sample and row went.

    \b
    Examples:
      butwait ledger runs/quickstart
      butwait ledger runs/quickstart --json
    """
    from butwait.pipelines.places import read_folder, use_options
    from butwait.pipelines.summary import print_ledger, read_ledger

    folder = read_folder(run)
    use_options(folder)
    print_ledger(read_ledger(folder), as_json)


@app.command()
def score(
    run: RunPath,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="k of an evaluation's pass@k; default: 8.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print an evaluation as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Print the scores of an evaluation, or of a build's samples and searches.

    From what is stored, without a model. 95 % intervals over the questions; a question without an
    answer is wrong.

    \b
    Examples:
      butwait score runs/quickstart
      butwait score runs/pocket-eval
      butwait score runs/pocket-eval --k 4 --json
    """
    from butwait.evals.cells import is_evaluation
    from butwait.evals.score import describe_run

    if is_evaluation(run):
        print_scores(run, k=k, as_json=as_json)
        return
    for line in describe_run(run):
        print(line)  # noqa: T201


@app.command()
def tree(
    run: RunPath,
    question: Annotated[
        str | None, typer.Argument(help="Question id or the start of one; default: list them.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="One line a node, equal siblings apart.")
    ] = False,
    width: Annotated[int, typer.Option(min=20, help="Characters of a step to show.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Print the search tree of a question as an outline with scores.

    \b
    Examples:
      butwait tree runs/search
      butwait tree runs/search q0123456789abcdef
      butwait tree runs/search q0123456789abcdef --json
    """
    from butwait.pipelines.tree_view import find_tree, list_trees, outline

    if question is None:
        lines = list_trees(run)
    else:
        found = find_tree(run, question)
        lines = (
            iter([found.model_dump_json()]) if as_json else outline(found, every=every, width=width)
        )
    for line in lines:
        print(line)  # noqa: T201


@app.command()
def solve(
    question: Annotated[str, typer.Argument(help="The question's text; - reads standard input.")],
    method: Annotated[
        str | None, typer.Option(help="Search method; default: the recipe's.", metavar="NAME")
    ] = None,
    budget: Annotated[int | None, typer.Option(min=1, help="Solutions to begin.")] = None,
    recipe: Annotated[
        Path, typer.Option(help="Recipe of which model, server, prm and search are read.")
    ] = Path("recipes/search.yaml"),
    set_: Overrides = None,
    gold: Annotated[
        str | None, typer.Option(help="The answer, to have solutions verified.")
    ] = None,
    cache: CachePlace = None,
    show_tree: Annotated[bool, typer.Option("--tree", help="Print the search tree too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Answer one question by a search: answer, weight, votes, tokens spent.

    Methods: best_of_n, weighted_best_of_n, self_consistency, beam, dvts, particle,
    entropic_particle, particle_gibbs, islands. Give running servers where you can: starting vLLM
    takes a minute. BUTWAIT_API_KEY is sent to a server that asks for a key.

    \b
    Examples:
      butwait solve "Ann has 12 pens. Ann buys 3 pens. How many has she?" --budget 16
      butwait solve "What is 3 * 4?" --method self_consistency --budget 8
      butwait solve - --method beam --set server=http://127.0.0.1:8000 \\
          --set prm.server=http://127.0.0.1:8001 < question.txt
    """
    from butwait.pipelines.solve import SolveOptions, print_answer, read_solver, solve_question

    options = SolveOptions(
        base=recipe.resolve().parent,
        cache=find_cache(cache),
        api_key=os.environ.get("BUTWAIT_API_KEY"),
        say=_say,
    )
    asked = read_solver(recipe, list(set_ or ()), method, budget)
    text = sys.stdin.read() if question == "-" else question
    found = solve_question(text, gold, asked, options)
    print_answer(found, as_json=as_json, with_tree=show_tree)


def main() -> NoReturn:
    """Run the command; errors are one line, tracebacks only with ``--debug``."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit code.

    0: done. 1: a failure. 2: the user's to mend. 130: interrupted.
    """
    debug = "--debug" in arguments
    try:
        refuse_addresses(arguments)
        result = app(arguments, standalone_mode=False)
        if result == INTERRUPTED:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except ButwaitError as error:
        return _report(str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        kept = {
            "build": "; finished samples are kept: the same command continues",
            "eval": "; finished samples are kept: the same command continues",
            "push": "; what was sent is kept: the same command continues",
            "train": "; the last checkpoint is kept: the same command continues",
        }
        _say("interrupted" + kept.get(arguments[0] if arguments else "", ""))
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing is wrong, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the outermost edge: nobody is left to handle it
        if type(error).__module__.startswith(("click", "typer")):
            return _report_usage(error)
        text = f"{type(error).__name__}: {error}"
        return _report(f"{text} (run again with --debug for the traceback)", 1, debug)


def _report(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    _say(f"error: {' '.join(message.split())}")
    return code


def _report_usage(error: Exception) -> int:
    """Click's own usage errors, in its own layout."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
    return int(getattr(error, "exit_code", 2))
