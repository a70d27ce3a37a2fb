"""The slowest check on adversarial texts: ``python slowest.py THREADS``; one JSON object.

The texts are those of the tests (towers, deep nesting, long digits and braces, large sets). Each is
checked as an answer, as a gold answer, against itself and inside a box.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from verify_damage import BOMBS

from butwait.transforms.verify import compare, stop_workers, verify, warm_workers

MARK = uuid.uuid4().hex


def attack(names: list[str], out: list[tuple[float, str, str]]) -> None:
    """Time every way in for some of the texts."""
    for name in names:
        text = BOMBS[name]
        ways = {
            "answer": lambda text=text: compare("5", text),
            "gold": lambda text=text: compare(text, "5"),
            "itself": lambda text=text: compare(text, text + " "),
            "trace": lambda text=text: verify("5", f"so \\boxed{{{text}}}"),
        }
        for way, check in ways.items():
            start = time.perf_counter()
            found = check()
            out.append((time.perf_counter() - start, f"{name} ({way})", found.verdict))


def marked() -> list[int]:
    """Processes that inherited this one's mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if MARK.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def main() -> None:
    """Run all texts, dealt to the threads."""
    n = int(sys.argv[1])
    os.environ["BUTWAIT_MARK"] = MARK
    warm_workers(4)
    assert len(marked()) >= 4
    names, out = sorted(BOMBS), []
    threads = [threading.Thread(target=attack, args=(names[k::n], out)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop_workers()
    time.sleep(1)  # the system reaps what was killed
    leaked = len(marked())
    out.sort(reverse=True)
    report = {
        "texts": len(names),
        "checks": len(out),
        "slowest_s": out[0][0],
        "slowest": [f"{seconds:.3f} s {name}: {verdict}" for seconds, name, verdict in out[:5]],
        "errors": sum(verdict == "error" for _, _, verdict in out),
        "leaked": leaked,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
