"""Laws of the resampling schemes, and of the draws that keep one particle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.recipe_search import Scheme
from butwait.transforms.particle.resample import resample, resample_given
from butwait.transforms.particle.weights import Floats, WeightError

SCHEMES: tuple[Scheme, ...] = ("multinomial", "stratified", "systematic", "residual")
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
WEIGHTS = (
    st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1.0)), min_size=1, max_size=12)
    .filter(lambda weights: sum(weights) > 0.0)
    .map(lambda weights: np.array(weights) / sum(weights))
)
SLOTS = st.integers(1, 40)
SEEDS = st.integers(0, 2**32)
EXAMPLES = ([0.5, 0.5], [0.1, 0.45, 0.05, 0.4], [0.0, 0.25, 0.25, 0.5, 0.0], [1 / 3] * 3, [1.0])


def logs(weights: Any) -> Floats:
    with np.errstate(divide="ignore"):
        found: Floats = np.log(np.asarray(weights, dtype=np.float64))
    return found


def count(scheme: Scheme, weights: Any, n: int, rng: Any) -> Any:
    return np.bincount(resample(scheme, logs(weights), n, rng), minlength=len(weights))


class Draws:
    """A generator that draws what it is told."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, n: int | None = None) -> Any:
        return self.value if n is None else np.full(n, self.value)


@every_scheme
@pytest.mark.parametrize("weights", EXAMPLES)
def test_slot_counts_have_the_mean_n_times_weight(scheme: Scheme, weights: list[float]) -> None:
    rng, n, n_runs = np.random.default_rng(7), 5, 3000
    counts = np.array([count(scheme, weights, n, rng) for _ in range(n_runs)])
    error = counts.std(axis=0, ddof=1) / math.sqrt(n_runs)
    assert (np.abs(counts.mean(axis=0) - n * np.array(weights)) <= 4.5 * error + 1e-9).all()


@given(WEIGHTS, SLOTS)
def test_systematic_counts_averaged_over_their_one_draw_are_exact(weights: Floats, n: int) -> None:
    grid = 50
    counts = [count("systematic", weights, n, Draws((k + 0.5) / grid)) for k in range(grid)]
    assert np.abs(np.mean(counts, axis=0) - n * weights).max() <= 1 / grid + 1e-6


@given(WEIGHTS, SLOTS, SEEDS)
def test_systematic_counts_are_less_than_one_off(weights: Floats, n: int, seed: int) -> None:
    counts = count("systematic", weights, n, np.random.default_rng(seed))
    assert np.abs(counts - n * weights).max() < 1.0 + 1e-9


@given(WEIGHTS, SLOTS, SEEDS)
def test_stratified_counts_are_less_than_two_off(weights: Floats, n: int, seed: int) -> None:
    counts = count("stratified", weights, n, np.random.default_rng(seed))
    assert np.abs(counts - n * weights).max() < 2.0 + 1e-9


@given(WEIGHTS, SLOTS, SEEDS)
def test_residual_counts_hold_the_whole_part_of_n_times_weight(
    weights: Floats, n: int, seed: int
) -> None:
    counts = count("residual", weights, n, np.random.default_rng(seed))
    assert (counts >= np.floor(n * weights - 1e-9)).all()


@given(st.sampled_from(SCHEMES), WEIGHTS, SLOTS, SEEDS)
def test_the_dead_are_never_chosen_and_every_slot_is_filled(
    scheme: Scheme, weights: Floats, n: int, seed: int
) -> None:
    ancestors = resample(scheme, logs(weights), n, np.random.default_rng(seed))
    assert ancestors.shape == (n,) and ancestors.dtype == np.int64
    assert (weights[ancestors] > 0.0).all()
    assert scheme == "multinomial" or (np.diff(ancestors) >= 0).all()


@given(st.sampled_from(SCHEMES), WEIGHTS, SLOTS, SEEDS, st.floats(-700.0, 700.0))
def test_a_draw_is_settled_by_weights_on_any_scale_and_the_generator(
    scheme: Scheme, weights: Floats, n: int, seed: int, shift: float
) -> None:
    first = resample(scheme, logs(weights), n, np.random.default_rng(seed))
    again = resample(scheme, logs(weights), n, np.random.default_rng(seed))
    assert np.array_equal(first, again)
    moved = resample(scheme, logs(weights) + round(shift), n, np.random.default_rng(seed))
    assert (weights[moved] > 0.0).all()


