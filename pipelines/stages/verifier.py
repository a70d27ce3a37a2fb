"""Verification off the event loop: all texts that came within a moment in one thread call.

A hop into a thread costs more than most checks. The few that need a worker process, which may take
a second, wait in a call of their own and hold up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from butwait.pipelines.moment import Moment
from butwait.schemas.verdict import Verdict
from butwait.transforms.verify import Check, Limits, verify_many, verify_quick

PAUSE_S = 0.01


class Verifier:
    """Verifies for many coroutines.

    Args:
        deadline_s: Limit of one symbolic comparison.
    """

    def __init__(self, deadline_s: float) -> None:
        self._limits = Limits(worker_s=deadline_s)
        self._moment: Moment[Sequence[Check], list[Verdict | None]] = Moment(
            self._verify_quick, pause_s=PAUSE_S, in_thread=True
        )

    async def verify(self, checks: Sequence[Check]) -> list[Verdict]:
        """Verify checks, in their order."""
        found = await self._moment.ask(checks)
        slow = [check for check, verdict in zip(checks, found, strict=True) if verdict is None]
        if not slow:
            return [verdict for verdict in found if verdict is not None]
        late = iter(await asyncio.to_thread(verify_many, slow, limits=self._limits))
        return [next(late) if verdict is None else verdict for verdict in found]

    def _verify_quick(self, asked: list[Sequence[Check]]) -> list[list[Verdict | None]]:
        return [[verify_quick(check, limits=self._limits) for check in checks] for checks in asked]
