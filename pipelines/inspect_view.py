"""An inspection as one screen, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from butwait.pipelines.inspection import Inspection
from butwait.pipelines.rates import tell_time
from butwait.pipelines.summary import make_console
from butwait.pipelines.tree_view import shorten

_SHOWN_ROWS = 12
_WIDTH = 300
_WORD = 60


def print_inspection(found: Inspection, *, as_json: bool) -> None:
    """Print an inspection."""
    if as_json:
        print(json.dumps(asdict(found), indent=1))  # noqa: T201
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for name, text in _lines(found):
        grid.add_row(Text(name), Text(shorten(text, _WIDTH)))
    make_console().print(grid)


def _lines(found: Inspection) -> Iterator[tuple[str, str]]:
    yield found.kind, f"{found.name}  ({found.folder})"
    yield "state", found.state
    yield from (("problem", line) for line in found.problems[:5])
    made = {k: v for k, v in found.made.items() if v not in (None, [], "")}
    yield from _group("made from", made, ("sources", "data", "benchmarks", "model", "models",
                                          "revision"))  # fmt: skip
    yield from _group("made by", made, ("method", "engine", "server", "samples", "search", "seed"))
    yield from _group("when", made, ("begun", "seconds", "git_commit"))
    yield "versions", ", ".join(f"{k} {v}" for k, v in found.versions.items()) or "not recorded"
    yield from ((f"  {stage['stage']}", _stage(stage)) for stage in found.stages)
    totals = {k: n for k, n in found.totals.items() if not k.startswith("rows made")}
    if totals:
        yield "totals", _counts(totals)
    for drop in found.drops:
        share = f"{drop['share']:.1%} of {drop['account']}"
        yield "  dropped", f"{drop['count']:,} {drop['reason'].replace('_', ' ')} ({share})"
    yield from _results(found)
    yield from found.places.items()
    yield "next", found.next


def _group(name: str, made: Mapping[str, Any], keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = [f"{key.replace('_', ' ')} {_tell(made[key])[:_WORD]}" for key in keys if key in made]
    if words:
        yield name, ", ".join(words)


def _results(found: Inspection) -> Iterator[tuple[str, str]]:
    if found.verdicts:
        yield "verdicts", _counts(found.verdicts)
    if found.pass_rate is not None:
        yield "pass rate", f"{found.pass_rate:.1%} of the samples asked for are correct"
    if found.tokens:
        cached = "" if found.cached is None else f"; {found.cached:,} samples from the cache"
        yield "tokens", f"{found.tokens:,} generated{cached}"
    if found.metrics:
        yield (
            "last metrics",
            ", ".join(f"{name} {value:.6g}" for name, value in found.metrics.items()),
        )
    if found.rows:
        shown = dict(list(found.rows.items())[:_SHOWN_ROWS])
        more = len(found.rows) - len(shown)
        yield (
            "arms, cells" if found.kind == "evaluation" else "rows",
            ", ".join(f"{n:,} {name}" for name, n in shown.items())
            + (f", and {more} more" if more else ""),
        )


def _stage(stage: Mapping[str, Any]) -> str:
    if not stage["whole"]:
        parts = f", {stage['parts']} blocks done" if stage["parts"] else ""
        return ("begun, not whole" if stage["begun"] else "not begun") + parts
    return f"whole, {tell_time(stage['seconds'])}: {_counts(stage['counts'])}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items())


def _tell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
