"""Memory of caller and workers over many checks: ``python memory.py 1000000``.

Distinct pairs (so that no cache is ever large enough) between real ones of the labelled cases.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from sets import CASES, labelled

from butwait.transforms.verify import Check, stop_workers, verify_each

SYMBOLIC_EVERY = 5_000


def resident_mb() -> tuple[float, float]:
    """Resident memory of this process and of all processes below it, in MB."""
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    children: dict[int, list[int]] = {}
    size: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            size[int(folder.name)] = int((folder / "statm").read_text().split()[1]) * page
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    below, waiting = 0.0, list(children.get(os.getpid(), []))
    while waiting:
        pid = waiting.pop()
        below += size.get(pid, 0.0)
        waiting += children.get(pid, [])
    return size[os.getpid()], below


def pairs(n: int) -> object:
    """``n`` checks: distinct ones of several kinds, real ones, and some for the workers."""
    real = [row for row in labelled(sorted(CASES.glob("*.jsonl"))) if row["category"] != "huge"]
    for k in range(n):
        if k % SYMBOLIC_EVERY == 0:
            yield Check(
                rf"\tan\frac{{x}}{{2}}+{k}", rf"\frac{{\sin x}}{{1+\cos x}}+{k}", kind="answer"
            )
        elif k % 4 == 0:
            row = real[k // 4 % len(real)]
            yield Check(row["gold"], row["prediction"], kind=row["kind"])
        elif k % 4 == 1:
            yield Check(f"{k}", rf"Step {k}. So \boxed{{{k}}}.")
        elif k % 4 == 2:
            yield Check(rf"\frac{{{k}}}{{7}}", f"{k}/7", kind="answer")
        else:
            yield Check(f"x^2+{k}", f"{k}+x^2", kind="answer")


def main() -> None:
    """Print one JSON line a checkpoint."""
    n = int(sys.argv[1])
    marks = {1, n // 10, n // 4, n // 2, 3 * n // 4, n}
    for k, _ in enumerate(verify_each(pairs(n)), start=1):  # type: ignore[arg-type]
        if k in marks:
            caller, below = resident_mb()
            print(json.dumps({"checks": k, "caller_mb": caller, "workers_mb": below}), flush=True)
    stop_workers()


if __name__ == "__main__":
    main()
