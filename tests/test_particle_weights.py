"""Weights in log space: rewards as odds, aggregation, softmax, effective sample size, tempering."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.recipe_search import Aggregation
from butwait.transforms.particle.weights import (
    CLIP,
    Floats,
    WeightError,
    aggregate,
    anneal,
    effective_sample_size,
    entropic_temperature,
    log_mean,
    log_odds,
    normalize,
)

REWARDS = st.floats(0.0, 1.0)
LOG_WEIGHTS = st.lists(
    st.one_of(st.floats(-800.0, 800.0), st.just(-math.inf)), min_size=1, max_size=20
).map(np.array)
ALIVE = LOG_WEIGHTS.filter(lambda weights: bool(np.isfinite(weights).any()))
NO_NUMBERS: list[list[float]] = [[], [math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]]


def test_a_reward_counts_by_its_odds_and_not_by_itself() -> None:
    by_odds = math.exp(log_odds(0.99) - log_odds(0.8))
    assert by_odds == pytest.approx(99 / 4)
    # What a softmax over rewards would make of them: at most a factor e for any two.
    assert math.exp(0.99 - 0.8) < 1.21 and math.exp(1.0 - 0.0) < math.e + 1e-9


@given(REWARDS, REWARDS)
def test_log_odds_are_finite_and_keep_the_order_of_rewards(one: float, other: float) -> None:
    a, b = log_odds(one), log_odds(other)
    assert abs(a) <= math.log((1 - CLIP) / CLIP) + 1e-9
    assert (one <= other) <= (a <= b)
    assert log_odds(0.0) == pytest.approx(-log_odds(1.0))


@pytest.mark.parametrize("reward", [math.nan, -0.001, 1.001, math.inf, -math.inf])
def test_what_is_no_reward_is_refused_and_never_clipped(reward: float) -> None:
    with pytest.raises(WeightError, match=r"lie in \[0, 1\]"):
        log_odds(reward)
    with pytest.raises(WeightError, match=r"lie in \[0, 1\]"):
        aggregate([0.5, reward], "min")  # the minimum of 0.5 and NaN is 0.5


@given(st.lists(REWARDS, min_size=1, max_size=8), REWARDS)
def test_only_the_product_factorises_over_steps(rewards: list[float], step: float) -> None:
    longer = [*rewards, step]
    assert aggregate(longer, "prod") == pytest.approx(aggregate(rewards, "prod") * step)
    assert aggregate(longer, "min") == min(aggregate(rewards, "min"), step)
    assert aggregate(longer, "last") == step


@pytest.mark.parametrize(("rewards", "how"), [([], "prod"), ([], "model"), ([0.1, 0.2], "model")])
def test_an_aggregation_wants_its_number_of_rewards(rewards: list[float], how: Aggregation) -> None:
    with pytest.raises(WeightError, match="cannot be aggregated"):
        aggregate(rewards, how)


@given(ALIVE, st.floats(-500.0, 500.0))
def test_normalised_weights_add_up_to_one_on_any_scale(weights: Floats, shift: float) -> None:
    chances = np.exp(normalize(weights))
    assert chances.sum() == pytest.approx(1.0)
    assert np.array_equal(chances > 0, chances != 0) and (chances[np.isneginf(weights)] == 0).all()
    assert np.allclose(chances, np.exp(normalize(weights + shift)), atol=1e-9)


@pytest.mark.parametrize("weights", NO_NUMBERS)
def test_weights_that_nobody_can_be_drawn_by_are_an_error(weights: list[float]) -> None:
    with pytest.raises(WeightError):
        normalize(np.array(weights))


@given(LOG_WEIGHTS)
def test_the_mean_weight_counts_the_dead_as_zero(weights: Floats) -> None:
    mean = log_mean(weights)
    if np.isneginf(weights).all():
        assert mean == -math.inf
    else:
        assert mean == pytest.approx(np.logaddexp.reduce(weights) - math.log(len(weights)))


@given(ALIVE)
def test_an_effective_sample_size_lies_between_one_and_the_number_alive(weights: Floats) -> None:
    n_alive = int(np.isfinite(weights).sum())
    assert 1.0 - 1e-9 <= effective_sample_size(weights) <= n_alive + 1e-9
    even = np.where(np.isfinite(weights), 0.0, -math.inf)
    assert effective_sample_size(even) == pytest.approx(n_alive)


@given(st.floats(0.1, 5.0), st.floats(0.1, 5.0), st.integers(1, 20), st.integers(0, 60))
def test_annealing_runs_straight_from_the_first_temperature_to_the_last_and_stays(
    first: float, last: float, n_steps: int, step: int
) -> None:
    assert anneal(0, first, last, n_steps) == first
    assert anneal(n_steps + step, first, last, n_steps) == pytest.approx(last)
    assert min(first, last) - 1e-9 <= anneal(step, first, last, n_steps) <= max(first, last) + 1e-9


def test_the_entropic_temperatures_are_those_of_the_paper() -> None:
    weights = np.log(np.array([0.7, 0.1, 0.1, 0.1]))
    ess = 1 / (0.49 + 0.03)
    entropy = -(0.7 * math.log(0.7) + 0.3 * math.log(0.1)) / math.log(4)
    assert entropic_temperature(weights, 0.1, "ess") == pytest.approx(4 / ess * 0.9)
    assert entropic_temperature(weights, 0.1, "base") == pytest.approx(1.9)
    expected = 1 / (entropy + (1 - entropy) * 0.1)
    assert entropic_temperature(weights, 0.1, "entropy") == pytest.approx(expected)


@given(ALIVE, st.floats(0.0, 1.0), st.sampled_from(["ess", "entropy", "base"]))
def test_an_entropic_temperature_only_ever_flattens(
    weights: Floats, progress: float, how: str
) -> None:
    temperature = entropic_temperature(weights, progress, how)
    assert math.isfinite(temperature) and temperature >= 1.0
    flatter = effective_sample_size(weights / temperature)
    assert flatter >= effective_sample_size(weights) - 1e-6
