"""Intervals of a mean score: their laws, and that they cover what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.coverage import Cell, Method, cover, draw_counts
from butwait.evals.intervals import (
    clustered_error,
    clustered_interval,
    logit_interval,
    resampled_counts,
    two_level_bootstrap,
)
from butwait.evals.metrics import problem_scores
from butwait.schemas.errors import ConfigError

scores = st.lists(st.integers(0, 8), min_size=1, max_size=60).map(lambda c: np.array(c) / 8)


@given(scores)
def test_the_interval_holds_the_mean_and_lies_in_0_to_1(values: np.ndarray) -> None:
    found = logit_interval(values)
    assert found.value == values.mean()
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


@given(scores)
def test_wrong_for_right_turns_the_interval_around(values: np.ndarray) -> None:
    there, back = logit_interval(values), logit_interval(1 - values)
    assert (back.low, back.high) == pytest.approx((1 - there.high, 1 - there.low), abs=1e-9)


def test_no_problem_solved_says_at_most_11_per_cent_of_30_and_at_least_nothing() -> None:
    found = logit_interval(np.zeros(30))
    assert found.low == 0
    assert 0.10 < found.high < 0.12


def test_one_lucky_sample_does_not_close_the_interval_from_below() -> None:
    found = logit_interval(np.array([1 / 64] + [0.0] * 29))
    assert found.low == 0
    assert found.high > 0.05


def test_the_clustered_error_of_equal_problems_is_that_of_the_mean() -> None:
    values = np.array([0.4, 0.5, 0.6, 0.5])
    assert clustered_error(values) == pytest.approx(np.std(values, ddof=1) / 2)
    found = clustered_interval(values)
    assert found.high - found.value == pytest.approx(3.182 * clustered_error(values), abs=1e-3)


def test_samples_of_one_problem_are_not_taken_for_independent_ones() -> None:
    all_or_nothing = np.repeat([1.0, 0.0], [6, 24])
    binomial = (0.2 * 0.8 / 240) ** 0.5
    assert clustered_error(all_or_nothing) > 2.5 * binomial


def test_resampled_counts_are_binomial() -> None:
    chances = resampled_counts(4)
    assert chances.sum(axis=1) == pytest.approx(np.ones(5))
    assert chances[2] == pytest.approx(np.array([1, 4, 6, 4, 1]) / 16)
    assert chances[0, 0] == chances[4, 4] == 1


def test_the_bootstrap_by_counts_is_the_bootstrap_of_problems_and_samples() -> None:
    rng = np.random.default_rng(0)
    counts = rng.binomial(8, rng.beta(0.3, 1.2, size=30))
    quick = two_level_bootstrap(counts, 8, rng, k=4, n_draws=20_000)
    problems = counts[rng.integers(0, 30, size=(20_000, 30))]
    again = problem_scores(rng.binomial(8, problems / 8).ravel(), 8, k=4).reshape(20_000, 30)
    low, high = np.percentile(again.mean(axis=1), [2.5, 97.5])
    assert (quick.low, quick.high) == pytest.approx((low, high), abs=0.01)


@given(scores, st.integers(1, 8))
def test_the_bootstrap_holds_the_estimate_and_repeats_with_its_seed(
    values: np.ndarray, k: int
) -> None:
    counts = (values * 8).astype(np.int64)
    first, again = (
        two_level_bootstrap(counts, 8, np.random.default_rng(1), k=k, n_draws=50) for _ in "ab"
    )
    assert first == again
    assert first.low <= first.value <= first.high


def test_no_problem_one_problem_and_scores_in_per_cent_are_refused() -> None:
    with pytest.raises(ConfigError, match="no problems"):
        logit_interval(np.array([]))
    with pytest.raises(ConfigError, match="at least two"):
        clustered_interval(np.array([0.5]))
    with pytest.raises(ConfigError, match="19"):
        logit_interval(np.array([19.2, 20.0]))
    with pytest.raises(ConfigError, match="pass@9"):
        two_level_bootstrap(np.array([1]), 8, np.random.default_rng(0), k=9)
    with pytest.raises(ConfigError, match="at least one problem"):
        two_level_bootstrap(np.array([9]), 8, np.random.default_rng(0))


@pytest.mark.parametrize("n_problems", [30, 500])
@pytest.mark.parametrize("n_samples", [8, 64])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.8])
def test_the_printed_interval_covers_95_times_in_100(
    n_problems: int, n_samples: int, rate: float
) -> None:
    """1,000 runs: the chance of another 1.5 % in a million tests is small; the full one: bench."""
    cell = Cell(n_problems, n_samples, rate)
    rng = np.random.default_rng([n_problems, n_samples, round(100 * rate)])
    counts = draw_counts(cell, 1000, rng)
    assert 0.93 <= cover(Method.LOGIT, cell, counts, rng) <= 0.97
