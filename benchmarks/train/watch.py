"""What a GPU does during the loop of a training, the same for both sides."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from benchmarks.train.jobs import WARM_UP

EVERY_S = 0.5


class GpuWatch(TrainerCallback):  # type: ignore[misc]
    """Times the loop without its first steps, and samples the GPU meanwhile.

    Args:
        path: Gets ``seconds``, ``utilisation`` (mean share of the time in which a kernel ran),
            ``device_bytes`` (highest use of the GPU by everything on it) and ``tensor_bytes``
            (highest sum of this process's tensors, first steps included).
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._done = threading.Event()
        self._samples: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock after the first steps."""
        if state.global_step != WARM_UP or self._thread.is_alive():
            return
        _finish_kernels()
        self._start_s = time.perf_counter()
        self._thread.start()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop, and write."""
        _finish_kernels()
        seconds = time.perf_counter() - self._start_s
        self._done.set()
        self._thread.join()
        busy = [share for share, _ in self._samples]
        found = {
            "seconds": seconds,
            "utilisation": sum(busy) / len(busy) / 100 if busy else None,
            "device_bytes": max((used for _, used in self._samples), default=None),
            "tensor_bytes": _peak_bytes(),
        }
        self._path.write_text(json.dumps(found), "utf-8")

    def _sample(self) -> None:
        try:
            import pynvml
        except ImportError:
            return  # a rehearsal without a GPU
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        while not self._done.wait(EVERY_S):
            used = int(pynvml.nvmlDeviceGetMemoryInfo(gpu).used)
            self._samples.append((int(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu), used))


def _finish_kernels() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak_bytes() -> int | None:
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
