"""The search section of docs/benchmarks.md, between its two markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.search.intervals import REFERENCES
from benchmarks.search.targets import Report, targets
from benchmarks.sections import replace_section

START, END = "<!-- search: start -->", "<!-- search: end -->"
PICTURE = "search-accuracy.svg"
_SPEED = """\
Every side runs the same particle filter (full-prefix weights, multinomial at every step, finished
particles compete) over the same {questions} questions with {particles} particles each, against the
same server, with the same separator, step limits and temperature, in a fresh process; sides take
turns, figures are medians of {rounds} turns. **its_hub** is `its_hub` {its_hub} as documented,
`ParticleFiltering.infer` question after question; **gathered** puts all its questions into one
`asyncio.gather` by hand; the **bare loop** sends the step requests that our run sent once more, as
token ids in long lists with a fixed number of requests open, waits for nothing and parses nothing.
Ours also verifies every answer, counts votes and keeps every node and every sample (completion
cache); its_hub does not. It is set to `search.log_probs: false` here, since its_hub and the bare
loop ask for none; the recipe's default keeps the log-probability of every step, which costs the
server time and has a line of its own. Tokens are counted by the server. *No request open* is the
share of the time in which the side had no generation request open; *engine waits* the share of
looks (every 5 ms) that found the main thread of vLLM's engine asleep, which counts the server's own
tokenizing and JSON as idle too."""
_ACCURACY = """\
{questions} held-out pocket questions, policy `{policy}`, the same reward model for all methods but
the last two (the policy's own certainty; the log-likelihood under the stronger checkpoint). Equal
budgets: solutions begun a question, over all iterations. The answer is the one that the method
selects; no answer is wrong. Intervals: 95 %, bootstrap over questions ({draws} draws); they say
nothing of another seed or policy. *Any* is the share of questions with a right solution among all
that the method finished, what a perfect choice would reach."""


def write_page(report: Report, path: Path) -> list[str]:
    """Replace the section and return the targets that were missed.

    Raises:
        ValueError: The page has lost one of its markers.
    """
    replace_section(path, START, END, "\n".join(section(report)).rstrip())
    return [f"missed: {what} ({found})" for what, found, met in targets(report) if not met]


def section(report: Report) -> list[str]:
    """The section's lines."""
    about = report["machine"]
    versions = ", ".join(f"{name} {about[name]}" for name in ("vllm", "its_hub", "httpx", "numpy"))
    notes = [f"**{note}**" for note in report["notes"]]
    return [
        "## Search",
        "",
        f"`{report['command']}`, {about['date']}. {about['machine']}; Python {about['python']}, "
        f"{versions}.",
        "",
        *(line for note in notes for line in (note, "")),
        *table(
            ["target", "found", ""],
            [[what, found, "met" if met else "**missed**"] for what, found, met in targets(report)],
        ),
        *accuracy_lines(report),
        *speed_lines(report),
        *driver_lines(report),
        *statistics_lines(report["statistics"]),
    ]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def accuracy_lines(report: Report) -> list[str]:
    """The picture, its words, and one table a budget's worth of cells."""
    cells = report["accuracy"]
    if not cells:
        return []
    budgets = sorted({cell["budget"] for cell in cells if cell["budget"] > 1})
    names = list(dict.fromkeys(cell["method"] for cell in report["accuracy_order"]))
    known = {(cell["method"], cell["budget"]): cell for cell in cells}
    intro = _ACCURACY.format(
        questions=len(cells[0]["right"]), policy=report["policy"], draws=report["n_draws"]
    )
    lines = ["### Accuracy at equal budgets", "", intro, ""]
    lines += [f"![{describe(cells)}]({PICTURE})", ""]
    rows = []
    for name in names:
        row = [name]
        for budget in budgets:
            cell = known.get((name, budget)) or known.get((name, 1))
            row.append(str(cell["accuracy"]) if cell else "")
        rows.append(row)
    lines += table(["% right, by budget", *map(str, budgets)], rows)
    for reference in REFERENCES:
        rows = []
        for name in names:
            row = [name]
            for budget in budgets:
                cell = known.get((name, budget))
                found = cell["against"].get(reference) if cell else None
                row.append(signed(found) if found else "")
            if any(row[1:]):
                rows.append(row)
        if rows:
            head = [f"paired difference to {reference}, points", *map(str, budgets)]
            lines += table(head, rows)
    for title, key in (
        ("tokens generated a question", "tokens"),
        ("% right by the weighted vote of the same tree", "by_vote"),
        ("% any", "ceiling"),
    ):
        rows = []
        for name in names:
            found = [known.get((name, b)) or known.get((name, 1)) for b in budgets]
            rows.append([name, *(show(cell, key) if cell else "" for cell in found)])
        lines += table([title, *map(str, budgets)], rows)
    return lines


def show(cell: dict[str, Any], key: str) -> str:
    """A figure of a cell."""
    return f"{cell[key]:,.0f}" if key == "tokens" else f"{100 * cell[key].value:.1f}"


def signed(estimate: Any) -> str:
    """A difference in points with its interval; in bold where it excludes zero."""
    text = f"{100 * estimate.value:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"
    return f"**{text}**" if estimate.low > 0 or estimate.high < 0 else text


def describe(cells: list[dict[str, Any]]) -> str:
    """The picture in words."""
    top = max(cell["budget"] for cell in cells)
    shown = sorted(
        (cell for cell in cells if cell["budget"] == top),
        key=lambda cell: -cell["accuracy"].value,
    )
    named = "; ".join(f"{c['method']} {100 * c['accuracy'].value:.1f} %" for c in shown)
    return (
        "Accuracy against solutions begun a question on a logarithmic axis, one line a method with "
        f"its 95 % interval as a band. At {top}: {named}. All figures are in the table below."
    )


def speed_lines(report: Report) -> list[str]:
    """One table a reward model."""
    if not report["speed"]:
        return []
    about = report["machine"]
    lines = ["### Speed", ""]
    for speed in report["speed"]:
        if speed is report["speed"][0]:
            lines += [_SPEED.format(its_hub=about["its_hub"], **speed["size"]), ""]
        ours = speed["sides"]["ours"]
        rows = [
            [
                name,
                f"{side['wall_s']:.1f}",
                f"{side['wall_s'] / ours['wall_s']:.2f}",
                f"{side['tokens']:,.0f}",
                f"{side['tokens_s']:,.0f}",
                f"{100 * side['client_idle']:.1f} %",
                f"{100 * side['engine_idle']:.1f} %",
                f"{side['n_requests']:,.0f}",
                f"{side['cpu_s']:.1f}",
                f"{side['front_cpu_s']:.1f}",
                f"{side['engine_cpu_s']:.1f}",
                str(side["n_failed"]),
                ", ".join(f"{wall:.1f}" for wall in side["walls"]),
            ]
            for name, side in speed["sides"].items()
        ]
        head = [
            speed["prm"], "wall s", "to ours", "tokens", "tokens/s", "no request open",
            "engine waits", "requests", "driver CPU s", "front end CPU s", "engine CPU s",
            "failed", "every wall s",
        ]  # fmt: skip
        lines += table(head, rows)
    return lines


def driver_lines(report: Report) -> list[str]:
    """Memory and processor time of our process."""
    rows = [
        [
            speed["prm"],
            f"{speed['sides']['ours']['n_steps']:,.0f}",
            f"{speed['sides']['ours']['grown_mb']:.0f}",
            f"{1000 * speed['sides']['ours']['cpu_s'] / speed['sides']['ours']['n_steps']:.2f}",
        ]
        for speed in report["speed"]
    ]
    rows += [
        [
            f"one question, {one['particles']} particles, {one['steps']} steps of {one['tokens']} "
            f"tokens ({one['text_mb']:.0f} MB of text), sampler in the process",
            f"{one['nodes']:,}",
            f"{one['grown_mb']:.0f}",
            f"{1000 * one['cpu_s'] / one['nodes']:.2f}",
        ]
        for one in report["memory"]
    ]
    head = ["our driver", "particle steps", "peak memory grown by, MB", "CPU s a 1,000 steps"]
    return ["### The driver", "", *table(head, rows)] if rows else []


def statistics_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Estimates against exact values."""
    if not rows:
        return []
    cells = [
        [
            row["case"],
            row["quantity"],
            f"{row['mean']:.5g}",
            f"{row['exact']:.5g}",
            f"{row['z']:+.2f}",
            f"{row['n_runs']:,}",
            row["expected"],
        ]
        for row in rows
    ]
    head = ["in a world that can be enumerated", "of", "mean", "exact", "z", "runs", "expected"]
    return ["### Statistics of the filters", "", *table(head, cells)]
