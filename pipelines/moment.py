"""What many ask for within one moment is answered by one call: a query, a transaction, a thread.

Left out: bounds on how much one call is given (the askers are bounded by the requests in flight)
and order among moments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Moment(Generic[Q, A]):
    """Gathers items for one call, of one event loop at a time.

    An item is answered also where its asker was cancelled meanwhile: what was paid for is kept.

    Args:
        answer: Answers items, one answer an item in order; what it raises is raised to all.
        pause_s: How long a moment lasts; 0: until all tasks that are ready have asked.
        in_thread: Whether to call it off the event loop.
    """

    def __init__(
        self,
        answer: Callable[[list[Q]], list[A]],
        *,
        pause_s: float = 0.0,
        in_thread: bool = False,
    ) -> None:
        self._answer = answer
        self._pause_s = pause_s
        self._in_thread = in_thread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []

    async def ask(self, item: Q) -> A:
        """Answer one item.

        Raises:
            Exception: What ``answer`` raised.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._waiting = loop, []
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) == 1 and self._pause_s:
            loop.call_later(self._pause_s, self._end)
        elif len(self._waiting) == 1:
            loop.call_soon(self._end)
        return await future

    def _end(self) -> None:
        """Call once for all who have asked."""
        waiting, self._waiting = self._waiting, []
        items = [item for item, _ in waiting]
        futures = [future for _, future in waiting]
        if self._in_thread:
            assert self._loop is not None
            called = self._loop.run_in_executor(None, self._answer, items)
            called.add_done_callback(lambda done: _tell(futures, done.result))
        else:
            _tell(futures, lambda: self._answer(items))


def _tell(futures: list[asyncio.Future[A]], read: Callable[[], list[A]]) -> None:
    """Give every asker its answer, or all of them the error."""
    try:
        answers = read()
    except Exception as error:  # noqa: BLE001 - raised again where it is waited for
        for future in futures:
            if not future.done():
                future.set_exception(error)
        return
    except asyncio.CancelledError:
        for future in futures:
            future.cancel()
        return
    for future, answer in zip(futures, answers, strict=True):
        if not future.done():
            future.set_result(answer)
