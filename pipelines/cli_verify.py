"""The commands that check answers: ``butwait verify`` and ``butwait explain``.

They read no environment; ``butwait.pipelines.cli`` takes them in.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import say
from butwait.schemas.errors import ConfigError

app = make_app()
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
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
        raise typer.Exit(verify_file(file, out, as_json, say))
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
