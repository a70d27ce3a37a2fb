"""Many small questions to a server, gathered into few large requests.

A request of 64 texts costs a server's front end little more than a request of one. Items wait in a
queue for each group (a question of the dataset). A batch takes all that the first group has, then
the next group's: who needs all answers of a group to go on (a search that resamples) has them from
one or two requests, and groups go on at different times. Dealt out one item a group, all groups
would end their round with the last request, and the server would run dry at the end of each round.
A group that filled a batch alone goes to the end of the line, so hundreds of items do not hold up
the others. Left out: retries (``send`` has its own), joining equal items, and more than one event
loop at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from butwait.schemas.errors import RequestRefused

Q = TypeVar("Q")
A = TypeVar("A")
MAX_TURNS = 8
"""Turns of the event loop that are waited for while each brings further items."""
LINGER_S = 0.005
"""Longest wait of a batch that is not full while the server has other requests to work on."""


@dataclass(eq=False)
class _Place(Generic[Q, A]):
    """An item that waits, and who waits for its answer."""

    item: Q
    answer: asyncio.Future[A]
    batch: _Batch[Q, A] | None = None


@dataclass(eq=False)
class _Batch(Generic[Q, A]):
    """Items that travel in one request."""

    places: list[_Place[Q, A]]
    n_awaited: int
    task: asyncio.Task[None] | None = field(default=None)


class Gather(Generic[Q, A]):
    """Asks for single items, sends batches.

    A full batch goes as soon as a slot is free. A smaller one goes at once where no request is
    open (after all tasks that are ready have asked), and otherwise waits ``linger_s`` for company:
    the server is busy meanwhile, and what a reply sets free asks again within that time.

    Args:
        send: Answers a batch, one answer an item in order; a ``RequestRefused`` among the answers
            is raised to the asker of that item alone, an exception raised to all of the batch.
        max_batch: Items a request.
        max_in_flight: Requests open at once.
        linger_s: Longest wait for company, in seconds.
    """

    def __init__(
        self,
        send: Callable[[list[Q]], Awaitable[list[A | RequestRefused]]],
        *,
        max_batch: int,
        max_in_flight: int,
        linger_s: float = LINGER_S,
    ) -> None:
        if max_batch < 1 or max_in_flight < 1:
            raise ValueError(f"max_batch {max_batch}, max_in_flight {max_in_flight}: at least 1")
        self._send = send
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._linger_s = linger_s
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ask(self, group: str, item: Q) -> A:
        """Answer one item.

        Args:
            group: Who is served together.
            item: What ``send`` is given.

        Raises:
            RequestRefused: ``send`` refused this item.
        """
        self._open_in_loop()
        assert self._loop is not None
        place: _Place[Q, A] = _Place(item, self._loop.create_future())
        self._queues.setdefault(group, deque()).append(place)
        self._n_pending += 1
        self._n_asked += 1
        self._wake()
        try:
            return await place.answer
        except asyncio.CancelledError:
            self._leave(place)
            raise

    async def close(self) -> None:
        """Drop what waits and end what is open; their askers are cancelled."""
        if self._loop is not asyncio.get_running_loop():
            return
        for queue in self._queues.values():
            for place in queue:
                place.answer.cancel()
        self._forget_queues()
        tasks = [batch.task for batch in self._open if batch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open_in_loop(self) -> None:
        """Start afresh in a new event loop; what waited in the old one ended with it."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._queues: OrderedDict[str, deque[_Place[Q, A]]] = OrderedDict()
        self._open: set[_Batch[Q, A]] = set()
        self._n_pending = 0
        self._n_asked = 0
        self._is_waking = False
        self._timer: asyncio.TimerHandle | None = None

    def _wake(self) -> None:
        """Look at the queues once the tasks that are ready now have asked."""
        if not self._is_waking and self._n_pending:
            self._is_waking = True
            self._soon(MAX_TURNS)

    def _soon(self, n_turns: int) -> None:
        assert self._loop is not None
        self._loop.call_soon(self._settle, n_turns, self._n_asked)

    def _settle(self, n_turns: int, n_asked: int) -> None:
        """Wait on while every turn of the loop brings further items."""
        is_growing = n_turns == MAX_TURNS or self._n_asked > n_asked
        if is_growing and n_turns > 0 and self._n_pending < self._max_batch:
            self._soon(n_turns - 1)
            return
        self._is_waking = False
        self._fill_slots()

    def _fill_slots(self) -> None:
        """Send full batches into free slots, and a smaller one where the server is idle."""
        while self._queues and len(self._open) < self._max_in_flight:
            if self._n_pending < self._max_batch and self._open:
                self._start_timer()
                return
            self._launch()

    def _start_timer(self) -> None:
        assert self._loop is not None
        if self._timer is None:
            self._timer = self._loop.call_later(self._linger_s, self._end_wait)

    def _end_wait(self) -> None:
        """Send what has waited for company long enough."""
        self._timer = None
        if self._queues and len(self._open) < self._max_in_flight:
            self._launch()
        self._fill_slots()

    def _launch(self) -> None:
        assert self._loop is not None
        places = self._take()
        if not places:  # all that waited were cancelled a moment ago
            return
        batch = _Batch(places, n_awaited=len(places))
        for place in places:
            place.batch = batch
        self._open.add(batch)
        batch.task = self._loop.create_task(self._run(batch))
        batch.task.add_done_callback(lambda _: self._finish(batch))

    def _take(self) -> list[_Place[Q, A]]:
        """Take a batch's items, group after group."""
        taken: list[_Place[Q, A]] = []
        while self._queues and len(taken) < self._max_batch:
            group, queue = next(iter(self._queues.items()))
            is_first = not taken
            while queue and len(taken) < self._max_batch:
                place = queue.popleft()
                if not place.answer.done():
                    taken.append(place)
            if not queue:
                del self._queues[group]
            elif is_first:
                self._queues.move_to_end(group)
        self._n_pending -= len(taken)
        return taken

    async def _run(self, batch: _Batch[Q, A]) -> None:
        """Send a batch and hand out its answers."""
        try:
            answers = await self._send([place.item for place in batch.places])
            if len(answers) != len(batch.places):
                what = f"{len(answers)} answers to {len(batch.places)} items"
                raise RuntimeError(f"send returned {what}")
        except Exception as error:  # noqa: BLE001 (whatever it is, the askers must hear of it)
            for place in batch.places:
                _hand_out(place.answer, error)
            return
        for place, answer in zip(batch.places, answers, strict=True):
            _hand_out(place.answer, answer)

    def _finish(self, batch: _Batch[Q, A]) -> None:
        """Free the slot of a batch; whoever still waits (it was cancelled) is cancelled too."""
        self._open.discard(batch)
        for place in batch.places:
            place.answer.cancel()
        self._wake()

    def _leave(self, place: _Place[Q, A]) -> None:
        """Forget an asker that was cancelled; a request that nobody awaits is given up."""
        if place.answer.done() and not place.answer.cancelled():
            place.answer.exception()  # else the loop complains that nobody looked at it
            return
        place.answer.cancel()
        if place.batch is None:
            self._n_pending -= 1
            if self._n_pending <= 0:
                self._forget_queues()
            return
        place.batch.n_awaited -= 1
        if place.batch.n_awaited == 0 and place.batch.task is not None:
            place.batch.task.cancel()

    def _forget_queues(self) -> None:
        self._queues.clear()
        self._n_pending = 0


def _hand_out(future: asyncio.Future[A], answer: A | Exception) -> None:
    """Give one asker an answer or an error, where it still waits."""
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
