"""A value that several ask for at the same time is made once, and the last ones are remembered.

Left out: expiry by time (what is remembered here never changes) and errors, which are not kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(eq=False)
class _Making(Generic[V]):
    """A value under way, and how many wait for it."""

    task: asyncio.Task[V]
    n_waiting: int = 0


class Once(Generic[K, V]):
    """Values by key, made by coroutines.

    Args:
        size: Values that are remembered, the last used ones; 0: none, only joins who asks at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[K, V] = OrderedDict()
        self._makings: dict[K, _Making[V]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def find(self, key: K) -> V | None:
        """Return the value of a key that is known; None where it is not."""
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    async def get(self, key: K, make: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the value of a key.

        Args:
            key: Names the value.
            make: Makes it; called only where it is neither known nor under way. It goes on when the
                asker is cancelled and others wait.

        Raises:
            Exception: Whatever ``make`` raised, to all who waited.
        """
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        making = self._join(key, make)
        making.n_waiting += 1
        try:
            return await asyncio.shield(making.task)
        finally:
            making.n_waiting -= 1
            if making.n_waiting == 0:
                self._forget(key, making)
                making.task.cancel()  # does nothing where it has ended

    def is_under_way(self, key: K) -> bool:
        """Tell whether somebody waits for this value already."""
        making = self._makings.get(key)
        return making is not None and self._loop is asyncio.get_running_loop()

    def _join(self, key: K, make: Callable[[], Coroutine[Any, Any, V]]) -> _Making[V]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._makings.clear()
        making = self._makings.get(key)
        if making is not None:
            return making
        making = self._makings[key] = _Making(loop.create_task(make()))
        making.task.add_done_callback(lambda task: self._remember(key, task))
        return making

    def _remember(self, key: K, task: asyncio.Task[V]) -> None:
        if task.cancelled() or task.exception() is not None or self._size == 0:
            return
        self._known[key] = task.result()
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def _forget(self, key: K, making: _Making[V]) -> None:
        if self._makings.get(key) is making:
            del self._makings[key]
