"""A symbolic worker: a supervisor that forks a child with sympy loaded and kills it in time.

Started as ``python -m butwait.transforms.verify.worker`` with length-prefixed JSON on standard
input and output, so it never imports the caller's main module. The child dies with its pipe; its
address space and processor time are limited by the kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

Message = dict[str, Any]
_MOST_BYTES = 1_000_000


def write_message(pipe: BinaryIO, message: Message) -> None:
    """One message: four bytes of length, then JSON."""
    data = json.dumps(message).encode()
    pipe.write(struct.pack(">I", len(data)) + data)
    pipe.flush()


def read_message(pipe: BinaryIO) -> Message | None:
    """The next message, or None at the end of the pipe."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    if size > _MOST_BYTES:
        return None
    data = pipe.read(size)
    return json.loads(data) if len(data) == size else None


class Child:
    """The forked process that computes; replaced when it is killed."""

    def __init__(self) -> None:
        down_read, down_write = os.pipe()
        up_read, up_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(down_write)
            os.close(up_read)
            _compute(os.fdopen(down_read, "rb"), os.fdopen(up_write, "wb"))
            os._exit(0)
        os.close(down_read)
        os.close(up_write)
        self.down = os.fdopen(down_write, "wb")
        self.up = os.fdopen(up_read, "rb")

    def ask(self, message: Message) -> Message:
        """The child's answer, or a timeout or error report."""
        deadline = time.monotonic() + float(message["limits"]["worker_s"])
        try:
            write_message(self.down, message)
            while True:
                left = deadline - time.monotonic()
                answer = self.up.fileno()
                ready = select.select([answer, 0], [], [], max(left, 0))[0]
                if answer in ready:
                    return read_message(self.up) or {"report": "died"}
                if 0 in ready:
                    # The caller sends nothing while it waits: readable means it has gone.
                    return {"report": "gone"}
                if left <= 0:
                    return {"report": "timeout"}
        except OSError:
            return {"report": "died"}

    def kill(self) -> None:
        """End the child and reap it."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        for pipe in (self.down, self.up):
            with contextlib.suppress(OSError):
                pipe.close()


def _compute(requests: BinaryIO, answers: BinaryIO) -> None:
    from butwait.transforms.verify.staged import compare_symbolically

    while (message := read_message(requests)) is not None:
        limit_resources(message["limits"])
        try:
            result, rule = compare_symbolically(message)
            write_message(answers, {"result": result, "rule": rule})
        except MemoryError:
            write_message(answers, {"report": "memory"})
        except Exception as problem:  # noqa: BLE001 - the report carries it to the caller
            write_message(answers, {"report": f"{type(problem).__name__}: {problem}"[:300]})


def limit_resources(limits: Message) -> None:
    """Cap address space above today's, and processor time of this request."""
    try:
        with open("/proc/self/statm") as pages:  # noqa: PTH123 - no pathlib in the hot child
            used = int(pages.read().split()[0]) * resource.getpagesize()
        cap = used + int(limits["memory_mb"]) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (cap, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        pass
    try:
        spent = time.process_time() + float(limits["worker_s"]) + 2
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + 1, hard))
    except (OSError, ValueError):
        pass


def _caller_is_gone() -> bool:
    """Whether the other end of standard input is closed and nothing is left to read."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    return any(event & select.POLLHUP and not event & select.POLLIN for _, event in poll.poll(0))


@contextlib.contextmanager
def _watching_caller() -> Iterator[None]:
    """End this process when its caller ends while it starts: nobody will ask it anything.

    Importing sympy takes seconds on a busy machine. The thread is over before the first fork.
    """
    started = threading.Event()

    def watch() -> None:
        while not started.wait(0.1):
            if _caller_is_gone():
                os._exit(0)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        started.set()
        watcher.join()


def _prime() -> None:
    """Run the common simplifications once, so that no answer pays for sympy's lazy imports."""
    from butwait.transforms.verify.staged import compare_symbolically

    limits = {"worker_s": 5.0}
    for gold, answer in (
        ("\\cos 2x", "2\\cos^2 x-1"),
        ("\\arctan 2+\\arctan 3", "\\frac{3\\pi}{4}"),
        ("\\sqrt{3+2\\sqrt2}", "1+\\sqrt2"),
        ("n!", "n(n-1)!"),
    ):
        compare_symbolically({"gold": gold, "answer": answer, "limits": limits})


def serve() -> None:
    """Answer requests until standard input closes."""
    with _watching_caller():
        # Loaded once, before the first fork: every child has it for nothing.
        import butwait.transforms.verify.staged
        import butwait.transforms.verify.symbolic  # noqa: F401

        _prime()
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints can damage the protocol
    child = Child()
    write_message(answers, {"report": "ready"})
    try:
        while (message := read_message(requests)) is not None:
            reply = child.ask(message)
            # Answered first: the caller does not wait for the clean-up.
            write_message(answers, reply)
            if "report" in reply:
                child.kill()
                child = Child()
    except BrokenPipeError:
        pass
    finally:
        child.kill()


if __name__ == "__main__":
    serve()
