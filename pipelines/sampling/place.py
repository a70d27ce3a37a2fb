"""One of a client's servers: closed to requests while it is down, watched while it is busy.

After ``pause_after`` failures in a row, or one refused connection, a place closes: requests wait or
go elsewhere and spend no attempt, while one look at a time is taken at the server, with growing
pauses. A look that finds it up opens it, and so does the answer to a request that was still open.
While requests are open and none was answered for ``stall_s``, somebody looks whether tokens move;
where none does, all open requests are dropped, to be asked again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from butwait.pipelines.sampling.attempt import Connection, PassingError
from butwait.pipelines.sampling.look import Look, Proof, look_at
from butwait.pipelines.sampling.patience import Patience
from butwait.schemas.errors import RequestRefused

T = TypeVar("T")
MAX_PAUSE_S = 30.0
N_FAILING = 3
"""Looks in a row that met errors before a server counts as stuck."""


@dataclass(frozen=True)
class Ties:
    """Who is told what."""

    changed: Callable[[], None]
    """Told when the place opened or closed."""
    say: Callable[[str], None]
    """Told in one line what a person should know."""
    stuck: Callable[[str], None]
    """Told why a server whose engine is stuck should be started again."""


class Place:
    """A server with its connections, in one event loop.

    Args:
        url: Base URL without ``/v1``.
        patience: Limits.
        ties: Who is told what.
        model: Served name that it must list to be taken back.
        proof: What only a working engine answers; None: the first request that was answered.
        api_key: Sent as a bearer token, never shown.
    """

    def __init__(
        self,
        url: str,
        patience: Patience,
        ties: Ties,
        *,
        model: str | None = None,
        proof: Proof | None = None,
        api_key: str | None = None,
    ) -> None:
        self.url = url
        self.last_seen = ""
        self._connection = Connection(url, patience.request_timeout_s, api_key)
        self._model = model
        self._proof = proof
        self._patience = patience
        self._ties = ties
        self._loop = asyncio.get_running_loop()
        self._jitter = random.Random()
        self._n_failures = 0
        self._n_looks = 0
        self._closed_at: float | None = None
        self._closed_before_s = 0.0
        self._moved_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether requests must wait."""
        return self._closed_at is not None

    @property
    def n_open(self) -> int:
        """Requests that wait for their reply."""
        return self._connection.n_open

    @property
    def down_s(self) -> float:
        """Seconds for which it was closed since it last answered a request; 0 where it is open."""
        if self._closed_at is None:
            return 0.0
        return self._closed_before_s + self._loop.time() - self._closed_at

    async def abandon(self) -> None:
        """Let go of the connections of another event loop."""
        await self._connection.abandon()

    async def end(self) -> None:
        """Stop watching and close the connections."""
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._connection.close()

    async def ask(self, path: str, payload: dict[str, Any], read: Callable[[object], T]) -> T:
        """Ask once.

        Raises:
            RequestRefused: The server says no.
            PassingError: Something that another attempt may cure.
        """
        self._watch()
        try:
            answer = await self._connection.ask(path, payload, read)
        except PassingError as failure:
            self._note_failure(failure)
            raise
        except RequestRefused:
            self._note_answer()
            raise
        if self._proof is None and path != "/tokenize":
            self._proof = (path, payload)
        self._note_answer()
        return answer

    def _note_answer(self) -> None:
        self._moved_at = self._loop.time()
        self._n_failures = self._n_looks = 0
        self._open()
        self._closed_before_s = 0.0

    def _note_failure(self, failure: PassingError) -> None:
        if not failure.is_servers:
            return
        self.last_seen = failure.refusal.detail
        self._n_failures += 1
        if failure.is_certain or self._n_failures >= self._patience.pause_after:
            self._close()

    def _close(self) -> None:
        if self._closed_at is not None:
            return
        self._closed_at = self._loop.time()
        self._ties.changed()
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._look_until_open())

    def _open(self) -> None:
        if self._closed_at is None:
            return
        self._closed_before_s += self._loop.time() - self._closed_at
        self._closed_at = None
        self._n_failures = 0
        self._moved_at = self._loop.time()
        self._ties.changed()

    async def _look_until_open(self) -> None:
        """Look, pause, look again; pauses go on growing until a request is answered."""
        has_said = False
        while self.is_closed:
            if self._n_looks:
                await asyncio.sleep(self._choose_pause())
            self._n_looks += 1
            look = await self._look()
            if look.state == "up":
                self._open()
            elif self.is_closed:
                self._bear(look)
                if not has_said:
                    has_said = True
                    self._ties.say(f"{self.url} is down: {look.seen}")
        if has_said:
            self._ties.say(f"{self.url} answers again")

    def _choose_pause(self) -> float:
        grown = self._patience.pause_s * 2.0 ** min(self._n_looks - 1, 20)
        return min(MAX_PAUSE_S, grown) * self._jitter.uniform(0.5, 1.0)

    async def _look(self) -> Look:
        """Look once; as long for a token as a request may take."""
        limit_s = min(self._patience.stall_s, self._patience.request_timeout_s)
        return await look_at(self._connection, self._model, self._proof, limit_s)

    def _bear(self, look: Look) -> None:
        """Take note of a look that found the server down."""
        self.last_seen = look.seen
        if look.state == "stuck":
            self._connection.drop(f"no token moved ({look.seen})")
        if look.state == "stuck" or (look.state == "failing" and self._n_looks >= N_FAILING):
            self._ties.stuck(look.seen)

    def _watch(self) -> None:
        """Have a timer that looks at the open requests while there are any."""
        if self._connection.n_open == 0:
            self._moved_at = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience.stall_s / 4, self._check_moves)

    def _check_moves(self) -> None:
        self._timer = None
        if self._connection.n_open == 0:
            return
        is_late = self._loop.time() - self._moved_at >= self._patience.stall_s
        if is_late and self.is_closed:
            self._connection.drop(f"no reply for {self._patience.stall_s:g} s, {self.last_seen}")
        elif is_late and (self._looking is None or self._looking.done()):
            self._looking = self._loop.create_task(self._judge())
        self._watch()

    async def _judge(self) -> None:
        """Look at a server that answered nothing for long; close it where no token moves."""
        await self._judge_once()
        if self.is_closed:  # by this look, or by failures meanwhile: somebody must look on
            self._looking = self._loop.create_task(self._look_until_open())

    async def _judge_once(self) -> None:
        moved_at = self._moved_at
        look = await self._look()
        if self._moved_at > moved_at or self._connection.n_open == 0:
            return
        if look.state in ("up", "failing"):  # errors to requests are counted where they arrive
            self._moved_at = self._loop.time()
            return
        self._connection.drop(f"no token moved ({look.seen})")
        self._bear(look)
        self._close()
