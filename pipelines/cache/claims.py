"""One build asks for a sample, the others wait for it: claims in a database that builds share.

A claim is renewed while the request is under way and ends by itself soon after its holder died. A
SQLite cache has no claims: there is one build a machine at most times, and each would cost a write.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from butwait.pipelines.cache.database import Database
from butwait.schemas.errors import ConfigError

LASTS_S = 60
"""After that a claim that nobody renewed is free."""
RENEW_S = 15.0
LOOK_S = 0.5
"""Between two looks for what another build was asked to bring."""

_CLAIM = (
    "INSERT INTO claims (key, owner, until) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
    "SET owner = excluded.owner, until = excluded.until "
    "WHERE claims.until < ? OR claims.owner = excluded.owner RETURNING key"
)
_RELEASE = "DELETE FROM claims WHERE key = ? AND owner = ?"


class Claims:
    """Claims of one process on the keys of a cache.

    Args:
        database: One that keeps claims.
        clock: Unix time, in seconds; machines that share a database agree within a few.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._owner = uuid.uuid4().hex

    def take(self, key: str) -> bool:
        """Claim a key, or renew the claim; False while another holds it."""
        now = int(self._clock())
        return bool(self._database.read(_CLAIM, [key, self._owner, now + LASTS_S, now]))

    @asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        """Renew a claim for the time of a block, and give it up after."""
        renewing = asyncio.create_task(self._renew(key))
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(ConfigError):  # it ends by itself
                self._database.write([(_RELEASE, [(key, self._owner)])])

    async def _renew(self, key: str) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            self.take(key)
