"""One verifier over one list of checks, in one fresh process on one core.

``python measure.py ours|peer CHECKS.json OUT.json``. A few checks of no set warm the process up;
then every check is timed once, on its first pass: no memory of repeated pairs from before. The
processor time includes that of worker processes, but not their start.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

Accepts = Callable[[str, str, str], tuple[bool, str]]
WARM = [
    ("3", "4"), ("\\frac{3}{7}", "3/8"), ("x+5", "5+x"), ("(1,2)", "(2,1)"), ("\\sqrt{8}", "2"),
    ("[1,2)", "x>1"), ("\\{4,5\\}", "5,4"), ("y=3x", "x"), ("50\\%", "0.5"), ("\\sin x", "\\cos x"),
]  # fmt: skip


def ours() -> Accepts:
    """The verifier of this project."""
    from butwait.transforms.verify import verify, warm_workers

    warm_workers(1)

    def accepts(gold: str, prediction: str, kind: str) -> tuple[bool, str]:
        found = verify(gold, prediction, kind=kind)  # type: ignore[arg-type]
        return found.correct, f"{found.verdict}/{found.rule}"

    return accepts


def peer() -> Accepts:
    """math-verify as its page says: parse both, then verify(gold, answer); bare answers boxed."""
    from math_verify import parse
    from math_verify import verify as same

    logging.disable(logging.CRITICAL)

    def accepts(gold: str, prediction: str, kind: str) -> tuple[bool, str]:
        answer = f"$\\boxed{{{prediction}}}$" if kind == "answer" else prediction
        try:
            found = bool(same(parse(f"$\\boxed{{{gold}}}$"), parse(answer)))
        except Exception as error:  # noqa: BLE001 - a crash counts as "not equal"
            return False, type(error).__name__
        return found, "equal" if found else "different"

    return accepts


def worker_seconds() -> float:
    """Processor time of every living process below this one, with what they reaped."""
    tick = os.sysconf("SC_CLK_TCK")
    parents: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        spent[pid] = sum(map(int, fields[11:15])) / tick
    total, waiting = 0.0, list(parents.get(os.getpid(), []))
    while waiting:
        pid = waiting.pop()
        total += spent.get(pid, 0.0)
        waiting += parents.get(pid, [])
    return total


def main() -> None:
    """Time the checks and write what came out."""
    who, source, out = sys.argv[1:4]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = json.loads(Path(source).read_text())
    accepts = ours() if who == "ours" else peer()
    for gold, answer in WARM:
        accepts(gold, answer, "answer")
    accepted, reasons, ms = [], [], []
    start_workers = worker_seconds()
    start_own, start = time.process_time(), time.perf_counter()
    for row in rows:
        begun = time.perf_counter()
        found, reason = accepts(row["gold"], row["prediction"], row["kind"])
        ms.append((time.perf_counter() - begun) * 1000)
        accepted.append(found)
        reasons.append(reason)
    wall, own = time.perf_counter() - start, time.process_time() - start_own
    report = {
        "accepted": accepted,
        "reasons": reasons,
        "ms": ms,
        "wall_s": wall,
        "cpu_s": own + worker_seconds() - start_workers,
    }
    Path(out).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
