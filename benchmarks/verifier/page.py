"""The verifier's section of docs/benchmarks.md, between its two markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sets import RELABELLED
from targets import Report, share, targets

START, END = "<!-- verifier: start -->", "<!-- verifier: end -->"
_EMPTY = f"# Benchmarks\n\n{START}\n{END}\n"
_METHOD = """\
Both sides check the same list, each in fresh processes pinned to one core, in turns. A few checks
of no set warm them up; then the first pass over the data is timed, so no pair is remembered from
before. Rates are medians of {repeats} (their number is in the table) by processor time, our worker
processes included; p50, p99 and max are wall time of single checks. math-verify is used as its page says: both sides parsed,
then `verify(gold, answer)`, default time limits on, golds and bare answers in a box. Accuracy is
"accepted or not" against the label, both sides by the same labels."""


def write_page(report: Report, path: Path) -> list[str]:
    """Replace the section and return the targets that were missed.

    Raises:
        ValueError: The page has lost its markers.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else _EMPTY
    if text.count(START) != 1 or text.count(END) != 1:
        raise ValueError(f"{path} must have one {START} and one {END}")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    body = "\n".join(section(report))
    path.write_text(f"{before}{START}\n{body}\n{END}{after}", encoding="utf-8")
    return [f"missed: {what} ({found})" for what, found, met in targets(report) if not met]


def section(report: Report) -> list[str]:
    """The section's lines."""
    about, sets = report["machine"], report["sets"]
    absent = ", ".join(report["absent"])
    return [
        "## The verifier against math-verify",
        "",
        f"`{report['command']}`, {about['date']}. {about['machine']}; Python {about['python']}, sympy "
        f"{about['sympy']}, math-verify {about['math-verify']} with latex2sympy2_extended "
        f"{about['latex2sympy2_extended']}.",
        "",
        _METHOD.format(repeats=report["repeats"]),
        "",
        *([f"**Not measured, their data is not here: {absent}.**", ""] if absent else []),
        *table(
            ["target", "found", ""],
            [[what, found, "met" if met else "**missed**"] for what, found, met in targets(report)],
        ),
        "### Accuracy",
        "",
        *table(
            ["set", "checks"] + 2 * ["accuracy", "right accepted", "wrong accepted"],
            [accuracy_row(item) for item in sets],
            ["", "", "butwait", "", "", "math-verify", "", ""],
        ),
        *(f"- **{item['name']}**: {item['source']}." for item in sets),
        "",
        "### Speed, one core",
        "",
        *table(
            ["set", "runs", *2 * ["/s", "p50 ms", "p99 ms", "max ms"], "ratio of rates"],
            [speed_row(item) for item in sets],
            ["", "", "butwait", "", "", "", "math-verify", "", "", "", ""],
        ),
        *slow_lines(report),
        *memory_lines(report),
        *differ_lines(report),
        *relabelled_lines(report),
    ]


def table(header: list[str], rows: list[list[str]], over: list[str] | None = None) -> list[str]:
    """A Markdown table; with two lines of header the lower one is the first row."""
    lines = [header, *rows] if over else rows
    return [
        f"| {' | '.join(over or header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(line)} |" for line in lines),
        "",
    ]


def accuracy_row(item: dict[str, Any]) -> list[str]:
    """One set's line of the accuracy table."""
    cells = [item["name"], f"{item['rows']:,}"]
    for who in ("ours", "peer"):
        side = item[who]
        cells.append(share(side["accuracy"]))
        cells.append(f"{side['true_accepted']:,} of {side['true']:,}")
        cells.append(f"{side['false_accepted']:,} of {side['false']:,}")
    return cells


def speed_row(item: dict[str, Any]) -> list[str]:
    """One set's line of the speed table."""
    cells = [item["name"], str(item["runs"])]
    for who in ("ours", "peer"):
        side = item[who]
        cells += [f"{side['per_s']:,.0f}", f"{side['p50_ms']:.3f}"]
        cells += [f"{side['p99_ms']:.2f}", f"{side['max_ms']:,.0f}"]
    return [*cells, f"{item['ratio']:.1f} x"]


def slow_lines(report: Report) -> list[str]:
    """The slowest adversarial checks."""
    lines = ["### The slowest checks", ""]
    for n, slow in report["slowest"].items():
        lines += [
            f"{slow['texts']} adversarial texts in {slow['checks']} checks from "
            f"{'1 thread' if n == 1 else f'{n} threads'} ({slow['errors']} errors, "
            f"{slow['leaked']} processes left), the slowest:",
            "",
            *(f"- {line}" for line in slow["slowest"][:3]),
            "",
        ]
    return lines


def memory_lines(report: Report) -> list[str]:
    """Memory over many checks."""
    rows = [
        [f"{mark['checks']:,}", f"{mark['caller_mb']:.0f}", f"{mark['workers_mb']:.0f}"]
        for mark in report["memory"]
    ]
    return ["### Memory", "", *table(["checks", "caller MB", "workers MB"], rows)] if rows else []


def differ_lines(report: Report) -> list[str]:
    """Verdicts that are not the label, by id; "hard" holds no row of its own."""
    lines = []
    for item in report["sets"]:
        if item["differ"] and item["name"] != "hard":
            ids = ", ".join(f"{x['id']} ({x['found']})" for x in item["differ"][:30])
            lines.append(f"- **{item['name']}**, {len(item['differ'])}: {ids}.")
    return ["### Where a verdict is not the label", "", *(lines or ["Nowhere."]), ""]


def relabelled_lines(report: Report) -> list[str]:
    """The corrected labels that were counted with, by reason."""
    lines = ["### Labels that were corrected", ""]
    lines += ["Recorded as wrong, equal by the rules; each was looked at.", ""]
    for item in report["sets"]:
        for reason, ids in RELABELLED.get(item["name"], {}).items():
            lines.append(f"- **{item['name']}**, {reason}: {', '.join(ids)}.")
    return lines if len(lines) > 4 else []
