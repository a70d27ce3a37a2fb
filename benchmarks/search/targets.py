"""What the benchmark of search must reach: each target with its figure and whether it is met."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
Target = tuple[str, str, bool]
LEAST_EACH, LEAST_GATHERED, LEAST_BARE, MOST_IDLE, MOST_Z = 4.0, 2.0, 0.9, 0.1, 4.0


def targets(report: Report) -> list[Target]:
    """Target, figure, met; parts that were not run have none."""
    return [
        *(target for speed in report["speed"] for target in speed_targets(speed)),
        *statistics_targets(report["statistics"]),
    ]


def speed_targets(speed: dict[str, Any]) -> list[Target]:
    """Ratios of wall times and of tokens a second, and idle time of the server."""
    prm, sides = speed["prm"], speed["sides"]
    ours = sides["ours"]
    found: list[Target] = []
    kept = sides.get("ours, log-probabilities kept")
    for name, least in (("its_hub", LEAST_EACH), ("its_hub, gathered", LEAST_GATHERED)):
        if name in sides:
            ratio = sides[name]["wall_s"] / ours["wall_s"]
            text = f"{ratio:.2f} x"
            if kept:
                text += f" ({sides[name]['wall_s'] / kept['wall_s']:.2f} x with log-probabilities)"
            found.append((f"{prm}: at least {least:g} x {name}", text, ratio >= least))
    if speed["bare"] is not None:
        share = ours["tokens_s"] / sides[speed["bare"]]["tokens_s"]
        what = f"{prm}: at least {LEAST_BARE:g} of the bare loop's tokens/s"
        found.append((what, f"{share:.2f}", share >= LEAST_BARE))
    what = f"{prm}: policy server idle less than {100 * MOST_IDLE:.0f} % of the time"
    idle = ours["client_idle"]
    found.append((what, f"{100 * idle:.1f} %", idle < MOST_IDLE))
    return found


def statistics_targets(rows: list[dict[str, Any]]) -> list[Target]:
    """Estimates of the filters against exact values; a known bias must be seen."""
    found: list[Target] = []
    agree = [row for row in rows if row["expected"] == "agrees"]
    differ = [row for row in rows if row["expected"] == "differs"]
    if agree:
        worst = max(agree, key=lambda row: abs(row["z"]))
        what = f"statistics: all {len(agree)} estimates within {MOST_Z:g} standard errors"
        met = abs(worst["z"]) < MOST_Z
        found.append((what, f"{worst['case']}, {worst['quantity']}: z = {worst['z']:+.2f}", met))
    if differ:
        least = min(differ, key=lambda row: abs(row["z"]))
        what = f"statistics: {len(differ)} known biases seen"
        met = abs(least["z"]) > MOST_Z
        found.append((what, f"{least['case']}, {least['quantity']}: z = {least['z']:+.2f}", met))
    return found
