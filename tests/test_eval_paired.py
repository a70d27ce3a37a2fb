"""Paired differences: interval, sign-flip p-value, Holm's correction, and the word for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.evals.paired import (
    Difference,
    holm,
    paired_difference,
    sign_flip_p_value,
    verdict,
)
from butwait.evals.student import t_quantile
from butwait.schemas.errors import ConfigError

eighths = st.integers(0, 8).map(lambda c: c / 8)
pairs = st.integers(2, 40).flatmap(
    lambda k: st.tuples(
        st.lists(eighths, min_size=k, max_size=k).map(np.array),
        st.lists(eighths, min_size=k, max_size=k).map(np.array),
    )
)
p_values = st.lists(st.floats(0, 1), max_size=12)


def seeded() -> np.random.Generator:
    return np.random.default_rng(7)


@given(pairs)
def test_a_swap_of_the_runs_turns_the_difference_around(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    there = paired_difference(*pair, seeded())
    back = paired_difference(pair[1], pair[0], seeded())
    assert back.value == pytest.approx(-there.value)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p_value == pytest.approx(there.p_value)


@given(pairs)
def test_the_interval_holds_the_difference_and_the_p_value_is_never_zero(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    found = paired_difference(*pair, seeded())
    assert found.value == pytest.approx(pair[0].mean() - pair[1].mean())
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert 0 < found.p_value <= 1


def test_the_same_seed_gives_the_same_p_value() -> None:
    rng = np.random.default_rng(1)
    scores, base = rng.random(100), rng.random(100)
    assert paired_difference(scores, base, seeded()) == paired_difference(scores, base, seeded())


def test_a_run_against_itself_shows_no_difference_and_no_certainty() -> None:
    scores = np.full(30, 0.25)
    found = paired_difference(scores, scores, seeded())
    assert (found.value, found.p_value) == (0, 1)
    assert found.low < 0 < found.high


def test_the_same_gap_on_three_problems_is_not_certain() -> None:
    found = paired_difference(np.array([0.3, 0.5, 0.7]), np.array([0.1, 0.3, 0.5]), seeded())
    assert found.value == pytest.approx(0.2)
    assert found.low < 0
    assert found.p_value == pytest.approx(0.25)


def test_few_problems_are_counted_out_exactly() -> None:
    gaps = np.array([0.125, -0.25, 0.5, 0.125, 0.375])
    sums = [abs(sum(s * g for s, g in zip(signs, gaps, strict=True)))
            for signs in itertools.product([1, -1], repeat=5)]  # fmt: skip
    expected = np.mean([total >= abs(gaps.sum()) - 1e-9 for total in sums])
    assert sign_flip_p_value(gaps, seeded()) == pytest.approx(expected)


def test_drawn_patterns_agree_with_exact_ones() -> None:
    gaps = np.append(np.ones(15) / 8, -np.ones(5) / 8)
    # 15 of 20 equal steps up: a sign test, two-sided binomial.
    assert sign_flip_p_value(gaps, seeded()) == pytest.approx(0.0414, abs=0.005)


def test_p_values_of_runs_that_do_not_differ_are_uniform_enough() -> None:
    rng = np.random.default_rng(3)
    rates = rng.beta(0.3, 1.2, size=30)
    found = [
        sign_flip_p_value((rng.binomial(8, rates) - rng.binomial(8, rates)) / 8, rng)
        for _ in range(400)
    ]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.075


def test_the_interval_covers_the_true_difference_about_95_times_in_100() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(1000):
        rates = rng.beta(0.3, 1.2, size=30)
        better = rates + 0.1 * (1 - rates)  # population mean of the gain: 0.1 x 0.8
        gaps = (rng.binomial(8, better) - rng.binomial(8, rates)) / 8
        half = t_quantile(0.975, 29) * gaps.std(ddof=1) / 30**0.5
        covered += abs(gaps.mean() - 0.08) <= half
    assert 0.93 <= covered / 1000 <= 0.97


@given(p_values)
def test_holm_never_lowers_a_p_value_and_keeps_their_order(raw: list[float]) -> None:
    adjusted = holm(raw)
    assert all(p <= q <= 1 for p, q in zip(raw, adjusted, strict=True))
    by_raw = [q for _, q in sorted(zip(raw, adjusted, strict=True))]
    assert by_raw == sorted(by_raw)


@given(p_values)
def test_holm_is_between_bonferroni_and_nothing(raw: list[float]) -> None:
    for p, q in zip(raw, holm(raw), strict=True):
        assert q <= min(1, len(raw) * p) + 1e-12


def test_holm_of_one_and_of_a_textbook_case() -> None:
    assert holm([0.04]) == [0.04]
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("difference", "adjusted_p", "word"),
    [
        (Difference(0.05, 0.01, 0.09, 0.01), 0.01, "better"),
        (Difference(-0.05, -0.09, -0.01, 0.01), 0.05, "worse"),
        (Difference(0.05, 0.0, 0.10, 0.01), 0.01, "no difference shown"),
        (Difference(0.05, 0.01, 0.09, 0.01), 0.051, "no difference shown"),
        (Difference(0.05, 0.01, 0.09, 0.01), float("nan"), "no difference shown"),
    ],
)
def test_better_needs_both_the_interval_and_the_p_value(
    difference: Difference, adjusted_p: float, word: str
) -> None:
    assert verdict(difference, adjusted_p) == word


def test_a_difference_is_printed_in_points_with_its_sign() -> None:
    assert str(Difference(0.0468, 0.0101, 0.0869, 0.02)) == "+4.7 [1.0, 8.7]"
    assert str(Difference(-0.02, -0.05, 0.01, 0.2)) == "-2.0 [-5.0, 1.0]"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: paired_difference(np.ones(3), np.ones(4), seeded()), "cannot be paired"),
        (lambda: paired_difference(np.ones(1), np.ones(1), seeded()), "at least two"),
        (lambda: paired_difference(np.full(3, 19.2), np.ones(3), seeded()), "19.2"),
        (lambda: paired_difference(np.full(3, np.nan), np.ones(3), seeded()), "nan"),
        (lambda: holm([0.1, 1.2]), "1.2"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(
    call: Callable[[], object], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        call()
