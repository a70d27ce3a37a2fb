"""A fresh process for each side."""

from __future__ import annotations

import os
import subprocess

from benchmarks.train.jobs import ROOT


def run(command: list[str]) -> str:
    """Run a command on one thread and return what it printed."""
    env = {"OMP_NUM_THREADS": "1"} | {**os.environ}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[:4]} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    return done.stdout
