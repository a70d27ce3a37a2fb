"""Metrics of a run: a line of JSON each for the file, one every few seconds for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from butwait.trainer.folder import TrainFolder


class MetricsFile(TrainerCallback):  # type: ignore[misc]
    """Writes each line of metrics to ``metrics.jsonl`` and says how far the run is.

    Args:
        folder: The run's.
        say: Prints a line for people.
        count: Samples seen after some steps.
    """

    def __init__(
        self, folder: TrainFolder, say: Callable[[str], None], count: Callable[[int], int]
    ) -> None:
        self._folder = folder
        self._say = say
        self._count = count
        self._clock = Clock()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Cut what an interrupted run wrote after the checkpoint that goes on."""
        if state.is_world_process_zero:
            self._folder.cut_metrics(state.global_step)
        self._clock.start(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Write the line."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        line = {"step": state.global_step, "samples": self._count(state.global_step), **logs}
        self._folder.add_metrics(line)
        if self._clock.is_due(state.global_step, state.max_steps):
            self._say(describe_progress(line, state.max_steps, self._clock))


class Clock:
    """Time since the start, and when the next line for people is due."""

    def start(self, step: int) -> None:
        """Begin at a step."""
        self._now = time.monotonic
        self._start_s, self._start_step = self._now(), step
        self._next_s = 0.0

    def is_due(self, step: int, n_steps: int, every_s: float = 5.0) -> bool:
        """Whether a line should be printed: every few seconds, and at the end."""
        passed = self._now() - self._start_s
        if passed < self._next_s and step < n_steps:
            return False
        self._next_s = passed + every_s
        return True

    def remain_s(self, step: int, n_steps: int) -> float:
        """Estimate the seconds that are left."""
        done = max(step - self._start_step, 1)
        return (self._now() - self._start_s) / done * (n_steps - step)


def describe_progress(line: dict[str, Any], n_steps: int, clock: Clock) -> str:
    """Write one line of progress."""
    step = line["step"]
    shown = [f"step {step}/{n_steps}", f"{line['samples']} samples"]
    for name, title in (("loss", "loss"), ("reward", "reward"), ("learning_rate", "lr")):
        if line.get(name) is not None:  # TRL has no reward for a step that is left out whole
            shown.append(f"{title} {float(line[name]):.4g}")
    left = clock.remain_s(step, n_steps)
    return " · ".join([*shown, f"{left / 60:.1f} min left" if left > 90 else f"{left:.0f} s left"])
