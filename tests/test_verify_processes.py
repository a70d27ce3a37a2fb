"""The verifier in threads, event loops, Beam, forked and spawned processes; what it leaves behind.

The pool is asked directly where a test needs a worker, so that nothing can decide before it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_verify_safety import SLOW_IDENTITY
from verify_damage import pair_of

from butwait.transforms.verify import (
    DEFAULT,
    Limits,
    compare,
    stop_workers,
    verify_many,
    warm_workers,
)
from butwait.transforms.verify.mode import EXACT
from butwait.transforms.verify.pool import shared_pool

pytestmark = pytest.mark.alone
TOKEN = f"verify-processes-{uuid.uuid4()}"
GONE_S = 2.0


@pytest.fixture(scope="module", autouse=True)
def marked_workers() -> Iterator[None]:
    """Workers of this module carry a token in their environment and are gone after it."""
    stop_workers()
    os.environ["VERIFY_TEST_TOKEN"] = TOKEN
    warm_workers(2)
    yield
    stop_workers()
    del os.environ["VERIFY_TEST_TOKEN"]
    assert left_after(TOKEN) == []


def marked(token: str) -> list[int]:
    """Other live processes that were started with the token in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                inside = token.encode() in (folder / "environ").read_bytes()
            except OSError:
                continue
            if inside:
                found.append(int(folder.name))
    return found


def left_after(token: str, seconds: float = GONE_S) -> list[int]:
    """The marked processes that are still there after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := marked(token)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def ask(k: int, limits: Limits = DEFAULT) -> object:
    """A worker's own word on one of many true identities."""
    gold, answer = f"|x+{k}|", f"\\sqrt{{(x+{k})^2}}"
    reply = shared_pool().compare(gold, answer, limits, EXACT)
    return reply.get("result", reply.get("report"))


def stall(seconds: float) -> object:
    """A worker busy for that long; ``timeout``."""
    limits = Limits(worker_s=seconds)
    return shared_pool().compare(*SLOW_IDENTITY, limits, EXACT).get("report")


# -- threads and event loops ----------------------------------------------------------------------

PAIRS = [pair_of(5, k) for k in range(200)]
ROWS = [(pair.gold, pair.answer) for pair in PAIRS]


def plain(gold: str, answer: str) -> tuple[str, str]:
    found = compare(gold, answer)
    return found.verdict, found.rule


def test_eight_threads_get_the_verdicts_of_one() -> None:
    # Other limits than the default, so that nothing is remembered from one to the other.
    limits = Limits(worker_s=1.01)
    alone = [compare(*row).verdict for row in ROWS]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda row: compare(*row, limits=limits).verdict, ROWS))
        asked = list(threads.map(ask, range(40)))
    assert [k for k, pair in enumerate(zip(alone, together, strict=True))
            if len(set(pair)) > 1 and "timeout" not in pair] == []  # fmt: skip
    assert asked == [True] * 40
    assert [v.verdict for v in verify_many(ROWS, kind="answer")] == alone


@pytest.mark.parametrize("way", ["run_in_executor", "to_thread"])
def test_an_event_loop_goes_on_while_checks_run_into_their_deadline(way: str) -> None:
    async def main() -> tuple[list[object], float]:
        loop = asyncio.get_running_loop()

        async def off(work: Callable[..., object], *args: object) -> object:
            if way == "to_thread":
                return await asyncio.to_thread(work, *args)
            return await loop.run_in_executor(None, work, *args)

        jobs = [asyncio.ensure_future(off(stall, 0.4)) for _ in range(2)]
        jobs += [asyncio.ensure_future(off(ask, 100 + k)) for k in range(8)]
        longest = 0.0
        while not all(job.done() for job in jobs):
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - before)
        return [job.result() for job in jobs], longest

    results, longest = asyncio.run(main())
    assert results == ["timeout"] * 2 + [True] * 8
    assert longest < 0.25


