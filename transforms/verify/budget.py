"""Work that all parts of one answer share: many small parts must not cost more than one large one.

Counted in steps, not in seconds, so that a verdict does not depend on the machine. What has no
budget open around it is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_left: ContextVar[list[int] | None] = ContextVar("butwait_verify_steps", default=None)


@contextmanager
def budget(steps: int) -> Iterator[None]:
    """Open a budget of ``steps`` for what runs inside; one inside another counts on its own."""
    token = _left.set([steps])
    try:
        yield
    finally:
        _left.reset(token)


def spend(steps: int) -> bool:
    """Take steps off the open budget; False when there are none left."""
    left = _left.get()
    if left is None:
        return True
    left[0] -= steps
    return left[0] >= 0
