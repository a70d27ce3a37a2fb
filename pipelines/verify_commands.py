"""``butwait verify`` and ``butwait explain``: what they do with their options.

Leaves out: the options themselves (``cli``), reading and writing rows (``verify_file``).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from butwait.pipelines.verify_file import Tally, open_rows, verify_rows
from butwait.schemas.errors import ConfigError
from butwait.transforms.verify import compare, explain, verify

Say = Callable[[str], None]
NOT_CORRECT = 1
"""Exit code of one pair that is not correct, and of a file with bad rows."""
_PROGRESS_S = 10.0


def verify_pair(gold: str, prediction: str, as_json: bool, **options: Any) -> int:
    """Print the verdict on one pair; 0 when it is correct, else 1."""
    kind = options.pop("kind")
    if kind == "answer":
        options.pop("finish_reason", None)
        verdict = compare(gold, prediction, **options)
    else:
        verdict = verify(gold, prediction, kind=kind, **options)
    if as_json:
        print(verdict.model_dump_json())  # noqa: T201
    else:
        lines = [f"{verdict.verdict} (rule {verdict.rule})"]
        if kind == "trace":
            lines.append(f"extracted: {verdict.extracted}")
        lines += [f"gold:   {verdict.gold_canonical}", f"answer: {verdict.prediction_canonical}"]
        lines += [f"detail: {verdict.detail}"] if verdict.detail else []
        print("\n".join(_plain(line) for line in lines))  # noqa: T201
    return 0 if verdict.correct else NOT_CORRECT


def explain_pair(gold: str, prediction: str, **options: Any) -> None:
    """Print why a pair gets its verdict."""
    print(explain(gold, prediction, **options))  # noqa: T201


def verify_file(source: str, out: Path | None, as_json: bool, say: Say) -> int:
    """Verify every row of a JSONL file; 1 when some rows were bad, else 0.

    Args:
        source: Path of a file, ``.gz`` or not, or ``-``.
        out: Where results go; standard output without it. Written whole or not at all.
        as_json: Whether the summary is JSON.
        say: Prints one line to standard error.
    """
    if out is not None and source != "-" and out.resolve() == Path(source).resolve():
        raise ConfigError(f"--out {out} is the input file: name another file")
    tally = Tally()
    with open_rows(source) as lines:
        if out is None:
            _write(sys.stdout, lines, tally, say)
        else:
            _write_whole(out, lines, tally, say)
    if as_json:
        say(json.dumps(tally.summary(), ensure_ascii=False))
    else:
        _print_table(tally)
    return NOT_CORRECT if tally.bad_rows else 0


def _write(sink: IO[str], lines: IO[str], tally: Tally, say: Say) -> None:
    told = time.monotonic()
    for result in verify_rows(lines, tally):
        sink.write(json.dumps(result, ensure_ascii=True) + "\n")
        if time.monotonic() - told > _PROGRESS_S:
            told = time.monotonic()
            say(f"{tally.rows} rows verified")
    sink.flush()


def _write_whole(out: Path, lines: IO[str], tally: Tally, say: Say) -> None:
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as sink:
            _write(sink, lines, tally, say)
        part.replace(out)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _print_table(tally: Tally) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{tally.rows} rows", title_justify="left")
    for name in ("verdict", "rule", "rows", "share"):
        table.add_column(name, justify="right" if name in ("rows", "share") else "left")
    for (verdict, rule), n in sorted(tally.by_rule.items(), key=lambda x: (x[0][0], -x[1])):
        table.add_row(verdict, rule, str(n), f"{100 * n / tally.rows:.1f} %")
    console = Console(stderr=True)
    console.print(table)
    if tally.labelled:
        console.print(
            f"{tally.labelled} labelled: {100 * tally.right / tally.labelled:.2f} % agree, "
            f"{tally.wrong_accepted} wrong accepted, {tally.right_refused} right refused",
            highlight=False,
        )
    if tally.bad_rows:
        console.print(f"{tally.bad_rows} bad rows: see their detail", highlight=False)


def _plain(text: str) -> str:
    """A line for a terminal: what could move its cursor is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
