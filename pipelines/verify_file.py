"""A JSONL file of answers through the verifier, row by row, in order and in constant memory.

A bad row gets a line that says so and the run goes on. Leaves out: the command's options
(``verify_commands``).
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from butwait.schemas.errors import ConfigError
from butwait.schemas.verdict import Verdict
from butwait.transforms.verify import Check, verify_each

_KINDS = {
    "equivalence": "answer",
    "answer": "answer",
    "extraction": "trace",
    "trace": "trace",
}
_OPTIONAL = ("problem", "answer_type", "finish_reason")
# What stands in the place of a bad row, so that verdicts stay in step with rows.
_NOTHING = Check("0", "0", kind="answer")


@dataclass(slots=True)
class Row:
    """One line of input: its id, its check or what is wrong with it, and the label it may carry."""

    id: Any
    check: Check | None
    problem: str | None = None
    expected: bool | None = None


@dataclass(slots=True)
class Tally:
    """Counts of a run, by verdict and rule, and against labels where rows carry them."""

    rows: int = 0
    bad_rows: int = 0
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    labelled: int = 0
    right: int = 0
    wrong_accepted: int = 0
    right_refused: int = 0
    slowest_ms: float = 0.0

    def add(self, row: Row, verdict: str, rule: str, ms: float) -> None:
        """Count one row."""
        self.rows += 1
        self.bad_rows += row.check is None
        self.by_rule[verdict, rule] += 1
        self.slowest_ms = max(self.slowest_ms, ms)
        if row.expected is None:
            return
        accepted = verdict == "correct"
        self.labelled += 1
        self.right += accepted == row.expected
        self.wrong_accepted += accepted and not row.expected
        self.right_refused += row.expected and not accepted

    def summary(self) -> dict[str, Any]:
        """The counts as one JSON object."""
        verdicts: Counter[str] = Counter()
        rules: dict[str, dict[str, int]] = {}
        for (verdict, rule), n in self.by_rule.most_common():
            verdicts[verdict] += n
            rules.setdefault(verdict, {})[rule] = n
        out: dict[str, Any] = {
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "verdicts": dict(verdicts.most_common()),
            "rules": rules,
            "slowest_ms": round(self.slowest_ms, 3),
        }
        if self.labelled:
            out["labelled"] = self.labelled
            out["accuracy"] = round(self.right / self.labelled, 6)
            out["wrong_accepted"] = self.wrong_accepted
            out["right_refused"] = self.right_refused
        return out


def open_rows(source: str) -> IO[str]:
    """The lines of a file, of a ``.gz`` file, or of standard input for ``-``.

    Raises:
        ConfigError: The file is not there or cannot be read.
    """
    if source == "-":
        return sys.stdin
    path = Path(source)
    if path.is_dir():
        raise ConfigError(f"{source} is a folder: name a JSONL file, or - for standard input")
    try:
        if path.suffix == ".gz":
            return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8", errors="replace"))
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read {source}: {error.strerror}") from None


def verify_rows(lines: Iterable[str], tally: Tally) -> Iterator[dict[str, Any]]:
    """The result of every line that is not blank, in order.

    Args:
        lines: JSON objects, one a line.
        tally: Counts, filled as results are given out.
    """
    waiting: list[Row] = []

    def checks() -> Iterator[Check]:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row = read_row(line, number)
                waiting.append(row)
                yield row.check or _NOTHING

    for verdict in verify_each(checks()):
        row = waiting.pop(0)
        result = _result(row, verdict)
        tally.add(row, result["verdict"], result["rule"], result["ms"])
        yield result


def read_row(line: str, number: int) -> Row:
    """One line as a row; what is wrong with it is kept, not raised."""
    try:
        data = json.loads(line)
    except ValueError as error:
        return Row(number, None, f"line {number} is not JSON: {error}")
    except RecursionError:
        return Row(number, None, f"line {number} is nested too deeply")
    if not isinstance(data, dict):
        return Row(number, None, f"line {number} is not a JSON object")
    name = data.get("id", number)
    expected = data.get("expected")
    known = expected if isinstance(expected, bool) else None
    try:
        return Row(name, _check(data), None, known)
    except ConfigError as error:
        return Row(name, None, f"line {number}: {error}", known)


def _check(data: dict[str, Any]) -> Check:
    kind = data.get("kind", "extraction")
    if kind not in _KINDS:
        raise ConfigError(f"kind {kind!r}: use equivalence (a bare answer) or extraction (a trace)")
    options = {key: data[key] for key in _OPTIONAL if data.get(key) is not None}
    for key, value in options.items():
        if not isinstance(value, str):
            raise ConfigError(f"{key} must be a text, not {type(value).__name__}")
    return Check(
        _text(data, "gold"),
        _text(data, "prediction"),
        kind=cast("Any", _KINDS[kind]),
        tolerance=data.get("tolerance"),
        **options,
    )


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    found = "is missing" if key not in data else f"must be a text, not {type(value).__name__}"
    raise ConfigError(f"{key} {found}")


def _result(row: Row, verdict: Verdict) -> dict[str, Any]:
    if row.check is None:
        verdict = Verdict(
            verdict="error",
            rule="bad_row",
            detail=row.problem,
            verifier_version=verdict.verifier_version,
        )
    return {
        "id": row.id,
        "verdict": verdict.verdict,
        "correct": verdict.correct,
        "extracted": verdict.extracted,
        "rule": verdict.rule,
        "ms": round(verdict.ms, 4),
        "gold_canonical": verdict.gold_canonical,
        "prediction_canonical": verdict.prediction_canonical,
        "detail": verdict.detail,
        "verifier_version": verdict.verifier_version,
    }
