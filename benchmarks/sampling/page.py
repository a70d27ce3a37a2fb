"""The page's section: targets with what was found, then both sides of every ratio."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.sampling.setting import describe_machine
from benchmarks.sections import replace_section

START, END = "<!-- sampling -->", "<!-- /sampling -->"
MOST_WALL, MOST_MS, MOST_CPU, LEAST_HITS, LEAST_TOKENS = 1.05, 1.5, 3.0, 20_000, 0.97
_NAMES = {
    "butwait": "butwait, whole build",
    "bare": "bare loop (aiohttp)",
    "cached": "butwait, all cached",
    "curator": "bespokelabs-curator",
    "distilabel": "distilabel",
}
Target = tuple[str, str, bool]


def targets(report: dict[str, Any]) -> list[Target]:
    """Target, figure, met; a part that was not run has none."""
    found: list[Target] = []
    if "loopback" in report:
        sides, hits = report["loopback"]["sides"], report["loopback"]["hits"]
        ours, bare = sides["butwait"], sides["bare"]
        wall = ours["seconds"] / bare["seconds"]
        cpu = ours["ms"] / bare["ms"]
        rate = hits["hits"] / hits["cpu_s"]
        found += [
            (f"first request to last reply: at most {MOST_WALL} x the bare loop", f"{wall:.2f} x",
             wall <= MOST_WALL),
            (f"processor time of the whole build: at most {MOST_MS} ms a request",
             f"{ours['ms']:.2f} ms", ours["ms"] <= MOST_MS),
            (f"the same: at most {MOST_CPU:g} x the bare loop's", f"{cpu:.1f} x", cpu <= MOST_CPU),
            (f"cache hits: at least {LEAST_HITS:,} a processor second", f"{rate:,.0f}",
             rate >= LEAST_HITS),
        ]  # fmt: skip
    if "vllm" in report:
        sides = report["vllm"]["sides"]
        share = sides["butwait"]["tokens_s"] / sides["bare"]["tokens_s"]
        what = f"real vLLM: at least {LEAST_TOKENS} of the bare loop's tokens/s"
        found.append((what, f"{share:.3f}", share >= LEAST_TOKENS))
    return found


def write_page(report: dict[str, Any], page: Path) -> list[str]:
    """Write the section; return the targets that were missed."""
    found = targets(report)
    packages = ("aiohttp", "apache-beam", "pydantic", "vllm")
    versions = {name: _find(name) for name in packages} | report.get("versions", {})
    named = ", ".join(f"{name} {value}" for name, value in versions.items() if value)
    lines = [
        "## Sampling",
        "",
        f"`make bench-sampling`, {date.today().isoformat()}. {describe_machine()}; load average "
        f"{os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}, {named}.",
        "",
        "| target | found |  |",
        "|---|---|---|",
        *(f"| {what} | {seen} | {'met' if met else '**missed**'} |" for what, seen, met in found),
    ]
    if "loopback" in report:
        lines += ["", *loopback_lines(report)]
    if "vllm" in report:
        lines += ["", *vllm_lines(report)]
    replace_section(page, START, END, "\n".join(lines))
    return [f"missed: {what}: {seen}" for what, seen, met in found if not met]


def loopback_lines(report: dict[str, Any]) -> list[str]:
    """The table of all sides at the loopback server."""
    part = report["loopback"]
    lines = [
        f"A loopback server that answers after {1000 * report['latency_s']:.0f} ms, "
        f"{report['in_flight']} requests in flight, {part['questions']:,} questions of one sample "
        "each. Wall time is the server's, from the first request to the last reply. Processor time "
        "is of all processes and the whole command: a build reads, asks, verifies, keeps every "
        "sample in the cache and writes questions, trajectories, rows and card; the bare loop "
        "posts the same bodies and drops the replies. What a command costs with "
        f"{part['start_questions']} questions is its start, and is taken off. *Below* is the time "
        "with fewer requests open than allowed, before the last one was sent. Medians of "
        f"{part['rounds']} turns; the two libraries ran once.",
        "",
        "| side | wall, s | to the bare loop | CPU ms a request | to the bare loop | start, CPU s |"
        " below, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    bare = part["sides"]["bare"]
    for name, side in part["sides"].items():
        wall = f"{side['seconds']:.1f} | {side['seconds'] / bare['seconds']:.2f} x"
        wall, below = (wall, f"{side['below_s']:.1f}") if side["n"] else ("- | -", "-")
        lines.append(
            f"| {_NAMES[name]} | {wall} | {side['ms']:.2f} | {side['ms'] / bare['ms']:.1f} x | "
            f"{side['start_s']:.1f} | {below} |"
        )
    hits = part["hits"]
    lines += [
        "",
        f"The cache alone, through the sampler that a build uses, one sample a request: "
        f"{hits['hits'] / hits['cpu_s']:,.0f} hits a processor second "
        f"({hits['hits'] / hits['seconds']:,.0f} by wall time).",
    ]
    return lines


def vllm_lines(report: dict[str, Any]) -> list[str]:
    """The table of both sides at real vLLM."""
    part = report["vllm"]
    lines = [
        f"Real vLLM (CPU build) with the pocket model on the same cores, {part['questions']:,} "
        f"questions, {report['in_flight']} in flight, medians of {part['rounds']} turns. "
        "Tokens and seconds are the server's own counters, read four times a second. "
        "*Below*: share of the time with less than nine tenths of the requests open, before "
        "the end of the work.",
        "",
        "| side | tokens | s | tokens/s | below | CPU of the side, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, side in part["sides"].items():
        lines.append(
            f"| {_NAMES[name]} | {side['tokens']:,.0f} | {side['seconds']:.1f} | "
            f"{side['tokens_s']:,.0f} | {100 * side['below']:.1f} % | {side['cpu_s']:.1f} |"
        )
    return lines


def _find(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return ""
