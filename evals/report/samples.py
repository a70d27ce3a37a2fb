"""Count the samples of a build, question by question; memory does not grow with the run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from butwait.evals.report.stream import Notes, stream
from butwait.schemas.verdict import VERDICT_NAMES

_COLUMNS = ("id", "question_id", "parent_id", "verdict", "n_completion_tokens", "answer_canonical")
_NO_MERIT = ("gold_unusable", "timeout", "error")
MOST_SOURCES = 1000
OTHERS = "other sources"


@dataclass
class SampleTally:
    """Counts of fresh samples and of what continues them."""

    n_questions: int = 0
    n_samples: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    tokens: dict[str, Counter[int]] = field(default_factory=dict)
    """By verdict: samples by completion tokens."""
    by_source: dict[str, Counter[str]] = field(default_factory=dict)
    """Verdicts by source."""
    pass_rates: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Questions by (correct, judged on the merits); questions with nothing judged are left out."""
    distinct: Counter[int] = field(default_factory=Counter)
    """Questions by number of different answers."""
    entropies: Counter[float] = field(default_factory=Counter)
    """Questions by entropy of their answers, in bits, to a tenth."""
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Chains of continuations by verdict on the sample and on the last continuation."""

    @property
    def has_lengths(self) -> bool:
        """Whether it is known how long samples are: recordings do not say."""
        return any(max(lengths) > 0 for lengths in self.tokens.values())

    def add(self, source: str, rows: list[dict[str, Any]]) -> None:
        """Count one question."""
        samples = [row for row in rows if row["parent_id"] is None]
        self.n_questions += bool(samples)
        self.n_samples += len(samples)
        known = source in self.by_source or len(self.by_source) < MOST_SOURCES
        shares = self.by_source.setdefault(source if known else OTHERS, Counter())
        for row in samples:
            verdict = known_verdict(row["verdict"])
            self.verdicts[verdict] += 1
            shares[verdict] += 1
            self.tokens.setdefault(verdict, Counter())[int(row["n_completion_tokens"] or 0)] += 1
        judged = [row for row in samples if row["verdict"] not in _NO_MERIT]
        if judged:
            self.pass_rates[sum(r["verdict"] == "correct" for r in judged), len(judged)] += 1
        self._add_answers(samples)
        self._add_chains(rows)

    def _add_answers(self, samples: list[dict[str, Any]]) -> None:
        answers = Counter(r["answer_canonical"] for r in samples if r["answer_canonical"])
        if samples:
            self.distinct[len(answers)] += 1
        if answers:
            self.entropies[round(_entropy(answers), 1)] += 1

    def _add_chains(self, rows: list[dict[str, Any]]) -> None:
        by_id = {row["id"]: row for row in rows}
        continued = {row["parent_id"] for row in rows}
        for row in rows:
            if row["parent_id"] is not None and row["id"] not in continued:
                first = _first(row, by_id)
                if first is not None:
                    pair = known_verdict(first["verdict"]), known_verdict(row["verdict"])
                    self.transitions[pair] += 1


def known_verdict(found: object) -> str:
    """Return a verdict that this version knows, else ``unknown``."""
    return str(found) if found in VERDICT_NAMES else "unknown"


def tally_samples(run: Path, notes: Notes) -> SampleTally:
    """Count all trajectories of a build."""
    tally = SampleTally()
    for path in sorted((run / "trajectories").glob("part-*.parquet")):
        sources = _sources(run, path, notes)
        rows = stream(path, _COLUMNS, notes, batch=2048)
        for question, group in groupby(rows, key=lambda row: row["question_id"]):
            tally.add(sources.get(question, "unknown"), list(group))
    return tally


def _sources(run: Path, part: Path, notes: Notes) -> dict[str, str]:
    """Sources of the questions of one block: a fragment is named after its shard and row group."""
    shard, _, group = part.stem.removeprefix("part-").partition("-")
    if not (shard.isdigit() and group.isdigit()):
        return {}
    shards: Iterable[Path] = sorted((run / "questions").glob(f"questions-{shard}-of-*.parquet"))
    rows: Iterator[dict[str, Any]] = (
        row for p in shards for row in stream(p, ("id", "source"), notes, groups=[int(group)])
    )
    return {row["id"]: str(row["source"]) for row in rows}


def _first(row: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The fresh sample that a chain began with; None where it is not there."""
    for _ in range(len(by_id)):
        if row["parent_id"] is None:
            return row
        found = by_id.get(row["parent_id"])
        if found is None:
            return None
        row = found
    return None  # a circle


def _entropy(counts: Counter[str]) -> float:
    total = counts.total()
    return abs(-sum(n / total * math.log2(n / total) for n in counts.values()))
