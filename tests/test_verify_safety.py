"""Hostile text, deadlines from any thread, worker processes that never outlive their use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from butwait.transforms.verify import DEFAULT, Limits, compare, stop_workers, verify, warm_workers

pytestmark = pytest.mark.alone
INJECTION = "__import__('os').system('touch PWNED')"


def frame(snippet: str) -> list[str]:
    """The same text in every position a value can stand in."""
    return [
        snippet,
        rf"\text{{{snippet}}}",
        rf"\frac{{{snippet}}}{{2}}",
        f"f({snippet})",
        f"x_{{{snippet}}}",
        f"2^{{{snippet}}}",
        rf"\{{{snippet}, 1\}}",
        f"x = {snippet}",
        f"5 {snippet}",
        rf"\operatorname{{{snippet}}}(3)",
    ]


TOWERS = [
    "9^{9^{9^{9}}}",
    "10^{10^{10}}!",
    "((((((9^9)^9)^9)^9)^9)^9)^9",
    r"(1+\sqrt2)^{1999}",
    "(x+y+z)^{39}(x-y)^{39}(z+w+q)^{39}",
    "2^{2^{2^{2^{2^{2^x}}}}}",
    r"\binom{10^{9}}{5\cdot 10^{8}}",
    "e^{e^{e^{79}}}",
    r"\log_{10^{-4000}}(10^{10^{3}})",
    r"\lfloor 10^{5000}\pi\rfloor",
]
BULKY = [
    r"\frac{1}{" * 1000 + "2" + "}" * 1000,
    "1+" * 30_000 + "1",
    "9" * 100_000,
    "(" * 60_000,
    "|" * 1_500,
    r"\text{" * 400 + "}" * 400,
    r"\pm1" * 400,
    ", ".join(map(str, range(500))),
    r"\sqrt{1+" * 40 + "x" + "}" * 40,
    r"0.\overline{" + "123" * 600 + "}",
]
# True, and far beyond a fifth of a second: three cosines of unlike angles.
SLOW_IDENTITY = (
    r"4\cos\frac{\pi}{97}\cos\frac{\pi}{89}\cos\frac{\pi}{83}",
    r"\cos(\frac{\pi}{97}+\frac{\pi}{89}+\frac{\pi}{83})"
    r"+\cos(\frac{\pi}{97}+\frac{\pi}{89}-\frac{\pi}{83})"
    r"+\cos(\frac{\pi}{97}-\frac{\pi}{89}+\frac{\pi}{83})"
    r"+\cos(\frac{\pi}{89}+\frac{\pi}{83}-\frac{\pi}{97})",
)
GOLDS = ["5", "x+1", r"\frac{7^{7^{8}}-1}{6}", "(1,2)"]


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    warm_workers(4)


def test_hostile_texts_get_a_verdict_in_time_from_four_threads_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [*frame(INJECTION), *TOWERS, *BULKY]
    slow: list[tuple[float, str]] = []
    wrong: list[tuple[str, str]] = []

    def work() -> None:
        for text in texts:
            for gold in GOLDS:
                start = time.perf_counter()
                verdict = verify(gold, rf"\boxed{{{text}}}").verdict
                seconds = time.perf_counter() - start
                if seconds > DEFAULT.worker_s + 0.2:
                    slow.append((seconds, text[:40]))
                if verdict in ("correct", "error"):
                    wrong.append((gold, text[:40]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not slow
    assert not wrong
    assert not list(tmp_path.iterdir())


def test_a_hostile_gold_never_makes_an_answer_correct() -> None:
    for gold in [*frame(INJECTION), *TOWERS, *BULKY]:
        assert compare(gold, "5").verdict not in ("correct", "error")


def test_a_check_that_overruns_its_deadline_is_a_timeout_and_the_next_one_works() -> None:
    limits = Limits(worker_s=0.2)
    start = time.perf_counter()
    found = compare(SLOW_IDENTITY[0], SLOW_IDENTITY[1], limits=limits)
    assert found.verdict == "timeout"
    assert time.perf_counter() - start < 0.4
    assert compare(r"\tan\frac{x}{2}", r"\frac{\sin x}{1+\cos x}").verdict == "correct"


def test_deadlines_hold_inside_an_event_loop() -> None:
    async def check() -> list[str]:
        loop = asyncio.get_running_loop()
        jobs = [
            loop.run_in_executor(None, compare, r"\tan\frac{x}{2}", r"\frac{\sin x}{1+\cos x}")
            for _ in range(6)
        ]
        return [verdict.verdict for verdict in await asyncio.gather(*jobs)]

    assert asyncio.run(check()) == ["correct"] * 6


def test_a_killed_worker_is_replaced() -> None:
    stop_workers()
    assert compare(r"\tan\frac{u}{2}", r"\frac{\sin u}{1+\cos u}").verdict == "correct"
    workers = children(os.getpid())
    assert workers
    for pid in workers:
        os.killpg(pid, 9)
    assert compare(r"\tan\frac{u}{2}", r"\frac{\sin u}{2+\cos u}").verdict == "incorrect"
    assert compare(r"\tan\frac{v}{2}", r"\frac{1-\cos v}{\sin v}").verdict == "correct"


def children(pid: int) -> list[int]:
    out = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    rows = [line.split(None, 1) for line in out.stdout.splitlines()]
    return [int(row[0]) for row in rows if len(row) > 1 and "verify.worker" in row[1]]


SCRIPT = """
import os, subprocess, sys, threading
from butwait.transforms.verify import compare

print("started", flush=True)
assert compare("\\\\tan (x/2)", "(\\\\sin x)/(1+\\\\cos x)").verdict == "correct"
{extra}
out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
                     capture_output=True, text=True).stdout
print(" ".join(line.split()[0] for line in out.splitlines() if "verify.worker" in line), flush=True)
{end}
"""

FORK = """
pid = os.fork()
if pid == 0:
    ok = compare("\\\\tan (y/2)", "(\\\\sin y)/(1+\\\\cos y)").verdict == "correct"
    from butwait.transforms.verify import stop_workers
    stop_workers()
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
assert compare("\\\\tan (y/2)", "(\\\\sin y)/(1+\\\\cos y)").verdict == "correct"
"""


@pytest.mark.parametrize(
    ("extra", "end", "code"),
    [
        ("", "", 0),
        (FORK, "", 0),
        ("", "raise SystemExit(3)", 3),
        ("", "os.kill(os.getpid(), 9)", -9),
        ("t = threading.Thread(target=compare, args=('1', '2')); t.start(); t.join()", "", 0),
    ],
    ids=["plain", "fork", "exit", "killed", "thread"],
)
def test_a_script_without_a_main_guard_runs_once_and_leaves_no_process_behind(
    tmp_path: Path, extra: str, end: str, code: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(extra=extra, end=end))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("started") == 1
    deadline = time.monotonic() + 5
    pids = [int(pid) for line in lines[1:] for pid in line.split()]
    assert pids
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_cannot_take_more_memory_than_its_cap() -> None:
    code = (
        "from butwait.transforms.verify.worker import limit_resources\n"
        "limit_resources({'memory_mb': 16, 'worker_s': 1.0})\n"
        "try:\n"
        "    bytearray(256 * 2**20)\n"
        "except MemoryError:\n"
        "    raise SystemExit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 7
