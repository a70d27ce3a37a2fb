"""A bounded pool of warm symbolic workers, one per concurrent caller, replaced when killed.

Works from any thread and after a fork (a forked process starts its own workers). Nothing starts
before it is needed and nothing is left behind at exit. Leaves out: any signal in the caller.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from butwait.schemas.errors import VerifierError
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.mode import Mode
from butwait.transforms.verify.worker import read_message, write_message

_START_S = 60.0
_GRACE_S = 0.15


class Worker:
    """One supervisor process and its pipes; used by one thread at a time."""

    def __init__(self) -> None:
        # One arena: memory that is set aside for threads would not count against the cap.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        environment.pop("PYTHONINSPECT", None)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "butwait.transforms.verify.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
        if not self._readable(_START_S) or (self._read() or {}).get("report") != "ready":
            self.kill()
            raise VerifierError(
                f"the symbolic worker did not start within {_START_S:.0f} s: try "
                f"`{sys.executable} -m butwait.transforms.verify.worker < /dev/null`"
            )

    def _readable(self, timeout: float) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], timeout)[0])

    def _read(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        return read_message(self.process.stdout)  # type: ignore[arg-type]

    def ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        """The reply, or a report; a worker that reports ``lost`` must be thrown away."""
        assert self.process.stdin is not None
        try:
            write_message(self.process.stdin, message)  # type: ignore[arg-type]
            if not self._readable(timeout + _GRACE_S):
                return {"report": "lost"}
            return self._read() or {"report": "lost"}
        except (OSError, ValueError):
            return {"report": "lost"}

    def kill(self) -> None:
        """End the supervisor and its child."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Close this process's ends of the pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Pool:
    """At most ``size`` workers; a caller beyond that waits its turn.

    Args:
        size: Most worker processes at once.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.n_lost = 0
        """Workers that died or were killed for overrunning, each replaced when next needed."""
        self._free: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(size)

    def compare(self, gold: str, answer: str, limits: Limits, mode: Mode) -> dict[str, Any]:
        """A worker's reply: ``result`` and ``rule``, or ``report``.

        Raises:
            VerifierError: No worker can be started.
        """
        message = {
            "gold": gold,
            "answer": answer,
            "limits": limits._asdict(),
            "mode": mode._asdict(),
        }
        with self._turns:
            left = limits.worker_s
            for _ in range(self.size + 1):
                reply, spent = self._ask(message, left)
                left -= spent
                if reply.get("report") != "died" or left <= 0:
                    break
                # Killed from outside, which says nothing about the pair: the rest of its time,
                # with another worker (all idle ones may have been killed together).
            return reply

    def _ask(self, message: dict[str, Any], timeout: float) -> tuple[dict[str, Any], float]:
        """A worker's reply and the seconds it took; ``died`` when the worker went away."""
        worker = self._take()
        start = time.monotonic()
        reply = worker.ask(message, timeout)
        spent = time.monotonic() - start
        if reply.get("report") == "lost":
            self._forget(worker)
            return {"report": "died" if spent < timeout else "timeout"}, spent
        with self._lock:
            self._free.append(worker)
        return reply, spent

    def warm(self, n: int) -> None:
        """Start up to ``n`` workers now."""
        held = [self._take() for _ in range(min(n, self.size))]
        with self._lock:
            self._free.extend(held)

    def _take(self) -> Worker:
        with self._lock:
            while self._free:
                worker = self._free.pop()
                if worker.process.poll() is None:
                    return worker
                self.n_lost += 1
                self._all.discard(worker)
                worker.close()
        worker = Worker()
        with self._lock:
            self._all.add(worker)
        return worker

    def _forget(self, worker: Worker) -> None:
        with self._lock:
            self.n_lost += 1
            self._all.discard(worker)
        worker.kill()

    def stop(self) -> None:
        """End every worker."""
        with self._lock:
            workers, self._all, self._free = list(self._all), set(), []
        for worker in workers:
            worker.kill()

    def abandon(self) -> None:
        """Close inherited pipes in a forked process; the workers belong to the parent."""
        for worker in self._all:
            worker.close()


_pool: Pool | None = None
_pool_lock = threading.Lock()


def shared_pool() -> Pool:
    """The process's pool; made on first use."""
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = Pool(max(4, os.cpu_count() or 1))
            atexit.register(stop_workers)
        return _pool


def warm_workers(n: int = 1) -> None:
    """Start symbolic workers ahead of the first check that needs one.

    Raises:
        VerifierError: A worker does not start.
    """
    shared_pool().warm(n)


def stop_workers() -> None:
    """End all symbolic workers of this process; the next check that needs one starts anew."""
    global _pool
    with _pool_lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.stop()


def _after_fork() -> None:
    global _pool, _pool_lock
    pool, _pool = _pool, None
    _pool_lock = threading.Lock()
    if pool is not None:
        pool.abandon()


os.register_at_fork(after_in_child=_after_fork)
