"""Score the fresh samples of a run: expected@1 and pass@n over a fixed denominator.

Reads stored trajectories and questions only: no model, no verifier. Every question counts with
exactly n samples; one that has fewer makes the run incomplete and is named.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from butwait.evals.intervals import logit_interval
from butwait.evals.metrics import problem_scores
from butwait.evals.search_score import SearchScore, score_searches
from butwait.evals.statistics import Counts, Estimate
from butwait.schemas.errors import ConfigError


@dataclass(frozen=True)
class Samples:
    """The fresh samples of a run, counted by problem."""

    problems: list[str]
    """Question ids, K."""
    n: int
    """Samples a problem."""
    n_correct: Counts
    """Shape (K,), each in [0, n]."""
    verdicts: dict[str, int]
    mean_tokens: float
    """Completion tokens a sample."""


@dataclass(frozen=True)
class Score:
    """A run's score over K problems with n samples each."""

    n_problems: int
    n_samples: int
    expected_at_1: Estimate
    pass_at_n: Estimate
    verdicts: dict[str, int]


def read_samples(run: Path) -> Samples:
    """Count the fresh samples of a run folder by problem, in the order of its questions.

    Raises:
        ConfigError: No trajectories, or problems with different numbers of samples.
    """
    problems = list_problems(run)
    correct: Counter[str] = Counter()
    total: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    n_tokens = 0
    columns = ["question_id", "parent_id", "verdict", "n_completion_tokens"]
    for path in sorted((run / "trajectories").glob("part-*.parquet")):
        for row in pq.read_table(path, columns=columns).to_pylist():
            if row["parent_id"] is None:
                total[row["question_id"]] += 1
                correct[row["question_id"]] += row["verdict"] == "correct"
                verdicts[row["verdict"]] += 1
                n_tokens += row["n_completion_tokens"]
    n = _check_complete(run, problems, total)
    counts = np.array([correct[i] for i in problems], dtype=np.int64)
    mean_tokens = n_tokens / (n * len(problems))
    return Samples(problems, n, counts, dict(verdicts.most_common()), mean_tokens)


def _check_complete(run: Path, problems: list[str], total: Counter[str]) -> int:
    """Return the number of samples that every problem has."""
    n_samples = max(total.values(), default=0)
    if not problems or n_samples == 0:
        raise ConfigError(f"{run} has no trajectories to score; run `butwait build` first")
    short = [i for i in problems if total[i] != n_samples]
    if short:
        raise ConfigError(
            f"{run} is incomplete: {len(short)} of {len(problems)} problems have fewer than "
            f"{n_samples} samples, {short[0]} has {total[short[0]]}; a score over the rest "
            "would have another denominator"
        )
    return n_samples


def score_run(run: Path) -> Score:
    """Score a run folder.

    Raises:
        ConfigError: No trajectories, or problems with different numbers of samples.
    """
    samples = read_samples(run)
    n = samples.n
    return Score(
        n_problems=len(samples.problems),
        n_samples=n,
        expected_at_1=logit_interval(problem_scores(samples.n_correct, n)),
        pass_at_n=logit_interval(problem_scores(samples.n_correct, n, k=n)),
        verdicts=samples.verdicts,
    )


def describe_run(run: Path) -> list[str]:
    """Describe the scores of a run's samples and of its searches, whichever it has.

    Raises:
        ConfigError: It has neither, or they are incomplete.
    """
    searched = score_searches(run, list_problems(run))
    parts = (run / "trajectories").glob("part-*.parquet")
    if searched is not None and not any(pq.read_metadata(path).num_rows for path in parts):
        return _describe_searches(searched)
    sampled = score_run(run)
    n = sampled.n_samples
    lines = [
        f"{sampled.n_problems} problems, {n} samples each",
        f"expected@1 (mean of n={n})  {sampled.expected_at_1} %",
        f"pass@{n} (unbiased)         {sampled.pass_at_n} %",
        "verdicts: " + ", ".join(f"{count} {name}" for name, count in sampled.verdicts.items()),
    ]
    return lines + (_describe_searches(searched) if searched is not None else [])


def _describe_searches(score: SearchScore) -> list[str]:
    return [
        f"{score.n_problems} problems, one search each: {score.method}, budget {score.budget}",
        f"chosen answer right        {score.selected} %",
        f"any solution right         {score.any_right} %",
        f"spent a problem: {score.n_samples:.1f} solutions begun, {score.n_tokens:.0f} tokens",
    ]


def list_problems(run: Path) -> list[str]:
    """List the ids of a run's questions."""
    shards = sorted((run / "questions").glob("questions-*.parquet"))
    return [i for path in shards for i in _column(path, "id")]


def _column(path: Path, name: str) -> list[str]:
    return [str(value) for value in pq.read_table(path, columns=[name])[name].to_pylist()]
