"""Our trainer against TRL used directly: the same model, rows and settings, in turns.

Each side trains in a fresh process; what counts is the time of the training loop, our checkpoint
watch, metrics file and curves included, start-up and rendering not. The figure of a side is the
median over the turns; the target is an overhead of at most 5 %.

    make bench-train
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "trainer" / "pocket" / "checkpoints" / "policy"
PAGE = ROOT / "docs" / "benchmarks.md"
START, END = "<!-- train: start -->", "<!-- train: end -->"
TARGET = 0.05
BATCH, MICRO, LEARNING_RATE, SEED = 32, 32, 3e-4, 0


def write_rows(path: Path, n: int) -> None:
    """Write sums as rows, about 100 tokens each."""
    with path.open("w", encoding="utf-8") as file:
        for k in range(n):
            a, b = k % 50, k // 50 % 40
            steps = [f"Step {i}: {a} + {i * b} = {a + i * b}" for i in range(1, 5)]
            said = "\n\n".join([*steps, f"Answer: \\boxed{{{a + 4 * b}}}"])
            prompt = [{"role": "user", "content": f"What is {a} and four times {b}?"}]
            completion = [{"role": "assistant", "content": said}]
            file.write(json.dumps({"prompt": prompt, "completion": completion}) + "\n")


def time_ours(folder: Path, rows: Path, steps: int, turn: int) -> dict[str, float]:
    """Train by ``butwait train sft``; seconds of its loop and tokens that went through."""
    recipe = {
        "name": f"turn-{turn}",
        "seed": SEED,
        "model": {"id": str(POLICY)},
        "data": {"path": str(rows)},
        "batch_size": BATCH,
        "micro_batch_size": MICRO,
        "max_steps": steps,
        "max_length": 512,
        "optimiser": {
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "warmup_steps": 0,
            "betas": [0.9, 0.999],
        },
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    script = Path(sys.executable).with_name("butwait")
    run([str(script), "train", "sft", str(path), "--out", str(folder)])
    done = folder / f"turn-{turn}"
    lines = (done / "metrics.jsonl").read_text("utf-8").splitlines()
    seconds = json.loads((done / "manifest.json").read_text("utf-8"))["loop_s"]
    return {"seconds": seconds, "tokens": json.loads(lines[-1])["num_tokens"]}


def time_peer(kind: str, rows: Path, steps: int) -> dict[str, float]:
    """Train by TRL alone."""
    job = {
        "model": str(POLICY),
        "rows": str(rows),
        "steps": steps,
        "batch": BATCH,
        "micro": MICRO,
        "learning_rate": LEARNING_RATE,
        "seed": SEED,
    }
    said = run([sys.executable, "-m", "benchmarks.train.peer", kind, json.dumps(job)])
    line = next(line for line in said.splitlines() if line.startswith("RESULT "))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return found


def run(command: list[str]) -> str:
    """Run a command on one thread and return what it printed."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[:3]} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def measure(steps: int, turns: int) -> dict[str, Any]:
    """Take turns and return tokens a second of both sides, each turn's and the medians."""
    sides: dict[str, list[float]] = {"butwait": [], "TRL": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", 2_000)
        for turn in range(turns):
            for side in ("TRL", "butwait") if turn % 2 else ("butwait", "TRL"):
                rows = folder / "rows.jsonl"
                found = (
                    time_ours(folder, rows, steps, turn)
                    if side == "butwait"
                    else time_peer("sft", rows, steps)
                )
                sides[side].append(found["tokens"] / found["seconds"])
                print(f"sft, turn {turn + 1}, {side}: {sides[side][-1]:,.0f} tokens/s", flush=True)
    medians = {side: statistics.median(values) for side, values in sides.items()}
    return {"sides": sides, "medians": medians, "overhead": medians["TRL"] / medians["butwait"] - 1}


def describe(report: dict[str, Any], steps: int, command: str) -> str:
    """Write the section of the page."""
    ours, peer = report["medians"]["butwait"], report["medians"]["TRL"]
    spread = {
        side: f"{min(values):,.0f} to {max(values):,.0f}"
        for side, values in report["sides"].items()
    }
    met = "met" if report["overhead"] <= TARGET else "missed"
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, shared"
    versions = ", ".join(f"{n} {version(n)}" for n in ("torch", "transformers", "trl"))
    return f"""{START}
## The trainer against TRL used directly

`{command}`, {date.today().isoformat()}; {machine}; {versions}. Pocket policy (0.66 M parameters,
float32, one thread), {BATCH} rows of about 100 tokens a step, {steps} steps, a line of metrics a
step and TensorBoard on both sides; fresh processes in turns, the time of the training loop.

| SFT | tokens/s, median | over the turns |
| --- | --- | --- |
| `butwait train sft` | {ours:,.0f} | {spread["butwait"]} |
| `SFTTrainer` | {peer:,.0f} | {spread["TRL"]} |

Overhead {report["overhead"]:+.1%}; target at most {TARGET:.0%}: {met}.
{END}
"""


def write_page(text: str) -> None:
    """Put the section into the page, at its place or at the end."""
    page = PAGE.read_text("utf-8")
    if START in page:
        before, rest = page.split(START)
        page = before + text.rstrip("\n") + rest.split(END)[1]
    else:
        page = page.rstrip("\n") + "\n\n" + text
    PAGE.write_text(page, "utf-8")


def main() -> int:
    """Measure, write the page; 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--no-page", action="store_true", help="print only")
    options = parser.parse_args()
    report = measure(options.steps, options.turns)
    text = describe(report, options.steps, "make bench-train")
    print(text)
    if not options.no_page:
        write_page(text)
    return int(report["overhead"] > TARGET)


if __name__ == "__main__":
    sys.exit(main())
