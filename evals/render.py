"""A comparison as a table for people (terminal, Markdown) and for machines (JSON, CSV)."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from butwait.evals.arm_score import ArmScore
from butwait.evals.compare import Row, Table
from butwait.evals.names import describe_selection, name_main
from butwait.evals.statistics import Estimate
from butwait.schemas.eval_run import ArmRecord

COLUMNS = (
    "model", "dataset", "checkpoint", "prompt", "method", "expected@1", "right", "pass@k",
    "solved", "less base, @1", "Holm p", "finding", "less base, pass@k", "note",
)  # fmt: skip
"""The original table's columns, and what it lacked."""


def table_rows(table: Table, benchmark: str) -> list[list[str]]:
    """Return one benchmark's rows as texts, in the order of ``COLUMNS``."""
    return [_texts(row) for row in table.rows if row.score.record.benchmark == benchmark]


def benchmarks_of(table: Table) -> list[str]:
    """Return the benchmarks of a table, in order."""
    return list(dict.fromkeys(row.score.record.benchmark for row in table.rows))


def title_of(table: Table, benchmark: str) -> str:
    """Say what a benchmark's table is over."""
    scores = [r.score for r in table.rows if r.score.record.benchmark == benchmark]
    ns = sorted({s.record.n_samples for s in scores})
    ks = sorted({s.k for s in scores if s.pass_at_k is not None})
    at_k = f", pass@{'/'.join(map(str, ks))} (unbiased)" if ks else ""
    words = "expected@1 is the mean of n=" + "/".join(map(str, ns))
    return f"{benchmark}: {scores[0].record.n_problems} problems; {words}{at_k}; per cent, 95 %"


def notes_of(table: Table) -> list[str]:
    """Return what stands below the tables."""
    lines = [describe_selection(found) for found in table.selections]
    compared = [row for row in table.rows if row.difference is not None]
    if compared:
        lines.append(
            "differences are paired by problem; Holm p corrects over the arms of a benchmark; "
            "better and worse only where the interval leaves out zero and Holm p is at most 0.05"
        )
    if any(row.is_other_prompt for row in compared):
        lines.append("* the base was asked with another prompt: the difference is that of both")
    return lines


def to_markdown(table: Table) -> str:
    """Return all tables as Markdown."""
    parts = []
    for benchmark in benchmarks_of(table):
        parts += [f"### {title_of(table, benchmark)}", ""]
        parts.append("| " + " | ".join(COLUMNS) + " |")
        parts.append("|" + " --- |" * len(COLUMNS))
        for texts in table_rows(table, benchmark):
            parts.append("| " + " | ".join(_escape(text) for text in texts) + " |")
        parts.append("")
    parts += [f"- {line}" for line in notes_of(table)]
    return "\n".join(parts).rstrip() + "\n"


def to_json(table: Table) -> str:
    """Return all figures as JSON; scores are fractions."""
    selections = [
        {
            **{k: v for k, v in vars(found).items() if k != "by_chance"},
            "best_by_chance": {
                "mean": found.by_chance.mean,
                "low": found.by_chance.low,
                "high": found.by_chance.high,
            },
        }
        for found in table.selections
    ]
    document = {"arms": [to_record(row) for row in table.rows], "best_of_m": selections}
    return json.dumps(document, indent=1, ensure_ascii=False)


def to_csv(table: Table) -> str:
    """Return all figures as CSV, a row an arm; scores are fractions, undefined is empty."""
    records = [_flatten(to_record(row)) for row in table.rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def to_record(row: Row) -> dict[str, Any]:
    """Return an arm with its comparison as plain values."""
    base = row.base
    return {
        "run": row.run,
        **score_record(row.score),
        "base": None if base is None else f"{base.model}, {base.prompt}, {base.method}",
        "difference": None if row.difference is None else asdict(row.difference),
        "difference_at_k": None if row.difference_at_k is None else asdict(row.difference_at_k),
        "p_holm": row.p_holm,
        "finding": row.finding,
        "base_has_other_prompt": row.is_other_prompt,
    }


def score_record(score: ArmScore) -> dict[str, Any]:
    """Return an arm's figures as plain values; fractions, None where undefined."""
    record = score.record
    of_record = ("benchmark", "model", "model_id", "model_revision", "arm", "checkpoint", "prompt",
                 "method", "n_problems", "n_samples", "note")  # fmt: skip
    done = score.completed
    return {
        **{name: getattr(record, name) for name in of_record},
        "parameters": json.loads(record.parameters),
        "k": score.k,
        "metric": name_main(score),
        "expected_at_1": asdict(score.expected_at_1),
        "clustered_standard_error": score.standard_error,
        "expected_at_1_two_level_bootstrap": asdict(score.bootstrap),
        "pass_at_k": _plain(score.pass_at_k),
        "maj_at_k": _plain(score.maj_at_k),
        "best_at_k_by_prm": _plain(score.best_at_k),
        "any_solution_right": _plain(score.any_right),
        "untouched_expected_at_1": _plain(score.untouched),
        "n_touched": score.n_touched,
        "checked_against": list(score.checked_against),
        "n_correct": score.n_correct,
        "n_cells": score.n_cells,
        "n_solved": score.n_solved,
        "cells": score.outcomes,
        "complete": score.n_missing == 0,
        "completed_only": None if done is None else asdict(done),
        "behaviour": asdict(score.behaviour),
        "published": [e.model_dump(mode="json") for e in record.expected],
    }


def _texts(row: Row) -> list[str]:
    score, record = row.score, row.score.record
    solved = f"{score.n_solved}/{record.n_problems}" if record.n_samples > 1 else ""
    return [
        record.model,
        record.arm,
        record.checkpoint,
        record.prompt,
        record.method,
        str(score.expected_at_1),
        f"{score.n_correct}/{score.n_cells}",
        _or_undefined(score.pass_at_k, score),
        solved,
        ("" if row.difference is None else str(row.difference)) + "*" * row.is_other_prompt,
        _p(row.p_holm),
        row.finding or "base" * (row.base is None),
        "" if row.difference_at_k is None else str(row.difference_at_k),
        "; ".join(_notes(score, record)),
    ]


def _notes(score: ArmScore, record: ArmRecord) -> list[str]:
    notes = [record.note] if record.note else []
    done = score.flattered
    if done is not None:
        notes.append(f"completed only {100 * done.value:.1f} ({done.n_cells} cells)")
    bad = {k: n for k, n in score.outcomes.items() if n and k not in ("correct", "wrong")}
    notes += [f"{n} {name}" for name, n in bad.items()]
    if score.untouched is not None:
        notes.append(f"without {score.n_touched} seen in training {score.untouched}")
    for found in record.expected:
        figures = (found.expected_at_1, found.pass_at_8, found.selected)
        shown = " / ".join(str(x) for x in figures if x is not None)
        notes.append(f"published {shown}")
    return notes


def _or_undefined(found: Estimate | None, score: ArmScore) -> str:
    if found is not None:
        return f"{found}" if score.k == 8 else f"{found} (k={score.k})"
    return "" if score.is_search else "undefined (n=1)"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 1e-3 else "< 0.001"


def _plain(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else asdict(found)


def _flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}_")
        elif isinstance(value, list):
            flat[prefix + name] = json.dumps(value, ensure_ascii=False) if value else ""
        else:
            flat[prefix + name] = value
    return flat


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
