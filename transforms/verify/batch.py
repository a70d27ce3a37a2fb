"""Many checks at once, in order: cheap ones in the caller, symbolic ones overlapping in workers.

Leaves out: repeated pairs, which ``decision`` remembers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from butwait.schemas.verdict import Verdict
from butwait.transforms.verify.check import Check, Kind, judge
from butwait.transforms.verify.decision import WorkerNeeded
from butwait.transforms.verify.limits import DEFAULT, Limits

Row = Check | tuple[str, str]
# Verdicts that may wait behind one slow check: enough to keep all workers busy, bounded in memory.
_WINDOW = 1_000


def verify_many(
    checks: Iterable[Row], *, kind: Kind = "trace", limits: Limits = DEFAULT
) -> list[Verdict]:
    """Verdicts of checks, or of (gold, prediction) pairs of one ``kind``, in their order.

    >>> [v.verdict for v in verify_many([("2", "2.0"), ("2", "3")], kind="answer")]
    ['correct', 'incorrect']
    """
    return list(verify_each(checks, kind=kind, limits=limits))


def verify_each(
    checks: Iterable[Row], *, kind: Kind = "trace", limits: Limits = DEFAULT
) -> Iterator[Verdict]:
    """The same one by one, reading at most a thousand checks ahead of the verdict given out.

    Args:
        checks: ``Check`` records or (gold, prediction) pairs.
        kind: What the predictions of pairs are; a ``Check`` brings its own.
        limits: Bounds of each check.
    """
    waiting: deque[Verdict | Future[Verdict]] = deque()
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="butwait-verify") as threads:
        try:
            for row in checks:
                check = row if isinstance(row, Check) else Check(*row, kind=kind)
                try:
                    waiting.append(judge(check, limits, wait=False))
                except WorkerNeeded:
                    waiting.append(threads.submit(judge, check, limits))
                while waiting and (len(waiting) > _WINDOW or _is_ready(waiting[0])):
                    yield _verdict(waiting.popleft())
            while waiting:
                yield _verdict(waiting.popleft())
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def verify_quick(check: Check, *, limits: Limits = DEFAULT) -> Verdict | None:
    """The verdict of a check that needs no worker process; None for any other.

    Args:
        check: What to check.
        limits: Bounds of the check.

    >>> verify_quick(Check("2", "2.0", kind="answer")).verdict
    'correct'
    """
    try:
        return judge(check, limits, wait=False)
    except WorkerNeeded:
        return None


def _is_ready(item: Verdict | Future[Verdict]) -> bool:
    return isinstance(item, Verdict) or item.done()


def _verdict(item: Verdict | Future[Verdict]) -> Verdict:
    return item if isinstance(item, Verdict) else item.result()
