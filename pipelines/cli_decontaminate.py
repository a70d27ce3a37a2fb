"""The command that looks for copies of benchmark problems: ``butwait decontaminate``.

It reads no environment; ``butwait.pipelines.cli`` takes it in.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import say
from butwait.schemas.errors import ConfigError

if TYPE_CHECKING:
    from butwait.pipelines.decontaminate import Checked
    from butwait.transforms.decontaminate import Hit

app = make_app()


@app.command()
def decontaminate(
    questions: Annotated[
        Path, typer.Argument(help="JSONL or parquet file with a `problem` or `question` column.")
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(help="Known benchmark (aime24, math500, ...) or a file; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print hits as JSON lines.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes (default: one a core).")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Name the questions that are copies of benchmark problems, with the evidence.

    A copy is the same problem, also set anew, reworded or inside a longer text; with another number
    it is another problem. One record a hit: question_id (`id` column, else the row's number),
    benchmark, benchmark_id, kind (exact, runs, near), score, confidence, evidence. Exit code 0
    whatever is found.

    \b
    Examples:
      butwait decontaminate questions.jsonl --against aime24 --against math500
      butwait decontaminate questions.parquet --against my-benchmark.jsonl --json > hits.jsonl
    """
    if not against:
        raise ConfigError("nothing to compare with: give --against BENCHMARK, one or several")
    from butwait.pipelines.benchmarks import name_benchmark
    from butwait.pipelines.decontaminate import Checked, check_pieces, count_cores, plan_file

    benchmarks = [name_benchmark(name) for name in dict.fromkeys(against)]
    targets = [target for benchmark in benchmarks for target in benchmark.targets]
    pieces = plan_file(questions)
    total, by_benchmark = Checked(), Counter({benchmark.name: 0 for benchmark in benchmarks})
    for checked in check_pieces(pieces, targets, workers or count_cores()):
        total.add(checked)
        by_benchmark.update(hit.benchmark for hit in checked.hits)
        for hit in checked.hits:
            _print(_as_json(hit) if as_json else _as_line(hit))
        _show_progress(total)
    _show_progress(None)
    summary = _summarise(total, by_benchmark)
    if as_json:
        say(summary)
    else:
        _print(summary)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _as_json(hit: Hit) -> str:
    return json.dumps(hit.model_dump())


def _as_line(hit: Hit) -> str:
    line = (
        f"{hit.question_id}: {hit.kind} copy of {hit.benchmark} {hit.benchmark_id}"
        f" (score {hit.score:.2f}, confidence {hit.confidence}); {hit.evidence}"
    )
    # Ids come from a file: nothing in them may speak to the terminal.
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _show_progress(total: Checked | None) -> None:
    """Show how far the work is on a terminal, or wipe it."""
    if sys.stderr.isatty():
        text = "" if total is None else f"{total.n_questions} questions, {total.n_copies} copies"
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _summarise(total: Checked, by_benchmark: Counter[str]) -> str:
    named = ", ".join(f"{name} ({count} hits)" for name, count in by_benchmark.items())
    line = f"{total.n_copies} of {total.n_questions} questions are copies of problems of {named}"
    if total.n_without_text:
        line += f"; {total.n_without_text} rows without text were not compared"
    return line
