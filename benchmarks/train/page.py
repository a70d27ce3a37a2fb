"""The part of docs/benchmarks.md about the trainer: tables of what was measured, and its place."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from typing import Any

from benchmarks.train.jobs import ROOT, Job

PAGE = ROOT / "docs" / "benchmarks.md"
TITLE = "## The trainer against TRL used directly"
TARGET = 0.05
"""Largest overhead."""
SIDES = ("butwait", "TRL")
NAMES = {
    "sft": ("`butwait train sft`", "`SFTTrainer`"),
    "grpo": ("`butwait train grpo`", "`GRPOTrainer`"),
}
Turns = dict[str, list[dict[str, Any]]]
"""What was found in each turn, by side."""


def rate(job: Job, found: dict[str, Any]) -> dict[str, float]:
    """Tokens, sequences and optimiser steps a second."""
    per_s = found["steps"] / found["seconds"]
    return {
        "tokens": found["tokens"] / found["seconds"],
        "sequences": per_s * job.sequences,
        "steps": per_s,
    }


def list_rates(job: Job, turns: list[dict[str, Any]], name: str) -> list[float]:
    """One rate of every turn."""
    return [rate(job, found)[name] for found in turns]


def compare(job: Job, turns: Turns, name: str) -> float:
    """How much slower ours is by one rate: the medians' ratio less 1."""
    ours, peer = (statistics.median(list_rates(job, turns[side], name)) for side in SIDES)
    return peer / ours - 1


def is_met(job: Job, turns: Turns) -> bool:
    """Whether every rate of a kind of training is within the target."""
    names = ("tokens",) if job.kind == "sft" else ("tokens", "sequences")
    return all(compare(job, turns, name) <= TARGET for name in names)


def draw_table(job: Job, turns: Turns) -> str:
    """Write medians and spreads of one kind of training."""
    kind = job.kind.upper()
    if job.kind == "sft":
        head = [kind, "tokens/s, median", "over the turns"]
    else:
        head = [
            kind,
            "rollouts/s",
            "rollout tokens/s",
            "over the turns",
            "steps/s",
            "tokens a rollout",
        ]
    if job.on_gpu:
        head += ["peak of the tensors, GiB", "peak on the GPU, GiB", "GPU busy"]
    lines = [_row(head), _row(["---"] * len(head))]
    for side, name in zip(SIDES, NAMES[job.kind], strict=True):
        lines.append(_row([name, *_list_cells(job, turns[side])]))
    return "\n".join(lines)


def _list_cells(job: Job, turns: list[dict[str, Any]]) -> list[str]:
    rates = {name: list_rates(job, turns, name) for name in ("tokens", "sequences", "steps")}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    spread = f"{min(rates['tokens']):,.0f} to {max(rates['tokens']):,.0f}"
    if job.kind == "sft":
        cells = [f"{medians['tokens']:,.0f}", spread]
    else:
        length = sum(x["tokens"] for x in turns) / sum(x["steps"] for x in turns) / job.sequences
        tokens = f"{medians['tokens']:,.0f}"
        steps = f"{medians['steps']:.3f}"
        cells = [f"{medians['sequences']:.1f}", tokens, spread, steps, f"{length:.1f}"]
    if job.on_gpu:
        cells += [_gib(turns, "tensor_bytes"), _gib(turns, "device_bytes"), _busy(turns)]
    return cells


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _gib(turns: list[dict[str, Any]], name: str) -> str:
    known = [found[name] for found in turns if found.get(name)]
    return f"{max(known) / 2**30:.1f}" if known else "-"


def _busy(turns: list[dict[str, Any]]) -> str:
    known = [found["utilisation"] for found in turns if found.get("utilisation") is not None]
    return f"{statistics.mean(known):.0%}" if known else "-"


def describe_overhead(job: Job, turns: Turns) -> str:
    """Write one line: how much slower ours is, and whether that is within the target."""
    names = {"tokens": "tokens/s"}
    if job.kind == "grpo":
        names = {"tokens": "rollout tokens/s", "sequences": "rollouts/s and steps/s"}
    said = ", ".join(f"{compare(job, turns, key):+.1%} by {name}" for key, name in names.items())
    met = "met" if is_met(job, turns) else "**missed**"
    if len({len(turns[side]) for side in SIDES}) > 1:
        met = "no verdict, the sides have not the same number of turns"
    return f"Overhead {said}; target at most {TARGET:.0%}: {met}."


def describe_machine(load: float) -> str:
    """Name processor, cores, load and versions."""
    versions = ", ".join(f"{n} {version(n)}" for n in ("torch", "transformers", "trl"))
    name = platform.processor() or platform.machine()
    at = f"load average {load:.1f} at the start"
    python = platform.python_version()
    return f"{name}, {os.cpu_count()} cores, shared, {at}; Python {python}, {versions}"


def describe_run(command: str, machine: str) -> str:
    """Write the line that tells when and on what a section was measured."""
    return f"`{command}`, {date.today().isoformat()}; {machine}."


def write_section(name: str, text: str) -> None:
    """Put a section into the trainer's part of the page, at its place or after the others."""
    page = PAGE.read_text("utf-8")
    start, end = mark("train")
    if start not in page:
        page = f"{page.rstrip()}\n\n{start}\n{TITLE}\n\n{end}\n"
    before, rest = page.split(start)
    part, after = rest.split(end)
    part = _put(part, name, text)
    PAGE.write_text(before + start + part + end + after, "utf-8")


def _put(part: str, name: str, text: str) -> str:
    start, end = mark(f"train-{name}")
    section = f"{start}\n{text.strip()}\n{end}"
    if start not in part:
        return f"{part.rstrip()}\n\n{section}\n"
    return part.split(start)[0] + section + part.split(end)[1]


def mark(name: str) -> tuple[str, str]:
    """The two markers of a part of the page."""
    return f"<!-- {name}: start -->", f"<!-- {name}: end -->"
