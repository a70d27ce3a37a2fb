"""Carry a worker's own error to the driver, whatever the Beam runner makes of exceptions.

Runners rewrap, annotate or stringify what a worker raises. A worker therefore also writes its error
to a file, and the driver raises that one: a person sees one line with the right exit code.
"""

from __future__ import annotations

import json
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from butwait.pipelines.places import AnyPath, files_in
from butwait.pipelines.tables import write_text
from butwait.schemas import errors
from butwait.schemas.errors import ButwaitError


class WorkerError(ButwaitError):
    """A worker's error, with its own message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def reported(folder: AnyPath) -> Iterator[None]:
    """Write a ``ButwaitError`` that leaves the block to a folder, and let it go on."""
    try:
        yield
    except ButwaitError as error:
        known = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
        content = {
            "type": known.__name__,
            "message": str(error),
            "exit_code": error.exit_code,
        }
        # Where not even this can be written, the runner's own words have to do.
        with suppress(ButwaitError):
            write_text(folder / f"failure-{uuid.uuid4().hex}.txt", json.dumps(content))
        raise


@contextmanager
def raised_here(folder: AnyPath) -> Iterator[None]:
    """Raise the error that a worker reported instead of what the runner made of it.

    Ctrl-C stays Ctrl-C: a runner that works in the main thread turns it into an error of its own.
    """
    interrupts: list[int] = []

    def note(number: int, frame: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, note) if is_main else None
    try:
        yield
    except Exception as error:
        if interrupts:
            raise KeyboardInterrupt from error
        for path in files_in(folder, "failure-*.txt"):
            content = json.loads(path.read_text(encoding="utf-8"))
            known = getattr(errors, content["type"], None)
            if known in (errors.SamplerError, errors.SourceError, errors.ConfigError):
                raise known(content["message"]) from error
            raise WorkerError(content["message"], content["exit_code"]) from error
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
