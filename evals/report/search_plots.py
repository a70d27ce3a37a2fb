"""Plots of a build's searches: how even the particles' weights stayed, what the scores told."""

from __future__ import annotations

from collections.abc import Iterator

from butwait.evals.report.content import Plot, make_table
from butwait.evals.report.plots import draw_band, draw_overlay
from butwait.evals.report.searches import (
    MOST_STEPS,
    N_BINS,
    SearchTally,
    area_under_curve,
    quantile,
)

_SHOWN_BINS = 25


def plot_searches(tally: SearchTally) -> Iterator[Plot]:
    """Plot effective sample sizes over steps, and scores of right against wrong leaves."""
    if tally.evenness:
        yield _evenness(tally)
    if tally.scores:
        yield _scores(tally)


def _evenness(tally: SearchTally) -> Plot:
    steps = sorted(tally.evenness)
    low, middle, high = ([quantile(tally.evenness[s], q) for s in steps] for q in (0.25, 0.5, 0.75))
    n = sum(bins.total() for bins in tally.evenness.values())
    told = (
        "Effective sample size over particles before each resampling, 1 where all weights are "
        f"equal: median (line) and middle half (band) of {n:,} resamplings. Median at the first "
        f"step {middle[0]:.2f}, at the last {middle[-1]:.2f}."
    )
    alt = ("ess", "Effective sample size over the steps", told)
    svg = draw_band(steps, middle, low, high, ("step", "share of the particles"), alt)
    rows = [
        (f"{s}{' or later' * (s == MOST_STEPS)}", tally.evenness[s].total(), a, m, b)
        for s, a, m, b in zip(steps, low, middle, high, strict=True)
    ]
    return Plot(
        *alt, svg, make_table(("step", "resamplings", "lower quarter", "median", "upper"), rows)
    )


def _scores(tally: SearchTally) -> Plot:
    names = sorted(tally.scores, key=lambda name: (name != "correct", name != "incorrect", name))
    width = N_BINS // _SHOWN_BINS
    edges = [i / _SHOWN_BINS for i in range(_SHOWN_BINS + 1)]
    counts = {
        name: [sum(tally.scores[name][i * width + j] for j in range(width)) for i in
               range(_SHOWN_BINS)]
        for name in names
    }  # fmt: skip
    shares = {name: [100 * n / max(sum(c), 1) for n in c] for name, c in counts.items()}
    area = None
    if "correct" in tally.scores and "incorrect" in tally.scores:
        area = area_under_curve(tally.scores["correct"], tally.scores["incorrect"])
    told = "Finished solutions by the process reward of the whole text, each verdict by itself."
    if area is not None:
        told += f" A right one scores above a wrong one in {100 * area:.1f} % of the pairs (AUC)."
    alt = ("scores", "Process reward of right and wrong solutions", told)
    svg = draw_overlay(edges, shares, ("process reward", "per cent"), alt)
    rows = [
        (f"{edges[i]:.2f} to {edges[i + 1]:.2f}", *(counts[name][i] for name in names))
        for i in range(_SHOWN_BINS)
    ]
    return Plot(*alt, svg, make_table(("process reward", *names), rows))
