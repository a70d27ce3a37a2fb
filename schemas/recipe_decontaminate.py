"""Which benchmarks' problems must not be among a build's questions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from butwait.schemas.benchmark import BenchmarkField
from butwait.schemas.recipe_sections import Section


class DecontaminateSpec(Section):
    """Questions that are copies of benchmark problems are removed, and counted as `contaminated`.

    On by default. Short forms: ``decontaminate: off``, ``decontaminate: [aime24, math500]``.
    """

    enabled: bool = True
    """Whether questions are compared with benchmarks; ``decontaminate: off`` is short for false."""
    against: Literal["auto"] | tuple[BenchmarkField, ...] = "auto"
    """Known names or sections ``{name: mine, path: mine.jsonl}``; one that cannot be reached is an
    error. ``auto``: the pocket test and validation splits and, where a source, the recording or
    the model comes from the Hub, aime24, aime25, math500, amc23, gsm8k and olympiadbench from
    there; one that cannot be reached is named in the output, the ledger and the card."""


def read_short_spec(value: object) -> object:
    """Expand ``decontaminate: off`` and ``decontaminate: [aime24]`` to the full section."""
    if isinstance(value, bool) or value in ("on", "off"):
        return {"enabled": value is True or value == "on"}
    if value == "auto" or isinstance(value, list | tuple):
        return {"against": value}
    return value


DecontaminateField = Annotated[DecontaminateSpec, BeforeValidator(read_short_spec)]
