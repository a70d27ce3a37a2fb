"""The pocket lab: the whole experiment of the project on two CPU cores, with fixed seeds.

From 400 questions to datasets, from these to supervised and reinforced arms, each examined on the
same 300 held-out questions, and a table in which no arm is missing because it lost.

    make lab                          # all of it; goes on where an interrupted one was
    make lab LAB="--fresh"            # begin anew
    make lab LAB="--report-only"      # the table again, from stored examinations
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.lab.arms import SUPERVISED
from benchmarks.lab.jobs import JobFailed, Jobs
from benchmarks.lab.picture import draw_forest
from benchmarks.lab.plan import ROOT, Lab
from benchmarks.lab.table import (
    compare_with_start,
    make_table,
    to_markdown,
    to_records,
    write_evaluations,
)
from benchmarks.sections import replace_section

DOCS = ROOT / "docs"
START, END = "<!-- lab: start -->", "<!-- lab: end -->"


def describe(lab: Lab, jobs: Jobs, best: str, seconds: float | None) -> str:
    """Return the generated part of the page and write JSON and picture beside it."""
    lines = make_table(lab)
    write_evaluations(lab, lines)
    draw_forest(lines, DOCS / "pocket-lab.svg")
    (DOCS / "pocket-lab.json").write_text(json.dumps(to_records(lines), indent=1) + "\n", "utf-8")
    spent = jobs.cpu_s()
    parts = {
        part: sum(s for name, s in spent.items() if name.startswith(part))
        for part in ("data", "train", "validate", "exam")
    }
    versions = ", ".join(f"{n} {version(n)}" for n in ("torch", "transformers", "trl", "vllm"))
    took = "" if seconds is None else f"{seconds / 60:.1f} minutes of wall time, "
    shares = ", ".join(f"{part} {s:.0f}" for part, s in parts.items())
    return f"""`make lab`, {date.today().isoformat()}; {platform.machine()}, {os.cpu_count()} cores;
{versions}.
{took}{sum(parts.values()):.0f} CPU seconds ({shares}). Scores in per cent with 95 % intervals.
The best supervised arm on the validation questions was `{best}`; GRPO from there is
{compare_with_start(lab, best)} points above it.

{to_markdown(lines, best)}

![Forest plot of the paired differences to the base](pocket-lab.svg)"""


def main() -> int:
    """Run the lab; 1 when a job failed, 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "lab")
    parser.add_argument("--fresh", action="store_true", help="remove what an earlier run left")
    parser.add_argument("--report-only", action="store_true", help="only the table")
    options = parser.parse_args()
    work = options.work.resolve()
    if options.fresh:
        shutil.rmtree(work, ignore_errors=True)
    jobs = Jobs(work)
    lab = Lab(work, jobs)
    record = work / "lab.json"
    try:
        if not options.report_only:
            started = time.monotonic()
            best = asyncio.run(lab.run())
            done = {"best": best, "seconds": time.monotonic() - started}
            record.write_text(json.dumps(done), "utf-8")
    except JobFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    except ExceptionGroup as failed:
        print(failed.exceptions[0], file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make lab` goes on from here", file=sys.stderr)
        return 130
    if not record.is_file():
        print(f"{work} has no finished lab; run `make lab`", file=sys.stderr)
        return 1
    done = json.loads(record.read_text("utf-8"))
    assert done["best"] in {arm.name for arm in SUPERVISED}
    text = describe(lab, jobs, done["best"], done["seconds"])
    print(text)
    replace_section(DOCS / "pocket-lab.md", START, END, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
