"""What a sampler and a scorer need of a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from butwait.pipelines.cache.asked import Asked
from butwait.pipelines.cache.claims import Claims
from butwait.schemas.sampling import Completion


class CompletionCache(Protocol):
    """Completions by key."""

    claims: Claims | None
    """Who asks for what; None where nobody else can be asking."""

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Return what is known of ``keys``."""
        ...

    def put(self, items: Mapping[str, Completion], asked: Asked) -> None:
        """Store completions; an existing key keeps its first value.

        Args:
            items: By key.
            asked: What was asked, to explain a miss by.
        """
        ...

    def put_all(self, entries: Sequence[tuple[Mapping[str, Completion], Asked]]) -> None:
        """Store the completions of several requests, all or none."""
        ...


class ScoreCache(Protocol):
    """Step rewards by key."""

    def get_scores(self, keys: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return what is known of ``keys``."""
        ...

    def put_scores(self, items: Mapping[str, Sequence[float]], asked: Asked) -> None:
        """Store rewards; an existing key keeps its first value."""
        ...