def test_cheap_checks_are_not_held_up_by_another_threads_deadline() -> None:
    slow = [threading.Thread(target=stall, args=(1.0,)) for _ in range(3)]
    for thread in slow:
        thread.start()
    longest = 0.0
    for k in range(2_000):
        before = time.perf_counter()
        assert compare(str(k), f"\\frac{{{2 * k}}}{{2}}").correct
        longest = max(longest, time.perf_counter() - before)
    alive = sum(thread.is_alive() for thread in slow)
    for thread in slow:
        thread.join()
    assert alive == 3, "the cheap checks ended after the slow ones"
    assert longest < 0.25


# -- workers that die -----------------------------------------------------------------------------


def workers() -> list[int]:
    return [worker.process.pid for worker in shared_pool()._all]


def test_a_worker_killed_while_idle_is_replaced() -> None:
    assert ask(199) is True
    time.sleep(0.2)
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    assert [ask(k) for k in range(200, 206)] == [True] * 6


@pytest.mark.parametrize("victim", ["supervisor", "child"])
def test_a_check_whose_worker_is_killed_from_outside_gets_its_verdict(victim: str) -> None:
    stop_workers()
    warm_workers(1)
    (pid,) = workers()
    children = Path(f"/proc/{pid}/task/{pid}/children")
    target = pid if victim == "supervisor" else int(children.read_text().split()[0])
    os.kill(pid if victim == "supervisor" else target, signal.SIGSTOP)
    replies: list[object] = []
    thread = threading.Thread(target=lambda: replies.append(ask(300, Limits(worker_s=5.0))))
    thread.start()
    time.sleep(0.1)
    os.kill(target, signal.SIGKILL)
    thread.join(10)
    assert replies == [True]
    assert ask(301) is True


def test_a_worker_over_its_memory_cap_is_a_timeout_and_others_go_on() -> None:
    reports: list[object] = []

    def starve() -> None:
        for _ in range(3):
            limits = Limits(memory_mb=1, worker_s=3.0)
            reports.append(shared_pool().compare(*SLOW_IDENTITY, limits, EXACT).get("report"))

    thread = threading.Thread(target=starve)
    thread.start()
    others = [ask(k) for k in range(400, 430)]
    thread.join()
    assert others == [True] * 30
    # A warm worker may have room left from before, and then runs into its deadline.
    assert "memory" in reports and set(reports) <= {"memory", "timeout"}
    assert compare(*SLOW_IDENTITY, limits=Limits(memory_mb=1, worker_s=2.9)).verdict == "timeout"
    assert ask(431) is True


def test_five_hundred_symbolic_checks_with_kills_leave_no_file_descriptor_open() -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    assert ask(500) is True
    before = opened()
    for k in range(500):
        if k % 20 == 0:
            assert stall(0.02) == "timeout"
        if k in (110, 310):
            os.kill(workers()[0], signal.SIGKILL)
        assert ask(501 + k) is True
    assert opened() <= before


# -- what is left behind --------------------------------------------------------------------------

PRELUDE = f"""
import multiprocessing, os, signal, sys, threading, time
from butwait.transforms.verify import DEFAULT, Limits, compare, stop_workers, warm_workers
from butwait.transforms.verify.mode import EXACT
from butwait.transforms.verify.pool import shared_pool

SLOW = {SLOW_IDENTITY!r}

def ask(k):
    gold, answer = f"|x+{{k}}|", f"\\\\sqrt{{{{(x+{{k}})^2}}}}"
    return shared_pool().compare(gold, answer, DEFAULT, EXACT).get("result")

def stall(seconds=20.0):
    shared_pool().compare(*SLOW, Limits(worker_s=seconds), EXACT)

def busy(daemon=True):
    thread = threading.Thread(target=stall, daemon=daemon)
    thread.start()
    time.sleep(0.3)
"""

ENDINGS = {
    "normal": ("", 0),
    "exit in the middle": ("busy(); sys.exit(3)", 3),
    "exception": ("busy(); raise RuntimeError('meant')", 1),
    "os._exit": ("busy(); os._exit(4)", 4),
    "SIGTERM": ("busy(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", -signal.SIGTERM),
    "SIGKILL": ("busy(); os.kill(os.getpid(), signal.SIGKILL); time.sleep(9)", -signal.SIGKILL),
    "Ctrl-C": ("busy(); os.killpg(0, signal.SIGINT); time.sleep(9)", -signal.SIGINT),
    "Ctrl-C in a check": (
        "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start(); stall()",
        -signal.SIGINT,
    ),
}


