"""Bulk fuzz of the verifier from several threads at once.

    python -m benchmarks.verify_fuzz --pairs 100000 --threads 4 --seed 1

Every pair is compared in both directions, every fifth also as a whole trace. Exits with 1 when
anything raises, hangs, overruns its limit, leaks a process, touches a file, changes its verdict
with its sides swapped, or contradicts the value that the generator worked out on its own.
"""

from __future__ import annotations

import argparse
import heapq
import os
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from verify_damage import Pair, pair_of
from verify_trees import values_differ

from butwait.schemas.verdict import VERDICT_NAMES, Verdict
from butwait.transforms.verify import (
    DEFAULT,
    compare,
    stop_workers,
    verify,
    warm_workers,
)

SLACK_S = 0.2
HANG_S = 20.0
_SHOWN = 25
_TREE_KINDS = ("scalar", "constant", "rational")


@dataclass
class Findings:
    """What the threads found; guarded by ``lock``."""

    verdicts: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[str]] = field(default_factory=dict)
    slowest: list[tuple[float, int, str, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    n_checks: int = 0
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, what: str, index: int, pair: Pair, detail: str = "") -> None:
        """Keep one failure."""
        line = f"#{index} [{pair.kind}, {pair.how}] {_short(pair.gold)} | {_short(pair.answer)}"
        with self.lock:
            self.failures.setdefault(what, []).append(f"{line}  {detail}")

    def count(self, verdict: Verdict, seconds: float, index: int, pair: Pair) -> None:
        """Keep one verdict and its time."""
        with self.lock:
            self.verdicts[verdict.verdict] += 1
            self.rules[verdict.rule] += 1
            self.n_checks += 1
            self.seconds += seconds
            entry = (seconds, self.n_checks, pair.gold, pair.answer)
            heapq.heappush(self.slowest, entry)
            if len(self.slowest) > 10:
                heapq.heappop(self.slowest)
        if verdict.verdict not in VERDICT_NAMES:
            self.fail("unknown verdict", index, pair, verdict.verdict)
        if verdict.verdict == "error":
            self.fail("error", index, pair, f"{verdict.rule}: {verdict.detail}")
        if seconds > DEFAULT.worker_s + SLACK_S:
            self.fail("over the limit", index, pair, f"{seconds:.2f} s, rule {verdict.rule}")


def _short(text: str) -> str:
    shown = ascii(text)[1:-1].replace("\\\\", "\\")
    return shown if len(shown) < 160 else f"{shown[:120]}... ({len(text)} characters)"


class Fuzz:
    """One run: pairs by number, shared findings, and when each thread began its check."""

    def __init__(self, seed: int, pairs: range, threads: int) -> None:
        self.seed = seed
        self.pairs = pairs
        self.n_threads = threads
        self.found = Findings()
        self.since: dict[int, tuple[float, Pair]] = {}

    def _check(self, pair: Pair, index: int, *, trace: bool = False) -> Verdict | None:
        start = time.perf_counter()
        self.since[threading.get_ident()] = (start, pair)
        try:
            if trace:
                verdict = verify(pair.gold, f"So we get\n\\boxed{{{pair.answer}}}")
            else:
                verdict = compare(pair.gold, pair.answer)
        except BaseException as bug:  # noqa: BLE001 - any exception is a finding
            self.found.fail("exception", index, pair, f"{type(bug).__name__}: {bug}"[:200])
            return None
        finally:
            self.since.pop(threading.get_ident(), None)
        self.found.count(verdict, time.perf_counter() - start, index, pair)
        return verdict

    def one(self, index: int) -> None:
        """All checks of one pair."""
        pair = pair_of(self.seed, index)
        self.found.made[pair.how] += 1
        there = self._check(pair, index)
        back = self._check(replace(pair, gold=pair.answer, answer=pair.gold), index)
        if there is None or back is None:
            return
        self._swap(index, pair, there, back)
        self._truth(index, pair, there)
        if index % 5 == 0:
            whole = self._check(pair, index, trace=True)
            plain = pair.how in ("same", "other") or pair.how.startswith("dressed: l")
            if whole and plain and (whole.verdict != there.verdict) and not _late(whole, there):
                detail = f"{there.verdict} bare, {whole.verdict} ({whole.extracted!r}) in a box"
                self.found.fail("a box changes the verdict", index, pair, detail)

    def _swap(self, index: int, pair: Pair, there: Verdict, back: Verdict) -> None:
        if there.verdict == back.verdict or "gold_unusable" in (there.verdict, back.verdict):
            return
        if _late(there, back):
            self.found.notes["swapped: one direction timed out"] += 1
        else:
            detail = f"{there.verdict} ({there.rule}), swapped {back.verdict} ({back.rule})"
            self.found.fail("swapped sides", index, pair, detail)

    def _truth(self, index: int, pair: Pair, verdict: Verdict) -> None:
        """What the generator knows about the pair against the verdict."""
        if pair.how.startswith("dressed") and verdict.verdict in ("incorrect", "ambiguous"):
            self.found.fail("a dressing changes the verdict", index, pair, verdict.rule)
        if pair.one is None:
            return
        equal = pair.how == "same"
        if pair.one.kind in _TREE_KINDS:
            two = pair.one.same_tree if equal else pair.one.other_tree
            assert pair.one.tree is not None and two is not None
            differ, where = values_differ(pair.one.tree, two, Random(index), 6)
            if differ and verdict.verdict == "correct":
                self.found.fail("values differ", index, pair, f"{verdict.rule} at {where}")
            if differ is None or differ == equal:
                self.found.notes["no value to compare"] += 1
                return
        if equal and verdict.verdict == "incorrect":
            self.found.fail("equal answers rejected", index, pair, verdict.rule)
        elif not equal and pair.one.kind not in _TREE_KINDS and verdict.verdict == "correct":
            self.found.fail("different answers accepted", index, pair, verdict.rule)
        elif equal and verdict.verdict in ("ambiguous", "timeout", "gold_unusable"):
            self.found.notes[f"equal, but {verdict.verdict} ({pair.one.kind})"] += 1

    # -- threads -----------------------------------------------------------------------------

    def run(self) -> None:
        """All pairs, spread over the threads; ends the process when one check hangs."""

        def work(first: int) -> None:
            for index in self.pairs[first :: self.n_threads]:
                self.one(index)

        threads = [
            threading.Thread(target=work, args=(k,), daemon=True) for k in range(self.n_threads)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            for start, pair in list(self.since.values()):
                if time.perf_counter() - start > HANG_S:
                    print(f"HANG: {_short(pair.gold)} | {_short(pair.answer)}", flush=True)
                    stop_workers()
                    os._exit(1)


def _late(*verdicts: Verdict) -> bool:
    return any(v.verdict == "timeout" for v in verdicts)


# -- processes and files --------------------------------------------------------------------------


def _marked(token: str) -> list[int]:
    """Other live processes that were started with the token in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if token.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _left_behind(token: str) -> list[int]:
    stop_workers()
    deadline = time.monotonic() + 2
    while (left := _marked(token)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _report(fuzz: Fuzz, wall: float, memory: tuple[float, float]) -> None:
    found = fuzz.found
    print(f"{len(fuzz.pairs)} pairs, {found.n_checks} checks, {fuzz.n_threads} threads, "
          f"{wall:.0f} s, {found.n_checks / wall:.0f} checks/s, "
          f"memory {memory[0]:.0f} to {memory[1]:.0f} MB")  # fmt: skip
    for title, table in (("made", found.made), ("verdict", found.verdicts), ("rule", found.rules),
                         ("note", found.notes)):  # fmt: skip
        print(f"\n{title}")
        for name, n in table.most_common():
            print(f"  {n:>9}  {name}")
    print("\nslowest")
    for seconds, _, gold, answer in sorted(found.slowest, reverse=True):
        print(f"  {seconds * 1000:7.0f} ms  {_short(gold)} | {_short(answer)}")
    print("\nfailures")
    for what, lines in found.failures.items():
        print(f"  {len(lines)} x {what}")
        for line in lines[:_SHOWN]:
            print(f"    {line}")
    if not found.failures:
        print("  none")


def main() -> int:
    """Run the fuzz and say what was found; 1 on any failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs to make")
    parser.add_argument("--threads", type=int, default=4, help="threads at once")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generator")
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    options = parser.parse_args()
    token = f"verify-fuzz-{uuid.uuid4()}"
    os.environ["BUTWAIT_FUZZ"] = token
    fuzz = Fuzz(options.seed, range(options.first, options.first + options.pairs), options.threads)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        warm_workers(options.threads)
        before, start = _memory_mb(), time.perf_counter()
        fuzz.run()
        wall = time.perf_counter() - start
        left, files = _left_behind(token), os.listdir(folder)  # noqa: PTH208 - names only
        os.chdir("/")
    _report(fuzz, wall, (before, _memory_mb()))
    if left or files:
        print(f"  processes left: {left}; files made: {files}")
    return 1 if fuzz.found.failures or left or files else 0


if __name__ == "__main__":
    raise SystemExit(main())
