"""The ``butwait`` command: the composition root, and the only reader of the environment.

Commands import what they need when they run, so that ``butwait --help`` stays fast.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from butwait.schemas.errors import ButwaitError, ConfigError

app = typer.Typer(
    name="butwait",
    help="From questions to verified reasoning datasets.\n\n"
    "Example: [bold]butwait build recipes/quickstart.yaml[/bold]",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""

BEAM_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


RecipePath = Annotated[
    Path, typer.Argument(help="YAML recipe, e.g. recipes/quickstart.yaml.", show_default=False)
]
RunPath = Annotated[Path, typer.Argument(help="Run folder, e.g. runs/quickstart.")]
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
OutFolder = Annotated[Path, typer.Option(help="Folder for run folders.")]
CachePath = Annotated[
    Path | None,
    typer.Option(help="Completion cache file (default: BUTWAIT_CACHE or ~/.cache/butwait)."),
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
    out: OutFolder = Path("runs"),
    cache: CachePath = None,
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
    """
    from butwait.pipelines.stages.beam_run import check_options, quiet_beam

    quiet_beam()
    check_options(runner, context.args)
    from butwait.pipelines.build import BuildOptions, build_dataset
    from butwait.pipelines.recipe_file import load_recipe
    from butwait.pipelines.summary import print_summary

    effective = load_recipe(recipe, set_ or (), limit, override_base=Path.cwd())
    options = BuildOptions(
        base=recipe.resolve().parent,
        out=out,
        cache=cache or _default_cache(),
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


@app.command()
def push(
    run: RunPath,
    repo_id: Annotated[str, typer.Argument(help="Dataset on the Hub, e.g. me/my-dataset.")],
    public: Annotated[
        bool, typer.Option("--public", help="Make the repository public (default: private).")
    ] = False,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    debug: Debug = False,
) -> None:
    """Publish a run on the Hugging Face Hub in one commit, and read it back.

    The token comes from HF_TOKEN or `hf auth login`; HF_ENDPOINT names another Hub.

    \b
    Examples:
      butwait push runs/quickstart me/pocket-reasoning
      butwait push runs/quickstart me/pocket-reasoning --public
    """
    from butwait.pipelines.publish import push_run

    result = push_run(
        run,
        repo_id,
        public=public,
        token=_hub_token(),
        endpoint=os.environ.get("HF_ENDPOINT"),
        commit_message=message,
        progress=_say,
    )
    what = f"{result.files_sent} files sent" if result.files_sent else "nothing had changed"
    _say(f"{result.url} at {result.revision}: {result.n_rows} rows read back equal ({what})")


@app.command()
def ledger(
    run: RunPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Print a run's ledger: where every question, sample and row went.

    \b
    Examples:
      butwait ledger runs/quickstart
      butwait ledger runs/quickstart --json
    """
    from butwait.pipelines.summary import print_ledger, read_ledger

    print_ledger(read_ledger(run), as_json)


@app.command()
def score(
    run: RunPath,
    debug: Debug = False,
) -> None:
    """Print expected@1 and pass@n of a run's samples, with 95 % intervals.

    \b
    Examples:
      butwait score runs/quickstart
    """
    from butwait.evals.score import score_run

    result = score_run(run)
    lines = (
        f"{result.n_problems} problems, {result.n_samples} samples each",
        f"expected@1 (mean of n={result.n_samples})  {result.expected_at_1} %",
        f"pass@{result.n_samples} (unbiased)         {result.pass_at_n} %",
        "verdicts: " + ", ".join(f"{count} {name}" for name, count in result.verdicts.items()),
    )
    for line in lines:
        print(line)  # noqa: T201


GoldText = Annotated[str | None, typer.Option(help="Gold answer, bare or in a box.")]
PredictionText = Annotated[
    str | None, typer.Option(help="Answer or trace; @FILE reads a file, - standard input.")
]
ProblemText = Annotated[
    str | None, typer.Option(help="The question's text: connects options and per cent.")
]
KindName = Annotated[str, typer.Option(help="What the prediction is: answer or trace.")]
TypeName = Annotated[
    str | None, typer.Option(help="Type of the gold answer: number, tuple, interval, set, ...")
]
Tolerance = Annotated[
    float | None, typer.Option(help="Largest relative difference that counts as equal.")
]


@app.command()
def verify(
    file: Annotated[str | None, typer.Argument(help="JSONL file (or .gz), - for stdin.")] = None,
    gold: GoldText = None,
    prediction: PredictionText = None,
    problem: ProblemText = None,
    kind: KindName = "answer",
    answer_type: TypeName = None,
    tolerance: Tolerance = None,
    out: Annotated[Path | None, typer.Option(help="Write results here, not to stdout.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Check answers against gold answers: a file of them, or one pair.

    Rows have `gold` and `prediction`, and may have `id`, `problem`, `kind` (equivalence for a bare
    answer, extraction for a whole trace, which is the default), `answer_type`, `tolerance`,
    `finish_reason`, `expected`. Exit code of one pair: 0 correct, 1 not.

    \b
    Examples:
      butwait verify answers.jsonl > verdicts.jsonl
      butwait verify answers.jsonl.gz --out verdicts.jsonl --json
      butwait verify --gold '1/2' --prediction '\\frac{2}{4}'
      butwait verify --gold 7 --prediction @trace.txt --kind trace
    """
    from butwait.pipelines.verify_commands import verify_file, verify_pair

    one = gold is not None or prediction is not None
    if one == (file is not None):
        raise ConfigError("give either a JSONL file or both --gold and --prediction")
    if file is not None:
        raise typer.Exit(verify_file(file, out, as_json, _say))
    raise typer.Exit(
        verify_pair(
            _given(gold, "--gold"),
            _given(prediction, "--prediction"),
            as_json,
            problem=problem,
            kind=kind,
            answer_type=answer_type,
            tolerance=tolerance,
        )
    )


@app.command()
def explain(
    gold: GoldText = None,
    prediction: PredictionText = None,
    problem: ProblemText = None,
    kind: KindName = "answer",
    answer_type: TypeName = None,
    tolerance: Tolerance = None,
    debug: Debug = False,
) -> None:
    """Say why an answer gets its verdict: what was found, how it was read, what differs.

    \b
    Examples:
      butwait explain --gold '(1,2)' --prediction '(1,3)'
      butwait explain --gold 7 --prediction @trace.txt --kind trace
    """
    from butwait.pipelines.verify_commands import explain_pair

    explain_pair(
        _given(gold, "--gold"),
        _given(prediction, "--prediction"),
        problem=problem,
        kind=kind,
        answer_type=answer_type,
        tolerance=tolerance,
    )


def _given(text: str | None, option: str) -> str:
    """An option's text, from a file or standard input where it says so."""
    if text is None:
        raise ConfigError(f"{option} is missing")
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read {text[1:]}: {error.strerror}") from None


def main() -> NoReturn:
    """Run the command; errors are one line, tracebacks only with ``--debug``."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit code.

    0: done. 1: a failure. 2: the user's to mend. 130: interrupted.
    """
    debug = "--debug" in arguments
    try:
        result = app(arguments, standalone_mode=False)
        if result == INTERRUPTED:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except ButwaitError as error:
        return _report(str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        kept = "; finished samples are kept: the same command continues"
        _say("interrupted" + (kept if "build" in arguments[:1] else ""))
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _default_cache() -> Path:
    named = os.environ.get("BUTWAIT_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "butwait" / "completions.sqlite"


def _hub_token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if token is None:
        raise ConfigError(
            "no Hub token: set HF_TOKEN or run `hf auth login` (a token with write access)"
        )
    return str(token)
