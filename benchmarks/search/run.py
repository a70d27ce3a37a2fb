"""``make bench-search``: search methods by accuracy, speed and statistics, to docs/benchmarks.md.

One policy server and its reward models are started and stopped here. Samples and rewards of the
accuracy part are kept in ``build/bench-search/cache.sqlite``: what one run has no time for, the
next goes on with. ``--parts`` runs some parts; the page then has the others as they were last
measured on this machine. ``--quick`` takes few questions and small budgets, to see that all works.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.search.accuracy import BUDGETS, METHODS, Bench, Cell, list_cells
from benchmarks.search.intervals import N_DRAWS, compare
from benchmarks.search.page import PICTURE, write_page
from benchmarks.search.picture import draw
from benchmarks.search.questions import read_questions
from benchmarks.search.servers import Servers, open_servers, write_scorers
from benchmarks.search.setting import PARTICLES, ROOT, WORK, Job, read_problems
from benchmarks.search.speed import (
    BARES,
    EACH,
    GATHERED,
    OURS,
    OURS_FULL,
    Side,
    find_server,
    run_side,
)
from butwait.pipelines.cache import open_cache
from butwait.pipelines.sampling.engine import make_sampler
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.transforms.prompts import system_prompt

PAGE = ROOT / "docs" / "benchmarks.md"
LARGE = ((512, 20, 500),)
FREE, SERVED = "free rewards", "served reward model"


def say(line: str) -> None:
    """Print with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def measure_speed(
    options: argparse.Namespace, servers: Servers, prm: str, sides: Sequence[Side], rounds: int
) -> dict[str, Any]:
    """All sides in turns; medians."""
    scorer = servers.scorers.get("prm") if prm == SERVED else None
    prm_server = scorer.server if scorer else None
    job = Job(
        url=servers.policy.url,
        model=servers.policy.served_name,
        system=system_prompt("qwen") or "",
        problems=read_problems(options.speed_questions),
        n_particles=options.particles,
        prm_url=prm_server.url if prm_server else None,
        prm_model=prm_server.served_name if prm_server else "",
        prm=scorer.model_dump_json() if scorer else None,
        record=str(WORK / "recorded.json"),
        how="",
    )
    found = [find_server(url) for url in (job["url"], job["prm_url"]) if url]
    runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for turn in range(rounds):
        for side in sides:
            result = run_side(side, job, options.peer_python, found)
            runs[side.name].append(result)
            say(
                f"{prm}, {side.name}, turn {turn + 1}: {result['wall_s']:.1f} s, "
                f"{result['tokens_s']:.0f} tokens/s, {100 * result['client_idle']:.1f} % without "
                f"a request, engine waits {100 * result['idle'][0]:.1f} %"
            )
    summed = {name: summarize(results) for name, results in runs.items()}
    bares = [side.name for side in sides if side in BARES]
    return {
        "prm": prm,
        "size": {
            "questions": options.speed_questions,
            "particles": options.particles,
            "rounds": rounds,
        },
        "sides": summed,
        "bare": max(bares, key=lambda name: summed[name]["tokens_s"]) if bares else None,
    }


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the turns."""

    def middle(name: str) -> float:
        return statistics.median(result[name] for result in results)

    plain = ("wall_s", "tokens", "tokens_s", "client_idle", "n_requests", "cpu_s")
    ours = tuple(name for name in ("n_steps", "grown_mb") if name in results[0])
    return {
        **{name: middle(name) for name in (*plain, *ours)},
        "engine_idle": statistics.median(result["idle"][0] for result in results),
        "front_cpu_s": statistics.median(result["front_cpu_s"][0] for result in results),
        "engine_cpu_s": statistics.median(result["engine_cpu_s"][0] for result in results),
        "n_failed": sum(len(result["failed"]) for result in results),
        "walls": [result["wall_s"] for result in results],
    }


def measure_all_speed(options: argparse.Namespace, servers: Servers) -> list[dict[str, Any]]:
    """With free rewards, and with a served reward model where there is one."""
    peers = (EACH, GATHERED) if options.peer_python else ()
    done = [
        measure_speed(options, servers, FREE, (OURS, *peers, *BARES, OURS_FULL), options.rounds),
    ]
    if "prm" in servers.scorers:
        rounds = max(1, options.rounds - 1)
        done.append(
            measure_speed(options, servers, SERVED, (OURS, *peers, BARES[0], OURS_FULL), rounds)
        )
    return done


def measure_accuracy(
    options: argparse.Namespace, servers: Servers, cells: list[Cell]
) -> list[dict[str, Any]]:
    """All cells that there is time for."""
    client = make_sampler(servers.policy)
    assert isinstance(client, VllmClient)
    cache = open_cache(WORK / "cache.sqlite")
    bench = Bench(read_questions(options.questions), client, servers.scorers, cache, say)
    until = time.monotonic() + 60 * options.minutes
    try:
        return asyncio.run(bench.run(cells, until))
    finally:
        cache.close()


def measure_memory() -> list[dict[str, Any]]:
    """One large question in a fresh process."""
    done = []
    for size in LARGE:
        command = [sys.executable, "-m", "benchmarks.search.memory", *map(str, size)]
        out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        done.append(json.loads(out.stdout))
    return done


def measure_statistics(n_runs: int) -> list[dict[str, Any]]:
    """Estimates against exact values, where that module is here."""
    try:
        from benchmarks.search.statistics import measure
    except ModuleNotFoundError as error:
        if error.name != "benchmarks.search.statistics":
            raise
        return []
    return [asdict(row) for row in measure(n_runs)]


def describe_machine(peer_python: str) -> dict[str, str]:
    """What the figures were taken on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    its_hub = "not installed"
    if peer_python:
        code = "from importlib.metadata import version; print(version('its_hub'))"
        command = [peer_python, "-c", code]
        its_hub = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return {
        "machine": f"{model}, {os.cpu_count()} cores, shared; load average "
        f"{os.getloadavg()[0]:.1f} at the start",
        "python": platform.python_version(),
        "vllm": version("vllm"),
        "its_hub": its_hub,
        "httpx": version("httpx"),
        "numpy": version("numpy"),
        "date": date.today().isoformat(),
    }


