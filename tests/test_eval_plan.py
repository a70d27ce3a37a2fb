"""``butwait eval plan``: how many samples show an effect, against simulation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.evals.plan import Setting, plan, standard_error
from butwait.evals.student import t_quantile
from butwait.pipelines.cli import run_command
from butwait.schemas.benchmark import BENCHMARKS, count_problems

settings = st.builds(
    Setting,
    effect=st.sampled_from([-0.05, -0.01, 0.01, 0.03, 0.1]),
    base=st.floats(0.1, 0.85),
    n_problems=st.integers(5, 2000),
)


def simulate(setting: Setting, n_samples: int, n_runs: int) -> np.ndarray:
    """Differences by problem, shape (runs, K), drawn as the model says."""
    rng = np.random.default_rng(11)
    shape = (n_runs, setting.n_problems)
    s, m = setting.concentration, setting.base
    rates = rng.beta(m * s, (1 - m) * s, size=shape)
    if setting.effect > 0:
        moved = rates + setting.effect / (1 - m) * (1 - rates)
    else:
        moved = rates * (1 + setting.effect / m)
    a = setting.agreement
    new = rng.beta(np.maximum(moved * a, 1e-9), np.maximum((1 - moved) * a, 1e-9))
    return (rng.binomial(n_samples, new) - rng.binomial(n_samples, rates)) / n_samples


@pytest.mark.parametrize(
    ("setting", "n_samples"),
    [
        (Setting(0.03, 0.19, 30), 64),
        (Setting(-0.05, 0.4, 40), 8),
        (Setting(0.02, 0.8, 500, concentration=2, agreement=50), 4),
    ],
)
def test_the_standard_error_is_what_simulation_gives(setting: Setting, n_samples: int) -> None:
    means = simulate(setting, n_samples, 4000).mean(axis=1)
    assert means.mean() == pytest.approx(setting.effect, abs=0.002)
    assert means.std() == pytest.approx(
        standard_error(setting, setting.effect, n_samples), rel=0.05
    )


@pytest.mark.parametrize(("k", "n_samples", "base"), [(30, 64, 0.19), (500, 8, 0.8)])
def test_the_smallest_effect_is_seen_as_often_as_the_power_says(
    k: int, n_samples: int, base: float
) -> None:
    smallest = plan(Setting(0.03, base, k), n_samples).smallest_at[n_samples]
    gaps = simulate(Setting(smallest, base, k), n_samples, 2000)
    far = np.abs(gaps.mean(axis=1)) / (gaps.std(axis=1, ddof=1) / k**0.5)
    assert np.mean(far > t_quantile(0.975, k - 1)) == pytest.approx(0.8, abs=0.05)


@given(settings)
def test_more_samples_and_more_problems_never_hide_an_effect(setting: Setting) -> None:
    found = plan(setting)
    smallest = [abs(found.smallest_at[8]), abs(found.smallest_at[64]), abs(found.smallest_ever)]
    assert smallest == sorted(smallest, reverse=True)
    twice = Setting(setting.effect, setting.base, 2 * setting.n_problems)
    assert abs(plan(twice).smallest_ever) <= abs(found.smallest_ever)


@given(settings)
def test_the_samples_asked_for_show_the_effect_and_one_fewer_does_not(setting: Setting) -> None:
    n = plan(setting).n_samples
    if n is not None and n > 1:
        assert abs(plan(setting, n).smallest_at[n]) <= abs(setting.effect) + 1e-5
        assert abs(plan(setting, n - 1).smallest_at[n - 1]) >= abs(setting.effect) - 1e-5


@given(settings)
def test_a_fall_is_a_rise_of_wrong_answers(setting: Setting) -> None:
    mirrored = Setting(-setting.effect, 1 - setting.base, setting.n_problems)
    here = standard_error(setting, setting.effect, 8)
    assert here == pytest.approx(standard_error(mirrored, mirrored.effect, 8))


def call(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(["eval", "plan", *arguments])
    return (code, *capfd.readouterr())


def test_aime_cannot_show_three_points_and_the_page_says_what_can(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = call(capfd, "--effect", "3", "--base", "19", "--benchmark", "aime24")
    assert code == 0
    assert "+3 points cannot be shown with 30 problems, however many samples" in out
    assert "n=64: smallest effect" in out


def test_json_tells_the_plan(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(
        capfd, "--effect", "3", "--base", "80", "--benchmark", "math500", "--samples", "4", "--json"
    )
    found: dict[str, Any] = json.loads(out)
    assert code == 0
    assert found["n_samples"] == 4
    assert set(found["smallest_at"]) == {"4", "8", "64"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--effect 3 --base 19", "either --benchmark or --problems"),
        ("--effect 3 --base 19 --benchmark aime24 --problems 30", "either --benchmark"),
        ("--effect 3 --base 19 --benchmark aime23", "'aime23' is not known"),
        ("--effect 0 --base 19 --benchmark aime24", "effect is 0"),
        ("--effect nan --base 19 --benchmark aime24", "nan %"),
        ("--effect 30 --base 80 --benchmark aime24", "reach 110 %"),
        ("--effect 3 --base 100 --benchmark aime24", "base is 100 %"),
        ("--effect 3 --base 19 --problems 1", "needs two"),
        ("--effect 3 --base 19 --problems 30 --samples 0", "samples is 0"),
        ("--effect 3 --base 19 --problems 30 --power 1", "power is 1"),
        ("--effect 3 --base 19 --problems 30 --alpha 0", "alpha is 0"),
        ("--effect 3 --base 19 --problems 30 --agreement 0", "agreement is 0"),
        ("--effect 3 --base 19 --problems 30 --concentration -1", "concentration is -1"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(
    arguments: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capfd, *arguments.split())
    assert code == 2
    assert reason in err
    assert err.count("\n") == 1


def test_sizes_of_benchmarks_are_those_of_their_sources() -> None:
    sizes = {name: count_problems(name) for name in BENCHMARKS}
    assert (sizes["aime24"], sizes["math500"], sizes["gsm8k"]) == (30, 500, 1319)
    assert (sizes["pocket-train"], sizes["pocket-test"]) == (400, 300)
