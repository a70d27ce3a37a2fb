"""Every figure of one arm, over its fixed K x n cells.

What is undefined is None: pass@k of fewer than k samples, best@k without rewards, a share of no
cells. Nothing here says which arm is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from butwait.evals.cells import NO_CLASS, ArmCells, Outcome
from butwait.evals.intervals import clustered_error, logit_interval, two_level_bootstrap
from butwait.evals.metrics import Scores, best_at_k, majority_at_k, problem_scores
from butwait.evals.statistics import Estimate
from butwait.schemas.eval_cell import PLAIN
from butwait.schemas.eval_run import ArmRecord

_SEED = 0  # of the bootstrap: the same cells print the same interval


@dataclass(frozen=True)
class Completed:
    """The score over the cells that have a graded, unbroken answer; never the one to compare."""

    value: float
    n_correct: int
    n_cells: int
    n_problems: int
    """Problems with at least one such cell."""


@dataclass(frozen=True)
class Behaviour:
    """What the texts do, over the cells that exist."""

    mean_tokens: float | None
    """Tokens of a text."""
    mean_spent: float | None
    """Tokens generated a cell, dead branches included."""
    truncated: float | None
    """Share of texts that their token limit cut without an answer."""
    transitions: float | None
    """Turns ("But wait,") a text."""
    backtracks: float | None
    """Turns a text that say that something was wrong."""
    flows: dict[str, int]
    """Texts with an answer before their first turn, first and final: ``right_wrong``, ..."""


@dataclass(frozen=True)
class ArmScore:
    """One arm's figures; scores are fractions over all K x n cells."""

    record: ArmRecord
    k: int
    """k of pass@k, maj@k and best@k."""
    shares: Scores
    """expected@1 by problem, shape (K,)."""
    passed: Scores | None
    """pass@k by problem."""
    expected_at_1: Estimate
    bootstrap: Estimate
    """expected@1 with the two-level bootstrap's interval."""
    standard_error: float | None
    """Clustered by problem; None for one problem."""
    pass_at_k: Estimate | None
    maj_at_k: Estimate | None
    best_at_k: Estimate | None
    any_right: Estimate | None
    """Of a search: share of problems with a right solution in the tree."""
    n_correct: int
    n_solved: int
    """Problems with a right cell."""
    outcomes: dict[str, int]
    """Cells by outcome; they add up to K x n."""
    completed: Completed | None
    """Where it differs from the strict score; None where it is the same."""
    checked_against: tuple[str, ...]
    """Training questions in which the problems were searched for."""
    n_touched: int
    """Problems found among them."""
    untouched: Estimate | None
    """expected@1 without those; None where there are none, or nothing else."""
    behaviour: Behaviour
    is_silent: bool

    @property
    def n_cells(self) -> int:
        """K x n."""
        return self.record.n_problems * self.record.n_samples

    @property
    def n_missing(self) -> int:
        """Cells that do not exist."""
        return self.outcomes["missing"]

    @property
    def flattered(self) -> Completed | None:
        """The completed-only score, where it prints as another figure than the strict one."""
        done = self.completed
        if done is None or f"{100 * done.value:.1f}" == f"{100 * self.expected_at_1.value:.1f}":
            return None
        return done

    @property
    def is_search(self) -> bool:
        """Whether a cell is the answer that a search chose."""
        return self.record.method != PLAIN