def arguments() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="16 questions, budgets 4 and 8")
    parser.add_argument("--parts", nargs="+", default=["statistics", "memory", "speed", "accuracy"])
    parser.add_argument("--scorers", nargs="+", default=["prm", "self_certainty", "likelihood"])
    parser.add_argument("--minutes", type=float, default=11.0, help="for the accuracy part")
    parser.add_argument("--rounds", type=int, default=3, help="turns of the speed part")
    parser.add_argument("--questions", type=int, default=300, help="of the accuracy part")
    parser.add_argument("--speed-questions", type=int, default=64)
    parser.add_argument("--particles", type=int, default=PARTICLES)
    parser.add_argument("--peer-python", default="", help="a Python with its_hub; none: left out")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    if options.quick:
        options.questions, options.speed_questions, options.rounds = 16, 16, 1
    return options


def main() -> int:
    """Run everything and write the page; 1 when a target is missed."""
    options = arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    budgets = BUDGETS[:2] if options.quick else BUDGETS
    cells = list_cells(METHODS, budgets)
    names = {"prm"} if "speed" in options.parts else set()
    if "accuracy" in options.parts:
        names |= set(options.scorers)
    report: dict[str, Any] = {
        "command": "make bench-search" + (" BENCH=--quick" if options.quick else ""),
        "machine": describe_machine(options.peer_python),
        "statistics": [],
        "memory": [],
        "speed": [],
        "accuracy": [],
        "policy": "trainer/pocket/checkpoints/policy",
        "accuracy_order": [{"method": method.name} for method in METHODS],
        "n_draws": N_DRAWS,
    }
    if "statistics" in options.parts:
        say("statistics")
        keep_part("statistics", options, measure_statistics(1_000 if options.quick else 10_000))
    if "memory" in options.parts:
        say("memory of a large question")
        keep_part("memory", options, measure_memory())
    if names:
        with open_servers(names, WORK / "logs", say) as servers:
            if "speed" in options.parts:
                keep_part("speed", options, measure_all_speed(options, servers))
            if "accuracy" in options.parts:
                keep_part("accuracy", options, measure_accuracy(options, servers, cells))
    kept = {name: recall_part(name, options) for name in ("statistics", "memory", "speed")}
    report |= kept
    rows = recall_part("accuracy", options)
    report["accuracy"] = compare(rows)
    report["notes"] = list(notes(options, report, cells))
    if rows:
        draw(report["accuracy"], options.page.parent / PICTURE)
    missed = write_page(report, options.page)
    print("\n".join(missed) or "every target is met")
    return 1 if missed else 0


def keep_part(name: str, options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Keep what one part measured, so that the parts can be run one after the other."""
    place = WORK / ("quick" if options.quick else "full")
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.json").write_text(json.dumps(rows, indent=1))


def recall_part(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What a part measured when it was last run on this machine; nothing where it never was."""
    path = WORK / ("quick" if options.quick else "full") / f"{name}.json"
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    return found


def notes(options: argparse.Namespace, report: dict[str, Any], cells: list[Cell]) -> list[str]:
    """What is not in the figures and could be thought to be."""
    found = []
    if options.quick:
        found.append("A quick run: few questions, one turn; no figure here means anything.")
    if "prm" not in write_scorers():
        found.append("Not measured, the pocket reward model is not here.")
    if not report["statistics"]:
        found.append("Not measured: statistics.")
    if not options.peer_python:
        found.append("Not measured: its_hub is not installed.")
    done = {(row["method"], row["budget"]) for row in report["accuracy"]}
    late = [cell for cell in cells if (cell.method.name, cell.budget) not in done]
    if late and "accuracy" in options.parts:
        named = ", ".join(f"{cell.method.name} at {cell.budget}" for cell in late)
        found.append(f"Not reached in the time given (a further run goes on): {named}.")
    return found


if __name__ == "__main__":
    sys.exit(main())
