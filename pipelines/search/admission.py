"""How many solutions may be under way at once: keeps servers full and memory bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Admission:
    """Lets searches in, first come first served, while there is room for their particles.

    Args:
        most: Particles at once. A search with more of them runs when no other does.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._line = asyncio.Lock()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def admitted(self, n: int) -> AsyncIterator[None]:
        """Wait for room for n particles, and hold it for the time of the block."""
        async with self._line:  # whoever is first in line is the only one to look for room
            async with self._changed:
                await self._changed.wait_for(lambda: self._has_room(n))
                self._inside += n
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= n
                self._changed.notify_all()

    def _has_room(self, n: int) -> bool:
        return self._inside == 0 or self._inside + n <= self._most
