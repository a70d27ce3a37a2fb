"""Two servers started at the same time: each spends most of its start on one core.

Left out: more than two, and a start that can be called off half way (it is ended as soon as it is
up; a managed server also ends with the driver's process).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
_LOOK_EVERY_S = 0.2  # a join without a limit would not see Ctrl-C


class _Opening(Generic[B]):
    """A context that is entered in a thread of its own."""

    def __init__(self, context: AbstractContextManager[B]) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._value: list[B] = []
        self._error: BaseException | None = None
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._enter, name="second server", daemon=True)
        self._thread.start()

    def wait(self) -> B:
        """Wait until it is entered.

        Raises:
            BaseException: Whatever entering raised.
        """
        while self._thread.is_alive():
            self._thread.join(_LOOK_EVERY_S)
        if self._error is not None:
            raise self._error
        return self._value[0]

    def leave(self) -> None:
        """Leave it if it was entered, or as soon as it is."""
        with self._lock:
            self._is_abandoned = True
            is_entered = bool(self._value)
        if is_entered:
            self._context.__exit__(*sys.exc_info())

    def _enter(self) -> None:
        try:
            value = self._context.__enter__()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
            return
        with self._lock:
            if not self._is_abandoned:
                self._value.append(value)
                return
        self._context.__exit__(None, None, None)


@contextmanager
def open_together(
    first: AbstractContextManager[A], second: AbstractContextManager[B]
) -> Iterator[tuple[A, B]]:
    """Enter two contexts at the same time, leave them one after the other.

    Yields:
        What both yield.

    Raises:
        BaseException: Whatever entering either raised; the other one is left.
    """
    opening = _Opening(second)
    try:
        with first as one:
            yield one, opening.wait()
    finally:
        opening.leave()
