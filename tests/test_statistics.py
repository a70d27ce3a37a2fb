"""Scores over fixed denominators and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.evals.statistics import bootstrap, expected_at_1, pass_at_k

counts = st.lists(st.integers(0, 8), min_size=1, max_size=40).map(np.array)


def test_expected_at_1_of_the_published_phi_4_baseline_is_46_of_240() -> None:
    n_correct = np.array([4] * 7 + [3] * 6 + [0] * 17)
    assert expected_at_1(n_correct, 8) == pytest.approx(46 / 240)
    assert pass_at_k(n_correct, 8, 8) == pytest.approx(13 / 30)


@given(counts)
def test_pass_at_1_is_expected_at_1(n_correct: np.ndarray) -> None:
    assert pass_at_k(n_correct, 8, 1) == pytest.approx(expected_at_1(n_correct, 8))


@given(counts)
def test_pass_at_k_grows_with_k_and_ends_at_the_share_of_solved_problems(
    n_correct: np.ndarray,
) -> None:
    values = [pass_at_k(n_correct, 8, k) for k in range(1, 9)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(float((n_correct > 0).mean()))


@given(counts)
def test_the_interval_holds_the_estimate_and_is_the_same_for_the_same_seed(
    n_correct: np.ndarray,
) -> None:
    first = bootstrap(n_correct, 8, np.random.default_rng(1), n_draws=200)
    again = bootstrap(n_correct, 8, np.random.default_rng(1), n_draws=200)
    assert first == again
    assert first.low - 1e-9 <= first.value <= first.high + 1e-9


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    rates = rng.beta(1, 2, size=5000)
    covered = 0
    for _ in range(300):
        drawn = rng.binomial(8, rng.choice(rates, size=100))
        estimate = bootstrap(drawn, 8, rng, n_draws=400)
        covered += estimate.low <= rates.mean() <= estimate.high
    assert 0.90 <= covered / 300 <= 0.985


@pytest.mark.parametrize("k", [0, 9])
def test_k_outside_1_to_n_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="k must be 1 to n"):
        pass_at_k(np.array([1, 2]), 8, k)


def test_no_problems_and_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="no problems"):
        expected_at_1(np.array([], dtype=np.int64), 8)
    with pytest.raises(ValueError, match="counts must lie"):
        expected_at_1(np.array([9]), 8)
