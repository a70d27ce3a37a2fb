"""What all sides of the comparison share: questions, recipe, request bodies, and how one is run."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from butwait.pipelines.recipe_file import load_recipe
from butwait.pipelines.resolve import resolve
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.sampling.wire import write_messages, write_sampling
from butwait.pipelines.stages.sample_question import sample_request
from butwait.pipelines.tables import read_records
from butwait.schemas.question import Question

ROOT = Path(__file__).resolve().parents[2]
_BUTWAIT = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()"]
SYSTEM = "qwen"


@dataclass(frozen=True)
class Load:
    """Questions, one request each, and who is asked."""

    work: Path
    url: str
    model: str
    model_id: str
    problems: tuple[tuple[str, str], ...]
    """Problem and answer."""
    in_flight: int
    max_tokens: int

    def first(self, n: int) -> Load:
        """The same with the first ``n`` questions, in a folder of its own."""
        more = {**vars(self), "work": self.work / f"first-{n}", "problems": self.problems[:n]}
        return Load(**more)


@dataclass(frozen=True)
class Spent:
    """What one process and all below it took."""

    wall_s: float
    cpu_s: float


def write_beads(n: int) -> tuple[tuple[str, str], ...]:
    """Make questions that the loopback server can answer."""
    found = []
    for number in range(n):
        rng = random.Random(number)
        a, b = rng.randrange(10, 10_000), rng.randrange(10, 10_000)
        # The number makes every problem another one.
        problem = f"Box {number} holds {a} red and {b} blue beads. How many beads does it hold?"
        found.append((problem, str(a + b)))
    return tuple(found)


def write_recipe(load: Load) -> Path:
    """Write questions and recipe of a build; return the recipe's path."""
    shutil.rmtree(load.work, ignore_errors=True)
    load.work.mkdir(parents=True)
    with (load.work / "questions.jsonl").open("w", encoding="utf-8") as lines:
        for problem, answer in load.problems:
            lines.write(json.dumps({"problem": problem, "answer": answer}) + "\n")
    columns = {"problem": "problem", "answer": "answer"}
    recipe = {
        "name": "bench",
        "sources": [{"path": "questions.jsonl", "columns": columns}],
        "model": {"id": load.model_id},
        "server": {
            "mode": "attach",
            "url": load.url,
            "served_name": load.model,
            "max_in_flight": load.in_flight,
        },
        "sampling": {"n": 1, "prompt": SYSTEM, "max_tokens": load.max_tokens, "temperature": 0.8},
        "decontaminate": {"enabled": False},
        "rows": {"default": {"transform": "verified"}, "rl": {"transform": "rl"}},
    }
    path = load.work / "recipe.yaml"
    path.write_text(json.dumps(recipe), "utf-8")  # JSON is YAML
    return path


def build(load: Load, *, keep_cache: bool = False) -> Spent:
    """Build the whole dataset, without what an earlier build left."""
    shutil.rmtree(load.work / "runs", ignore_errors=True)
    if not keep_cache:
        for path in load.work.glob("cache.sqlite*"):
            path.unlink()
    command = [*_BUTWAIT, "build", "recipe.yaml", "--out", "runs", "--cache", "cache.sqlite"]
    return run(command, load.work, "build")


def write_bodies(load: Load) -> Path:
    """Write the bodies that the build has sent, one a line, in the order of its questions."""
    recipe = load_recipe(load.work / "recipe.yaml", (), None, override_base=load.work)
    ask = resolve(recipe, load.work).ask
    shards = RunFolder(load.work / "runs" / "bench").question_shards()
    path = load.work / "bodies.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for shard in shards:
            for question in read_records(shard, Question):
                request = sample_request(question, ask, 1)
                body = write_sampling(request, load.model) | {"messages": write_messages(request)}
                lines.write(json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n")
    return path


def bare(load: Load, bodies: Path) -> Spent:
    """Post the bodies and nothing else."""
    url = f"{load.url}/v1/chat/completions"
    command = [sys.executable, "-m", "benchmarks.sampling.bare", url, str(bodies)]
    return run([*command, str(load.in_flight)], ROOT, "bare", log=load.work)


def peer(load: Load, name: str, python: str) -> Spent:
    """Ask the same questions through another library."""
    from butwait.transforms.prompts import system_prompt

    shutil.rmtree(load.work / "peer", ignore_errors=True)
    load.work.mkdir(parents=True, exist_ok=True)
    job = {
        **asdict(load),
        "work": str((load.work / "peer").absolute()),
        "problems": [problem for problem, _ in load.problems],
        "system": system_prompt(SYSTEM),
    }
    path = load.work / "job.json"
    path.write_text(json.dumps(job), "utf-8")
    script = ROOT / "benchmarks" / "sampling" / f"peer_{name}.py"
    return run([python, str(script), str(path.absolute())], load.work, name)


def run(command: Sequence[str], folder: Path, name: str, log: Path | None = None) -> Spent:
    """Run a process to its end.

    Raises:
        SystemExit: It failed; with the end of its log.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1"}
    # Compiled modules are a user's usual state, and belong to neither side.
    environment["PYTHONPYCACHEPREFIX"] = str(ROOT / "build" / "bench-pycache")
    path = (log or folder) / f"{name}.log"
    began = time.monotonic()
    with path.open("w") as out:
        child = subprocess.Popen(list(command), cwd=folder, stdout=out, stderr=out, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name} failed:\n{path.read_text()[-2000:]}")
    return Spent(time.monotonic() - began, usage.ru_utime + usage.ru_stime)


def describe_machine() -> str:
    """The machine in a few words."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, shared"


def find_version(python: str, package: str) -> str:
    """The version of a package in another environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    found: Any = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return str(found.stdout).strip()
