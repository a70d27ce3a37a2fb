"""The plot of a build's speed over its working time."""

from __future__ import annotations

from collections.abc import Sequence

from butwait.evals.report.content import Plot, make_table, shorten
from butwait.evals.report.plots import draw_lines
from butwait.evals.report.timeline import Session

_PANELS = (
    ("questions", "questions a second"),
    ("tokens", "tokens a second"),
    ("cached", "from the cache\na second"),
)


def plot_sessions(sessions: Sequence[Session]) -> Plot:
    """Plot questions, tokens and cache hits a second; at least one session has points."""
    end = sessions[-1].begun_s + sessions[-1].seconds
    unit, per = (("minutes", 60.0), ("seconds", 1.0))[end < 300]
    panels = []
    for key, label in _PANELS:
        points = [(a / per, rates[key]) for s in sessions for a, _, rates in s.points]
        last = [(b / per, rates[key]) for s in sessions[-1:] for _, b, rates in s.points[-1:]]
        if key == "questions" or any(y for _, y in points):
            panels.append((label, {label: points + last}))
    seconds = sum(s.seconds for s in sessions)
    tokens = sum(s.totals["tokens"] for s in sessions)
    told = (
        f"{len(sessions)} stretch{'es' * (len(sessions) > 1)} of sampling, {seconds:,.0f} seconds, "
        f"{tokens / seconds:,.0f} tokens a second on average. Dashed lines: the build was started "
        "again or changed from cache to server; the time between is left out."
    )
    alt = ("speed", "Speed over time", told)
    marks = [s.begun_s / per for s in sessions[1:]]
    svg = draw_lines(panels, f"working time, {unit}", alt, marks=marks, steps=True)
    rows = [
        (shorten(s.label, 60), s.seconds, s.totals["questions"], s.totals["questions"] / s.seconds,
         s.totals["tokens"], s.totals["tokens"] / s.seconds, s.totals["cached"])
        for s in sessions
    ]  # fmt: skip
    columns = (
        "stretch",
        "seconds",
        "questions",
        "a second",
        "tokens",
        "a second",
        "from the cache",
    )
    return Plot(*alt, svg, make_table(columns, rows))
