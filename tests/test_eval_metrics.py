"""Scores of single problems, and what the best of several runs is by chance."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.evals.metrics import majority_at_k, problem_scores
from butwait.evals.selection import best_of_m
from butwait.schemas.errors import ConfigError

counts = st.lists(st.integers(0, 8), min_size=1, max_size=40).map(np.array)
votes = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=7)
OF_30 = np.array([4] * 7 + [3] * 6 + [0] * 17)
"""46 of 240 right, 13 of 30 solved: the original table's Phi-4 in one possible spread."""


def test_expected_at_1_of_the_published_phi_4_baseline_is_46_of_240() -> None:
    assert problem_scores(OF_30, 8).mean() == pytest.approx(46 / 240)
    assert problem_scores(OF_30, 8, k=8).mean() == pytest.approx(13 / 30)


@given(counts)
def test_pass_at_1_is_expected_at_1(n_correct: np.ndarray) -> None:
    assert problem_scores(n_correct, 8, k=1) == pytest.approx(problem_scores(n_correct, 8))


@given(counts)
def test_pass_at_k_grows_with_k_and_ends_at_the_share_of_solved_problems(
    n_correct: np.ndarray,
) -> None:
    values = [problem_scores(n_correct, 8, k=k).mean() for k in range(1, 9)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(float((n_correct > 0).mean()))


def test_pass_at_k_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.binomial(8, 0.2, size=200_000)
    assert problem_scores(drawn, 8, k=3).mean() == pytest.approx(1 - 0.8**3, abs=0.003)


def count_out(answers: list[str | None], right: str, k: int) -> float:
    """The definition: every subset of k samples, ties shared."""
    won = 0.0
    subsets = list(itertools.combinations(answers, k))
    for subset in subsets:
        tally = Counter(answer for answer in subset if answer is not None)
        best = [a for a, n in tally.items() if n == max(tally.values())]
        won += (right in best) / max(1, len(best))
    return won / len(subsets)


@given(votes, st.data())
def test_the_majority_is_what_counting_all_subsets_gives(
    answers: list[str | None], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(answers)))
    assert majority_at_k(answers, "a", k) == pytest.approx(count_out(answers, "a", k))


@given(votes)
def test_one_vote_is_expected_at_1(answers: list[str | None]) -> None:
    assert majority_at_k(answers, "a", 1) == pytest.approx(answers.count("a") / len(answers))


def test_where_nobody_votes_the_majority_is_wrong_and_ties_are_shared() -> None:
    assert majority_at_k([None] * 8, "7", 8) == 0
    assert majority_at_k(["7", "3", "5", None], "7", 4) == pytest.approx(1 / 3)
    assert majority_at_k(["7"] + [None] * 7, "7", 8) == 1


def test_the_majority_of_half_of_64_samples_is_counted_in_time() -> None:
    answers = ["7"] * 20 + ["3"] * 18 + [str(i + 100) for i in range(26)]
    assert 0.5 < majority_at_k(answers, "7", 32) < 0.8


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: problem_scores(OF_30, 8, k=16), "pass@16 is undefined with n = 8"),
        (lambda: problem_scores(OF_30, 2), "counts must lie"),
        (lambda: problem_scores(OF_30[:0], 8), "no problems"),
        (lambda: majority_at_k(["7"] * 4, "7", 8), "maj@8 is undefined with n = 4"),
        (lambda: majority_at_k([], "7", 1), "undefined with n = 0"),
        (lambda: best_of_m(np.array([19.2]), 8, 2), "rates must lie"),
        (lambda: best_of_m(np.array([0.2]), 8, 0), "at least 1"),
    ],
)
def test_what_is_undefined_is_refused_with_the_reason(
    call: Callable[[], object], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        call()


def test_the_best_of_21_runs_without_effect_prints_24_from_a_base_of_19() -> None:
    one_rate = np.full(30, 46 / 240)
    assert 100 * best_of_m(one_rate, 8, 21).mean == pytest.approx(24.0, abs=0.15)
    assert 100 * best_of_m(one_rate, 8, 4).mean == pytest.approx(21.8, abs=0.05)


def test_the_best_is_lower_where_problems_differ_and_our_best_phi_is_no_surprise() -> None:
    best = best_of_m(OF_30 / 8, 8, 21)
    assert best.mean < best_of_m(np.full(30, 46 / 240), 8, 21).mean
    assert best.p_value(48 / 240) > 0.99


@pytest.mark.parametrize("m", [1, 7])
def test_the_exact_distribution_is_what_drawing_gives(m: int) -> None:
    rng = np.random.default_rng(2)
    totals = rng.binomial(8, OF_30 / 8, size=(20_000, m, 30)).sum(axis=2).max(axis=1)
    best = best_of_m(OF_30 / 8, 8, m)
    assert best.mean == pytest.approx(totals.mean() / 240, abs=0.001)
    assert best.p_value(50 / 240) == pytest.approx((totals >= 50).mean(), abs=0.012)
    assert best.low <= best.mean <= best.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 9))
def test_more_runs_never_lower_the_best(rates: list[float], m: int) -> None:
    one, more = (best_of_m(np.array(rates), 4, runs) for runs in (m, m + 1))
    assert one.mean <= more.mean + 1e-9
    assert one.p_value(0.0) == 1
    assert one.p_value(1.0) <= more.p_value(1.0) + 1e-9