def score_arm(cells: ArmCells, k: int | None = None) -> ArmScore:
    """Compute an arm's figures.

    Args:
        cells: The arm.
        k: Of pass@k, maj@k and best@k; None: 8, or n where that is smaller.

    Raises:
        ConfigError: k is larger than n.
    """
    n = cells.record.n_samples
    wanted = k if k is not None else min(8, n)
    right = cells.outcomes == Outcome.CORRECT
    counts = right.sum(axis=1).astype(np.int64)
    shares = problem_scores(counts, n)
    passed = problem_scores(counts, n, k=wanted) if wanted > 1 else None
    clean = ~cells.touched
    partly = bool(clean.any()) and not bool(clean.all())
    return ArmScore(
        record=cells.record,
        k=wanted,
        shares=shares,
        passed=passed,
        expected_at_1=logit_interval(shares),
        bootstrap=two_level_bootstrap(counts, n, np.random.default_rng(_SEED)),
        standard_error=clustered_error(shares) if len(shares) > 1 else None,
        pass_at_k=None if passed is None else logit_interval(passed),
        maj_at_k=_estimate(_majorities(cells, right, wanted)),
        best_at_k=_estimate(_bests(cells, right, wanted)),
        any_right=_estimate(_any_right(cells)),
        n_correct=int(right.sum()),
        n_solved=int(right.any(axis=1).sum()),
        outcomes={o.name.lower(): int((cells.outcomes == o).sum()) for o in Outcome},
        completed=_completed(cells, right),
        checked_against=cells.benchmark.checked_against,
        n_touched=int(cells.touched.sum()),
        untouched=logit_interval(shares[clean]) if partly else None,
        behaviour=_behaviour(cells, right),
        is_silent=cells.is_silent,
    )


def _estimate(scores: Scores | None) -> Estimate | None:
    return None if scores is None else logit_interval(scores)


def _majorities(cells: ArmCells, right: NDArray[np.bool_], k: int) -> Scores | None:
    """maj@k by problem; None where one sample votes, or a cell is the choice of a search."""
    if k == 1 or cells.record.method != PLAIN:
        return None
    scores = []
    for classes, hits in zip(cells.classes, right, strict=True):
        answers = [None if c == NO_CLASS else int(c) for c in classes]
        of_hits = [a for a, hit in zip(answers, hits, strict=True) if hit and a is not None]
        # Where the verifier holds two right answers to be unequal, the more frequent one stands.
        best = max(of_hits, key=lambda a: (of_hits.count(a), -a), default=-1)
        scores.append(majority_at_k(answers, best, k))
    return np.array(scores)


def _bests(cells: ArmCells, right: NDArray[np.bool_], k: int) -> Scores | None:
    if k == 1 or cells.record.method != PLAIN or np.isnan(cells.prm).all():
        return None
    scores = np.where(np.isnan(cells.prm), -np.inf, cells.prm)
    pairs = zip(scores.tolist(), right.tolist(), strict=True)
    return np.array([best_at_k(row, hits, k) for row, hits in pairs])


def _any_right(cells: ArmCells) -> Scores | None:
    if (cells.any_right < 0).all():
        return None
    return np.asarray((cells.any_right == 1).mean(axis=1))


def _completed(cells: ArmCells, right: NDArray[np.bool_]) -> Completed | None:
    done = cells.outcomes >= Outcome.WRONG
    if done.all() or not done.any():
        return None
    with_any = done.any(axis=1)
    means = (right & done)[with_any].sum(axis=1) / done[with_any].sum(axis=1)
    return Completed(float(means.mean()), int(right.sum()), int(done.sum()), int(with_any.sum()))


def _behaviour(cells: ArmCells, right: NDArray[np.bool_]) -> Behaviour:
    exists = cells.outcomes > Outcome.ERRORED
    told = exists & (cells.first >= 0)
    names = (("right", cells.first == 1), ("wrong", cells.first == 0))
    finals = (("right", right), ("wrong", ~right))
    return Behaviour(
        mean_tokens=_mean(cells.n_tokens[exists]),
        mean_spent=_mean(cells.n_spent[exists]),
        truncated=_mean((cells.outcomes == Outcome.TRUNCATED)[exists]),
        transitions=_mean(cells.n_transitions[exists]),
        backtracks=_mean(cells.n_backtracks[exists]),
        flows={
            f"{before}_{after}": int((told & first & final).sum())
            for before, first in names
            for after, final in finals
        },
    )


def _mean(values: NDArray[np.generic]) -> float | None:
    return float(values.astype(np.float64).mean()) if values.size else None