@every_scheme
@pytest.mark.parametrize("last", [0.0, 0.1])
def test_a_draw_at_the_very_end_of_a_sum_below_one_stays_inside(
    scheme: Scheme, last: float
) -> None:
    # Ten tenths add up to less than 1 in floating point; a point may lie in the gap.
    weights = np.array([0.1] * 10 + [last])
    assert weights[:10].cumsum()[-1] < 1.0
    near_one: Any = Draws(np.nextafter(1.0, 0.0))
    for n in (1, 3, 10, 11):
        ancestors = resample(scheme, logs(weights), n, near_one)
        assert ancestors.max() <= (10 if last else 9)


@every_scheme
def test_a_draw_at_zero_takes_the_first_that_lives(scheme: Scheme) -> None:
    at_zero: Any = Draws(0.0)
    assert resample(scheme, logs([0.0, 0.0, 0.7, 0.3]), 1, at_zero).tolist() == [2]


@every_scheme
@pytest.mark.parametrize("weights", [[-math.inf] * 2, [math.nan, 0.0], [math.inf, 0.0]])
def test_nobody_to_choose_from_is_an_error(scheme: Scheme, weights: list[float]) -> None:
    with pytest.raises(WeightError):
        resample(scheme, np.array(weights), 2, np.random.default_rng(0))


def test_the_schemes_order_by_variance() -> None:
    rng, weights = np.random.default_rng(3), [0.35, 0.3, 0.2, 0.15]
    spread = {
        scheme: np.var([count(scheme, weights, 4, rng) for _ in range(3000)], axis=0).sum()
        for scheme in SCHEMES
    }
    assert spread["systematic"] < spread["multinomial"] * 0.6
    assert spread["stratified"] < spread["multinomial"] * 0.8
    assert spread["residual"] < spread["multinomial"] * 0.8


@given(st.sampled_from(SCHEMES), WEIGHTS, SEEDS, st.data())
def test_a_kept_particle_has_its_own_slot_and_the_dead_still_none(
    scheme: Scheme, weights: Floats, seed: int, data: st.DataObject
) -> None:
    kept = data.draw(st.sampled_from(np.flatnonzero(weights).tolist()))
    ancestors = resample_given(scheme, logs(weights), np.random.default_rng(seed), kept)
    assert ancestors.shape == weights.shape and ancestors[kept] == kept
    assert (weights[ancestors] > 0.0).all()


@every_scheme
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_draw_that_keeps_a_particle_has_the_law_of_a_free_one_given_that_it_did(
    scheme: Scheme, kept: int
) -> None:
    rng, weights, n_runs = np.random.default_rng(kept), [0.1, 0.45, 0.05, 0.4], 4000
    free = np.array([count(scheme, weights, 4, rng) for _ in range(n_runs)])
    # A slot chosen at random continues the kept one: counts are tilted by its own.
    tilted = (free * free[:, [kept]]).sum(axis=0) / free[:, kept].sum()
    given_kept = np.mean(
        [
            np.bincount(resample_given(scheme, logs(weights), rng, kept), minlength=4)
            for _ in range(n_runs)
        ],
        axis=0,
    )
    assert np.abs(given_kept - tilted).max() < 0.09
    overwritten = free.mean(axis=0) * 3 / 4 + np.eye(4)[kept]  # a slot taken from anybody
    if scheme == "systematic":
        assert np.abs(overwritten - tilted).max() > 0.1


def test_a_kept_particle_of_no_weight_still_keeps_its_slot() -> None:
    for scheme in SCHEMES:
        weights = np.array([0.0, 0.0, -2000.0])
        for kept in range(3):
            ancestors = resample_given(scheme, weights, np.random.default_rng(1), kept)
            assert ancestors[kept] == kept and set(ancestors.tolist()) <= {0, 1, kept}
