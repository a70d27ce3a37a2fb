"""Policy and reward model, opened for a run: afresh and closed after it, or kept for the next.

A server takes half a minute to start. A build has one run; an evaluation has many of one model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from butwait.pipelines.sampling.engine import Endpoint, open_sampler
from butwait.pipelines.sampling.together import open_together
from butwait.pipelines.scoring.engine import ScorerEndpoint, open_scorer

if TYPE_CHECKING:
    from butwait.schemas.recipe_search import PrmSpec
    from butwait.schemas.recipe_sections import ModelSpec, ServerSpec

Pair = tuple[Endpoint, ScorerEndpoint | None]


class Engines(Protocol):
    """Who has engines when they are needed."""

    def open(
        self, model: ModelSpec, server: ServerSpec, prm: PrmSpec | None
    ) -> AbstractContextManager[Pair]:
        """Have a policy, and a reward model where there is to be one, for a ``with`` block."""


class FreshEngines:
    """Starts what is needed and stops it after.

    Args:
        base: Folder that local models are relative to.
        log_dir: Where servers log.
        say: Told in one line what happens.
        api_key: For attached servers.
    """

    def __init__(
        self, base: Path, log_dir: Path, *, say: Callable[[str], None], api_key: str | None
    ) -> None:
        self.shared: dict[str, Any] = {
            "base": base,
            "log_dir": log_dir,
            "say": say,
            "api_key": api_key,
        }

    @contextmanager
    def open(self, model: ModelSpec, server: ServerSpec, prm: PrmSpec | None) -> Iterator[Pair]:
        """Start both at once, stop both at the end of the block."""
        policy = open_sampler(model, server, **self.shared)
        judge = open_scorer(prm, **self.shared) if prm is not None else nullcontext()
        with open_together(policy, judge) as pair:
            yield pair


class KeptEngines:
    """Keeps what it started until another model is asked for, or the block of its own ends.

    Args:
        fresh: Starts them.
    """

    def __init__(self, fresh: FreshEngines) -> None:
        self._shared = fresh.shared
        self._stacks: dict[str, ExitStack] = {}
        self._open: dict[str, tuple[Any, Any]] = {}

    def __enter__(self) -> KeptEngines:
        return self

    def __exit__(self, *error: object) -> None:
        for role in list(self._stacks):
            self._close(role)

    @contextmanager
    def open(self, model: ModelSpec, server: ServerSpec, prm: PrmSpec | None) -> Iterator[Pair]:
        """Have the engines that are open already, else start them; they stay open."""
        scorer = None
        if prm is not None:
            scorer = self._have("scorer", prm, lambda: open_scorer(prm, **self._shared))
        key = (model, server)
        yield self._have("policy", key, lambda: open_sampler(model, server, **self._shared)), scorer

    def _have(self, role: str, key: Any, start: Callable[[], AbstractContextManager[Any]]) -> Any:
        known = self._open.get(role)
        if known is not None and known[0] == key:
            return known[1]
        self._close(role)
        stack = self._stacks[role] = ExitStack()
        value = stack.enter_context(start())
        self._open[role] = (key, value)
        return value

    def _close(self, role: str) -> None:
        self._open.pop(role, None)
        stack = self._stacks.pop(role, None)
        if stack is not None:
            stack.close()
