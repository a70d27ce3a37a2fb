"""Student's quantiles against printed tables."""

from __future__ import annotations

import pytest

from butwait.evals.student import t_cumulative, t_quantile


@pytest.mark.parametrize(
    ("p", "df", "printed"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 29, 2.045),
        (0.995, 5, 4.032),
        (0.8, 10, 0.879),
        (0.975, 499, 1.965),
        (0.975, 10**6, 1.960),
    ],
)
def test_quantiles_are_those_of_the_tables(p: float, df: int, printed: float) -> None:
    assert t_quantile(p, df) == pytest.approx(printed, abs=6e-4)
    assert t_quantile(1 - p, df) == pytest.approx(-printed, abs=6e-4)


@pytest.mark.parametrize("df", [1, 2, 7, 30, 499])
def test_the_quantile_undoes_the_distribution(df: int) -> None:
    for p in (0.01, 0.5, 0.9, 0.975):
        assert t_cumulative(t_quantile(p, df), df) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(("p", "df"), [(0.0, 3), (1.0, 3), (0.9, 0)])
def test_impossible_shares_and_degrees_are_refused(p: float, df: int) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        t_quantile(p, df)
