"""Run a server that cannot outlive the build: ``python supervise.py <command ...>``.

Standard library only and never imported by the rest: it runs as a file of its own, as the leader of
the server's process group. It ends the whole group when its standard input closes or its parent is
gone (also by SIGKILL), and when the server's first process ends, because vLLM's engine process
survives the death of its API server. A parent-death signal would not do: it follows the thread that
started the process, not the process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

GRACE_S = {signal.SIGINT: 10.0, signal.SIGTERM: 5.0}
"""How long each signal may take before the next, sterner one."""
LOOK_EVERY_S = 0.5


def supervise(command: list[str], parent: int) -> int:
    """Run a command until it ends or the parent does; returns its exit status."""
    for number in GRACE_S:
        signal.signal(number, _ignore)  # the group's signals are for the server, not for us
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    watched = [sys.stdin]
    while server.poll() is None:
        readable, _, _ = select.select(watched, [], [], LOOK_EVERY_S)
        if os.getppid() != parent or (readable and not os.read(sys.stdin.fileno(), 1)):
            _end_group(server.poll)
    _signal_group(signal.SIGTERM)
    time.sleep(0.2)
    return server.returncode


def _end_group(poll: Callable[[], int | None]) -> None:
    """Ask the group to end, then force it: the last signal ends this process too."""
    for number, grace_s in GRACE_S.items():
        _signal_group(number)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and poll() is None:
            time.sleep(0.05)
    _signal_group(signal.SIGKILL)


def _signal_group(number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(0, number)


def _ignore(*_: object) -> None:
    """Leave a signal to the server."""


if __name__ == "__main__":
    status = supervise(sys.argv[2:], int(sys.argv[1]))
    sys.exit(status if status >= 0 else 128 - status)
