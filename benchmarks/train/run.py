"""Our trainer against TRL used directly: the same model, rows and settings, in turns.

Each side trains in a fresh process; what counts is the time of the training loop, our checkpoint
watch, metrics file and curves included, start-up and rendering not. The figure of a side is the
median over the turns; the target is an overhead of at most 5 %.

    make bench-train
    make bench-train BENCH="--kinds grpo --turns 6"
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.train import page
from benchmarks.train.jobs import POLICY, Job, write_questions, write_sums
from benchmarks.train.ours import time_ours
from benchmarks.train.peer import time_peer

KINDS = ("sft", "grpo")
SETTING = """Pocket policy (0.66 M parameters, float32, one thread), a line of metrics a step and
TensorBoard on both sides; fresh processes in turns, the time of the training loop."""
SFT_SETTING = "{job.batch} rows of about 100 tokens a step, {job.steps} steps."
GRPO_SETTING = """{job.batch} questions x {job.group} rollouts of at most {job.longest} tokens a
step, {job.steps} steps, one update a step, temperature {job.temperature}, beta {job.beta}, loss
`grpo`, the same questions in the same order. The learning rate is {job.learning_rate}, so that the
policy stays as it is and both sides sample rollouts of one length but for chance. transformers
samples on both sides. Our rewards are the verifier's and the layout's, and four rollouts a step are
written to a file; TRL's reward is what one writes in three lines: the text of the last
`\\boxed{{}}` equals the answer's."""


def make_job(kind: str, folder: Path, steps: int) -> Job:
    """Make the job of a kind, and its rows.

    Rollouts of the pocket policy end by themselves, so the learning rate is one that leaves it as
    it is: both sides then sample rollouts of the same lengths.
    """
    rows = folder / f"{kind}.jsonl"
    if kind == "sft":
        write_sums(rows, 2_000)
        return Job(kind, str(POLICY), str(rows), steps, batch=32, micro=32, learning_rate=3e-4)
    write_questions(rows)
    return Job(
        kind,
        str(POLICY),
        str(rows),
        steps,
        batch=16,
        micro=128,
        learning_rate=1e-6,
        group=8,
        longest=96,
    )


def measure(job: Job, folder: Path, turns: int, found: page.Turns) -> Iterator[page.Turns]:
    """Take turns; gives what was found so far after each side of a turn."""
    for turn in range(turns):
        for side in page.SIDES if turn % 2 == 0 else page.SIDES[::-1]:
            if side == "butwait":
                found[side].append(time_ours(job, folder, f"{job.kind}-{turn}"))
            else:
                found[side].append(time_peer(job))
            rates = page.rate(job, found[side][-1])
            told = ", ".join(f"{value:,.2f} {name}/s" for name, value in rates.items())
            print(f"{job.kind}, turn {turn + 1}, {side}: {told}", flush=True)
            yield found


def describe(job: Job, found: page.Turns, machine: str) -> str:
    """Write the part of one kind."""
    what = {"sft": SFT_SETTING, "grpo": GRPO_SETTING}[job.kind].format(job=job)
    parts = (
        f"### {job.kind.upper()}",
        page.describe_run("make bench-train", machine),
        SETTING,
        what,
        page.draw_table(job, found),
        page.describe_overhead(job, found),
    )
    return "\n\n".join(parts)


def main() -> int:
    """Measure, write the page; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", type=int, default=60, help="of SFT")
    parser.add_argument("--grpo-steps", type=int, default=8)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--no-page", action="store_true", help="print only")
    options = parser.parse_args()
    machine = page.describe_machine(os.getloadavg()[0])
    met = True
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as name:
            steps = options.steps if kind == "sft" else options.grpo_steps
            job = make_job(kind, Path(name), steps)
            found: page.Turns = {side: [] for side in page.SIDES}
            for _ in measure(job, Path(name), options.turns, found):
                pass
        met &= page.is_met(job, found)
        text = describe(job, found, machine)
        print(text)
        if not options.no_page:
            page.write_section(kind, text)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
