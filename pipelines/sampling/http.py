"""Ask servers over HTTP until there is an answer, a refusal, or no attempt left.

What fails in passing (408, 429 with its ``Retry-After``, 5xx, a broken connection, a stall, cut
JSON) is asked again after a pause, at the server with the fewest requests open. While no server is
up, requests wait without spending attempts, until one is or the outage has lasted too long. Left
out: what is asked and how a reply is read, which is the caller's, and how many requests are open at
once.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from butwait.pipelines.sampling.attempt import PassingError
from butwait.pipelines.sampling.look import Proof
from butwait.pipelines.sampling.patience import Patience
from butwait.pipelines.sampling.place import MAX_PAUSE_S, Place, Ties
from butwait.pipelines.sampling.refusals import ServerGone
from butwait.schemas.errors import RequestRefused

T = TypeVar("T")
MAX_RETRY_AFTER_S = 120.0
SAY_EVERY_S = 10.0
TICK_S = 0.5
"""How often waiting requests ask whether the wait is over."""


def report_no_death() -> str | None:
    """Answer for a server that somebody else runs: not known to be dead."""
    return None


def leave_alone(why: str) -> None:
    """Leave a stuck server that somebody else runs to them."""


def say_on_stderr(line: str) -> None:
    """Tell a person, from whatever process this is."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


class Asker:
    """Requests to one server, or to several of one model; outlives event loops.

    Args:
        urls: Base URLs without ``/v1``.
        patience: Limits and retries.
        api_key: Sent as a bearer token, never shown.
        find_death: Says how a server that we run ended for good, or None; asked around every
            attempt.
        report_stuck: Told why a server that we run should be started again.
        model: Served name that a server must list to be taken back after an outage.
        proof: A small request that only a working engine answers; None: the first that was.
        say: Told in one line what a person who waits should know.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        api_key: str | None = None,
        find_death: Callable[[], str | None] = report_no_death,
        report_stuck: Callable[[str], None] = leave_alone,
        model: str | None = None,
        proof: Proof | None = None,
        say: Callable[[str], None] = say_on_stderr,
    ) -> None:
        self._urls = tuple(urls)
        self._patience = patience
        self._find_death = find_death
        self._say = say
        self._gone: str | None = None
        self._jitter = random.Random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places: list[Place] = []
        ties = Ties(changed=self._note_change, say=say, stuck=report_stuck)
        self._make_place: Callable[[str], Place] = lambda url: Place(
            url, patience, ties, model=model, proof=proof, api_key=api_key
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._loop is asyncio.get_running_loop():
            self._end_wait()
            for place in self._places:
                await place.end()
            self._places = []
        self._loop = None

    async def _open(self) -> None:
        """Have places that belong to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._usable = asyncio.Event()
        self._usable.set()
        self._ticker: asyncio.TimerHandle | None = None
        self._waits_since = self._said_at = 0.0
        left, self._places = self._places, [self._make_place(url) for url in self._urls]
        for place in left:
            await place.abandon()

    async def ask(self, path: str, payload: dict[str, Any], read: Callable[[object], T]) -> T:
        """Ask until there is an answer, a refusal, or no attempt left.

        A refused connection spends no attempt: the request never left.

        Args:
            path: Endpoint below the base URL.
            payload: Sent as JSON.
            read: Reads the parsed reply; a ``bad_reply`` that it raises is worth another attempt.

        Raises:
            RequestRefused: This request has no answer; others may have.
            ServerGone: No server is left; every further request fails as well.
        """
        if self._loop is not asyncio.get_running_loop():
            await self._open()
        n_failed = 0
        while True:
            place = await self._choose_place()
            try:
                return await place.ask(path, payload, read)
            except PassingError as failure:
                self.check()
                if failure.kind == "refused":
                    continue
                n_failed += 1
                if n_failed > self._patience.n_retries:
                    detail = f"{failure.refusal.detail} ({n_failed} attempts)"
                    raise RequestRefused(failure.refusal.reason, detail) from failure
                pause_s = self._choose_pause(n_failed - 1, failure.after_s)
            await asyncio.sleep(pause_s)

    def check(self) -> None:
        """Raise ServerGone where no server is left."""
        self._gone = self._gone or self._find_death()
        if self._gone:
            raise ServerGone(self._gone)

    async def _choose_place(self) -> Place:
        """Choose the open server with the fewest requests, once there is one."""
        while True:
            self.check()
            usable = [place for place in self._places if not place.is_closed]
            if usable:
                return min(usable, key=lambda place: place.n_open)
            await self._usable.wait()

    def _note_change(self) -> None:
        """Let requests wait while every server is closed, and go when one is not."""
        if not all(place.is_closed for place in self._places):
            self._end_wait()
            self._usable.set()
        elif self._usable.is_set():
            assert self._loop is not None
            self._usable.clear()
            self._waits_since = self._said_at = self._loop.time()
            self._tick()

    def _end_wait(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    def _tick(self) -> None:
        """Look whether the wait should end without a server; say that it goes on."""
        assert self._loop is not None
        self._gone = self._gone or self._find_death() or self._tell_outage()
        if self._gone:
            self._usable.set()  # whoever waits finds out that there is none
            return
        now = self._loop.time()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            since = f"{now - self._waits_since:.0f} s of at most {self._patience.outage_s:g}"
            self._say(f"waiting for {self._name_all()}, {since}: {self._places[0].last_seen}")
        self._ticker = self._loop.call_later(min(TICK_S, self._patience.outage_s / 4), self._tick)

    def _tell_outage(self) -> str | None:
        """Tell of an outage that has lasted too long; None while it may pass."""
        down_s = min(place.down_s for place in self._places)
        if down_s < self._patience.outage_s:
            return None
        return (
            f"nobody answers at {self._name_all()} for {self._patience.outage_s:g} s "
            f"({self._places[0].last_seen}); is the server still running? finished questions are "
            "kept: start it and run the build again"
        )

    def _name_all(self) -> str:
        return ", ".join(self._urls)

    def _choose_pause(self, attempt: int, after_s: float) -> float:
        """Choose seconds to wait: what the server asked for, else doubling with jitter."""
        grown = min(MAX_PAUSE_S, self._patience.pause_s * 2.0 ** min(attempt, 20))
        return min(after_s, MAX_RETRY_AFTER_S) + grown * self._jitter.uniform(0.5, 1.0)