def run_script(folder: Path, body: str, token: str) -> tuple[int, str, list[int]]:
    """Exit code, output, and the processes left two seconds after the end."""
    script = folder / "script.py"
    script.write_text(PRELUDE + body)
    done = subprocess.run(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=100, check=False, start_new_session=True,
        env={**os.environ, "VERIFY_TEST_TOKEN": token},
    )  # fmt: skip
    return done.returncode, done.stdout, left_after(token)


@pytest.mark.parametrize("name", ENDINGS)
def test_workers_end_with_the_process_that_started_them(tmp_path: Path, name: str) -> None:
    body, code = ENDINGS[name]
    body = f"assert ask(1) is True\nprint('asked', flush=True)\n{body}\n"
    returned, output, left = run_script(tmp_path, body, str(uuid.uuid4()))
    assert output.startswith("asked"), output
    assert (returned, left) == (code, []), output


FORKED = """
def work(k):
    ok = ask(k) is True and compare("x>3", "(3, \\\\infty)").correct
    sys.exit(0 if ok else 9)

if __name__ == "__main__":
    assert ask(1) is True
    busy()
    context = multiprocessing.get_context(METHOD)
    children = [context.Process(target=work, args=(10 + k,)) for k in range(2)]
    for child in children:
        child.start()
    assert all(ask(20 + k) is True for k in range(5))
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0], [c.exitcode for c in children]
    assert ask(30) is True
    print("done")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_parent_and_children_both_go_on_after_each_start_method(
    tmp_path: Path, method: str
) -> None:
    body = FORKED.replace("METHOD", repr(method))
    code, output, left = run_script(tmp_path, body, str(uuid.uuid4()))
    assert (code, output.strip().splitlines()[-1:], left) == (0, ["done"], []), output


# -- Beam -----------------------------------------------------------------------------------------

BEAM = """
import json
from pathlib import Path

def judge(row):
    from butwait.transforms.verify import compare
    found = compare(row[1], row[2])
    return json.dumps([row[0], found.verdict, found.rule])

def build(pipeline):
    import apache_beam as beam
    rows = json.loads((FOLDER / "rows.json").read_text())
    _ = (pipeline | beam.Create(rows) | beam.Reshuffle() | beam.Map(judge)
         | beam.io.WriteToText(str(FOLDER / mode)))

if __name__ == "__main__":
    from butwait.pipelines.stages.beam_run import DEFAULT_RUNNER, quiet_beam, run_pipeline
    quiet_beam()
    FOLDER = Path(sys.argv[0]).parent
    (FOLDER / "status").mkdir()
    for mode in ("in_memory", "multi_threading", "multi_processing"):
        options = [f"--direct_running_mode={mode}", "--direct_num_workers=2"]
        run_pipeline(build, FOLDER / "status", DEFAULT_RUNNER, options)
"""


@pytest.mark.slow
def test_beam_gives_the_same_verdicts_in_all_three_running_modes(tmp_path: Path) -> None:
    rows = [[k, *row] for k, row in enumerate(ROWS)]
    rows += [[200 + k, f"|x+{k}|", f"\\sqrt{{(x+{k})^2}}"] for k in range(20)]
    expected = [[k, *plain(gold, answer)] for k, gold, answer in rows]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    code, output, left = run_script(tmp_path, BEAM, str(uuid.uuid4()))
    assert (code, left) == (0, []), output
    for mode in ("in_memory", "multi_threading", "multi_processing"):
        lines = [x for p in tmp_path.glob(f"{mode}-*") for x in p.read_text().splitlines()]
        found = sorted(json.loads(line) for line in lines)
        pairs = zip(found, expected, strict=True)
        assert [pair for pair in pairs if pair[0] != pair[1] and "timeout" not in str(pair)] == []
