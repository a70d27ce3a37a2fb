"""A question with its gold answer, as it leaves stage 1."""

from __future__ import annotations

from typing import Literal

from butwait.schemas.record import Record


class Question(Record):
    """A problem that has a gold answer a verifier can use.

    ``id`` is ``q`` + 16 hex digits of the normalised problem's SHA-256 + 8 of its source's: equal
    problems share the first part, whatever their source, and so fall into one shard.
    """

    id: str
    problem: str
    gold: str
    """Gold answer as the source has it."""
    gold_canonical: str
    """The verifier's canonical form of ``gold``."""
    gold_from: Literal["column", "boxed"]
    """Where ``gold`` came from: its own column, or the last balanced box of the solution."""
    solution: str | None
    """The source's reference solution, if it has one."""
    source: str
    """Finest-grained label that the row carries (``olympiads``), else the dataset's name."""
    dataset: str
    """Dataset id or file name it was read from."""
    revision: str | None
    """Commit of the dataset on the Hub, or ``sha256:...`` of a local file."""
    licence: str
    row: int
    """0-based position in the dataset."""
    r1_derived: bool
    """Whether ``solution`` derives from DeepSeek-R1 (the problem itself never counts)."""

    @property
    def problem_key(self) -> str:
        """The part of the id that depends on the problem alone."""
        return self.id[:17]
