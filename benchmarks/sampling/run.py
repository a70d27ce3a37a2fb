"""A whole build beside a bare loop that posts the same requests, and beside two other libraries.

``make bench-sampling``. Against a loopback server with a fixed latency: wall time from the first
request to the last reply (seen by the server), and processor time of all processes. Against real
vLLM with the pocket model: tokens a second by its own counters. Sides take turns; what a side costs
with 100 questions, its start, is taken off its processor time and named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.sampling import setting
from benchmarks.sampling.loopback import MODEL
from benchmarks.sampling.meter import Meter
from benchmarks.sampling.page import write_page
from benchmarks.sampling.setting import Load, Spent
from butwait.pipelines.sampling.engine import open_sampler
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec

PAGE = setting.ROOT / "docs" / "benchmarks.md"
N_START = 100
POCKET = setting.ROOT / "trainer" / "pocket" / "checkpoints" / "policy"
PEERS = {"curator": "bespokelabs-curator", "distilabel": "distilabel"}


@contextmanager
def loopback(latency_s: float, in_flight: int) -> Iterator[str]:
    """Have a loopback server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sampling.loopback"]
    options = ["--latency-s", str(latency_s), "--limit", str(in_flight)]
    server = subprocess.Popen(
        [*command, *options], cwd=setting.ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.wait()


def measure(side: str, load: Load, python: str = "") -> Spent:
    """Run one side once."""
    if side == "butwait":
        return setting.build(load)
    if side == "cached":
        return setting.build(load, keep_cache=True)
    if side == "bare":
        return setting.bare(load, load.work / "bodies.jsonl")
    return setting.peer(load, side, python)


def on_loopback(load: Load, side: str, python: str = "") -> dict[str, float]:
    """Run one side against the loopback server and read the server's clock."""
    httpx.get(f"{load.url}/reset", trust_env=False)
    spent = measure(side, load, python)
    stats = httpx.get(f"{load.url}/stats", trust_env=False).json()
    print(f"{side}: {len(load.problems)} questions, {spent}, {stats}", flush=True)
    return {**vars(spent), **stats}


def prepare(load: Load) -> None:
    """Build once, for the bodies that a build sends; its figures do not count."""
    setting.write_recipe(load)
    setting.build(load)
    setting.write_bodies(load)


def measure_loopback(options: argparse.Namespace, peers: dict[str, str]) -> dict[str, Any]:
    """All sides against the loopback server, in turns."""
    with loopback(options.latency_s, options.in_flight) as url:
        problems = setting.write_beads(options.questions)
        work = options.work / "loopback"
        load = Load(work, url, MODEL, MODEL, problems, options.in_flight, 512)
        few = load.first(min(N_START, options.questions // 2))
        prepare(load)
        prepare(few)
        sides = ["butwait", "bare", "cached"]
        starts: dict[str, list[dict[str, float]]] = {side: [] for side in [*sides, *peers]}
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in [*sides, *peers]}
        for _ in range(options.rounds):
            for side in sides:
                starts[side].append(on_loopback(few, side))
                runs[side].append(on_loopback(load, side))
        for side, python in peers.items():
            starts[side].append(on_loopback(few, side, python))
            runs[side].append(on_loopback(load, side, python))
        hits = measure_hits(load, options.rounds)
    size = (len(load.problems), len(few.problems))
    found = {side: summarize(starts[side], runs[side], *size) for side in runs}
    return {"sides": found, "hits": hits, "questions": size[0], "start_questions": size[1]}


def measure_hits(load: Load, rounds: int) -> dict[str, float]:
    """Ask the cache for everything again."""
    command = [sys.executable, "-m", "benchmarks.sampling.hits", str(load.work.absolute())]
    found = []
    for _ in range(rounds):
        out = subprocess.run(
            command, cwd=setting.ROOT, check=True, capture_output=True, text=True
        ).stdout
        found.append(json.loads(out.splitlines()[-1]))
    middle = {name: statistics.median(f[name] for f in found) for name in found[0]}
    print(f"cache: {middle}", flush=True)
    return middle


def summarize(
    starts: list[dict[str, float]], runs: list[dict[str, float]], n: int, n_start: int
) -> dict[str, float]:
    """Medians over the turns, with the start's processor time taken off."""

    def middle(found: list[dict[str, float]], name: str) -> float:
        return statistics.median(one[name] for one in found)

    start_s = middle(starts, "cpu_s")
    ms = 1000 * (middle(runs, "cpu_s") - start_s) / (n - n_start)
    names = ("seconds", "below_s", "wall_s", "cpu_s", "n", "most")
    return {**{name: middle(runs, name) for name in names}, "start_s": start_s, "ms": ms}


def measure_vllm(options: argparse.Namespace) -> dict[str, Any]:
    """A build and the bare loop against real vLLM, in turns."""
    work = options.work / "vllm"
    work.mkdir(parents=True, exist_ok=True)
    problems = write_pocket_problems(options)
    args = ("--max-num-seqs", str(options.in_flight))
    spec = ServerSpec(mode="managed", start_timeout_s=600, args=args)
    model = ModelSpec(id=str(POCKET))
    runs: dict[str, list[dict[str, float]]] = {"butwait": [], "bare": []}
    with open_sampler(model, spec, base=setting.ROOT, log_dir=work, say=print) as endpoint:
        name = endpoint.served_name
        load = Load(
            work / "load", endpoint.url, name, str(POCKET), problems, options.in_flight, 160
        )
        prepare(load)
        for turn in range(options.vllm_rounds):
            for side in ("butwait", "bare") if turn % 2 == 0 else ("bare", "butwait"):
                meter = Meter(endpoint.url, options.in_flight)
                spent = measure(side, load)
                runs[side].append({**meter.read(), **vars(spent)})
                print(f"vLLM, {side}: {runs[side][-1]}", flush=True)
    for found in runs.values():
        for one in found:
            one["tokens_s"] = one["tokens"] / one["seconds"]
    sides = {
        side: {name: statistics.median(one[name] for one in found) for name in found[0]}
        for side, found in runs.items()
    }
    return {"sides": sides, "questions": len(problems), "rounds": options.vllm_rounds}


def write_pocket_problems(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """Questions of the pocket world, as many as are asked for."""
    out = options.work / "pocket"
    command = [sys.executable, "-m", "butwait.pipelines.pocket.questions", "--out", str(out)]
    sizes = ["--n-train", str(options.vllm_questions), "--n-validation", "0", "--n-test", "0"]
    subprocess.run([*command, "--seed", "7", *sizes], check=True, cwd=setting.ROOT)
    found = []
    with (out / "train.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            answer = row["solution"].rpartition("\\boxed{")[2].partition("}")[0]
            found.append((row["problem"], answer))
    return tuple(found)


def arguments() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["loopback", "vllm"])
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--vllm-questions", type=int, default=3_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency-s", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vllm-rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=None, help="folder of their environments")
    parser.add_argument("--work", type=Path, default=setting.ROOT / "build" / "bench-sampling")
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write into")
    options = parser.parse_args()
    options.work = options.work.absolute()
    return options


def main() -> int:
    """Measure and write the section; 1 where a target is missed."""
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    peers, versions = {}, {}
    for name, package in PEERS.items():
        python = options.peers and options.peers.absolute() / name / "bin" / "python"
        if python and python.is_file():
            peers[name] = str(python)
            versions[package] = setting.find_version(str(python), package)
    kept = options.work / "report.json"
    report: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    report |= {"in_flight": options.in_flight, "latency_s": options.latency_s}
    if "loopback" in options.parts:
        report["loopback"] = measure_loopback(options, peers)
        report["loopback"]["rounds"] = options.rounds
        report["versions"] = versions
        kept.write_text(json.dumps(report, indent=1))
    if "vllm" in options.parts:
        report["vllm"] = measure_vllm(options)
        kept.write_text(json.dumps(report, indent=1))
    missed = write_page(report, options.out)
    print("\n".join(missed) or "every target is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
