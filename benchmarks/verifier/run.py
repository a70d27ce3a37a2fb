"""``make bench-verify``: the verifier against math-verify in one run, to docs/benchmarks.md.

Both sides get the same list of checks, each in fresh processes on one core, in turns; rates are
medians by processor time, workers included. ``--quick`` runs each once and leaves out memory.
Everything that quotes data goes to ``build/bench-verify``; the page names ids only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from page import write_page
from sets import ROOT, Row, sets

HERE = Path(__file__).resolve().parent
WORK = ROOT / "build" / "bench-verify"
MEMORY_CHECKS = 1_000_000
REPEATS = 3
# Short sets are run more often, the longest once: by the seconds of math-verify's first run.
SHORT_S, SHORT_REPEATS, LONG_S = 10, 9, 60


def measure(who: str, rows: list[Row], tag: str) -> dict[str, Any]:
    """One fresh process over the rows."""
    source, out = WORK / f"{tag}.json", WORK / f"{tag}-{who}.json"
    source.write_text(json.dumps(rows))
    command = [sys.executable, str(HERE / "measure.py"), who, str(source), str(out)]
    subprocess.run(command, check=True, timeout=3_600)
    report: dict[str, Any] = json.loads(out.read_text())
    return report


def compare(name: str, source: str, rows: list[Row], times: int) -> dict[str, Any]:
    """Both sides over one set, in turns; accuracy from the first run, speed as medians."""
    tag = name.replace(" ", "-")
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    while len(runs["peer"]) < times:
        for who, done in runs.items():
            done.append(measure(who, rows, tag))
        times = repeats(times, runs["peer"][0]["wall_s"])
    result: dict[str, Any] = {"name": name, "source": source, "rows": len(rows), "runs": times}
    for who, done in runs.items():
        result[who] = {**accuracy(rows, done[0]), **speed(done, len(rows))}
    result["ratio"] = result["ours"]["per_s"] / result["peer"]["per_s"]
    result["differ"] = disagreements(rows, runs["ours"][0])
    return result


def repeats(times: int, first_s: float) -> int:
    """How often a set is run when ``times`` were asked for."""
    if times == 1 or first_s > LONG_S:
        return 1
    return SHORT_REPEATS if first_s < SHORT_S else times


def accuracy(rows: list[Row], report: dict[str, Any]) -> dict[str, Any]:
    """Agreement with the labels; equivalence and extraction apart."""
    out: dict[str, Any] = {}
    pairs = list(zip(rows, report["accepted"], strict=True))
    right = [accepted == row["expected"] for row, accepted in pairs]
    out["accuracy"] = sum(right) / len(right)
    true = [accepted for row, accepted in pairs if row["expected"]]
    out["true_accepted"] = sum(true)
    out["true"] = len(true)
    out["false_accepted"] = sum(accepted for row, accepted in pairs if not row["expected"])
    out["false"] = len(rows) - len(true)
    traces = [ok for ok, row in zip(right, rows, strict=True) if row["kind"] == "trace"]
    out["extraction"] = sum(traces) / len(traces) if traces else None
    return out


def speed(done: list[dict[str, Any]], n: int) -> dict[str, Any]:
    """Medians over the runs: checks a second, and milliseconds of single checks."""
    middle = statistics.median

    def percentile(ms: list[float], share: float) -> float:
        return sorted(ms)[min(int(len(ms) * share), len(ms) - 1)]

    return {
        "per_s": middle(n / run["cpu_s"] for run in done),
        "per_s_wall": middle(n / run["wall_s"] for run in done),
        "p50_ms": middle(percentile(run["ms"], 0.5) for run in done),
        "p99_ms": middle(percentile(run["ms"], 0.99) for run in done),
        "max_ms": middle(max(run["ms"]) for run in done),
    }


def disagreements(rows: list[Row], report: dict[str, Any]) -> list[dict[str, Any]]:
    """Where our verdict is not the label: ids and rules, nothing quoted."""
    return [
        {"id": row["id"], "expected": row["expected"], "found": reason}
        for row, accepted, reason in zip(rows, report["accepted"], report["reasons"], strict=True)
        if accepted != row["expected"]
    ]


def script(name: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON lines that one of the other scripts prints."""
    command = [sys.executable, str(HERE / name), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=3_600)
    return [json.loads(line) for line in done.stdout.splitlines()]


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "machine": f"{model}, {os.cpu_count()} cores, shared",
        "python": platform.python_version(),
        "butwait": version("butwait"),
        "sympy": version("sympy"),
        "math-verify": version("math-verify"),
        "latex2sympy2_extended": version("latex2sympy2_extended"),
        "date": date.today().isoformat(),
    }


def arguments() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run each, no memory run")
    parser.add_argument(
        "--memory", type=int, default=MEMORY_CHECKS, help="checks of the memory run"
    )
    return parser.parse_args()


def main() -> int:
    """Run everything and write the page; 1 when a target is missed."""
    options = arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    results, absent = [], []
    for name, source, rows in sets():
        if rows is None:
            absent.append(name)
            continue
        print(f"{name}: {len(rows)} checks", flush=True)
        results.append(compare(name, source, rows, 1 if options.quick else REPEATS))
    print("slowest checks", flush=True)
    slowest = {n: script("slowest.py", str(n))[0] for n in (1, 4)}
    memory = [] if options.quick else script("memory.py", str(options.memory))
    report = {
        "command": "make bench-verify" + (" BENCH=--quick" if options.quick else ""),
        "repeats": "one run" if options.quick else "several runs",
        "machine": machine(),
        "sets": results,
        "absent": absent,
        "slowest": slowest,
        "memory": memory,
    }
    (WORK / "report.json").write_text(json.dumps(report, indent=1))
    missed = write_page(report, ROOT / "docs" / "benchmarks.md")
    print("\n".join(missed) or "every target is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
