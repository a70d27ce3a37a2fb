"""What a reader asks for: text, values, length and pass rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from butwait.evals.view.collections import Collection
from butwait.evals.view.columns import (
    Mask,
    count_characters,
    holds_text,
    is_one_of,
    lies_between,
    values_at,
)
from butwait.schemas.errors import ConfigError

NONE = "(none)"
"""Stands for rows that have no value."""
_LONGEST_TEXT = 1000
Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Filter:
    """All conditions hold together."""

    text: str = ""
    choices: Mapping[str, frozenset[str]] = field(default_factory=dict)
    question: str = ""
    """Id of a question; exact."""
    length: Range = (None, None)
    """Characters, closed."""
    pass_rate: Range = (None, None)

    @property
    def reads_text(self) -> bool:
        """Whether long columns have to be read."""
        return bool(self.text) or self.length != (None, None)


def read_filter(asked: Mapping[str, Sequence[str]], collection: Collection) -> Filter:
    """Read a filter from the parameters of a request.

    Raises:
        ConfigError: A condition that the collection does not have, or a number that is none.
    """
    layout = collection.layout
    choices = {name: frozenset(asked[name]) for name in layout.choices if any(asked.get(name, ()))}
    found = Filter(
        text=_one(asked, "text")[:_LONGEST_TEXT],
        choices=choices,
        question=_one(asked, "question"),
        length=(_number(asked, "length_min"), _number(asked, "length_max")),
        pass_rate=(_number(asked, "pass_min"), _number(asked, "pass_max")),
    )
    if found.length != (None, None) and layout.length is None:
        raise ConfigError(f"{collection.name} has no text whose length could be asked for")
    if found.pass_rate != (None, None) and layout.rate is None:
        raise ConfigError(f"{collection.name} has no pass rates")
    return found


def _one(asked: Mapping[str, Sequence[str]], name: str) -> str:
    return (asked.get(name) or [""])[0].strip()


def _number(asked: Mapping[str, Sequence[str]], name: str) -> float | None:
    text = _one(asked, name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise ConfigError(f"{name} is {text[:40]!r}, which is no number") from error
    if not np.isfinite(value):
        raise ConfigError(f"{name} is {text[:40]!r}, which is no finite number")
    return value


class Columns:
    """Columns of a batch, with those that a join computes."""

    def __init__(self, batch: pa.RecordBatch, joined: Mapping[str, pa.Array]) -> None:
        self.batch = batch
        self._joined = joined

    def __getitem__(self, path: str) -> pa.Array | None:
        if path[0] == "@":
            return self._joined.get(path)
        found = values_at(self.batch, path)
        return None if found is None or found[1] is not None else found[0]


def cheap_paths(wanted: Filter, collection: Collection) -> list[str]:
    """Return the short columns that the filter reads, with computed ones."""
    layout = collection.layout
    paths = [layout.choices[name] for name in wanted.choices]
    if wanted.question:
        paths.append(layout.question)
    if wanted.pass_rate != (None, None) and layout.rate:
        paths.append(layout.rate)
    return paths


def text_paths(wanted: Filter, collection: Collection) -> list[str]:
    """Return the long columns that the filter reads."""
    layout = collection.layout
    paths = list(layout.searched) if wanted.text else []
    if wanted.length != (None, None) and layout.length:
        paths.append(layout.length)
    return paths


def meets_cheap(wanted: Filter, collection: Collection, columns: Columns) -> Mask:
    """Tell which rows meet the conditions on short columns."""
    layout, n = collection.layout, columns.batch.num_rows
    mask = np.ones(n, dtype=bool)
    for name, values in wanted.choices.items():
        mask &= is_one_of(columns[layout.choices[name]], n, values, NONE)
    if wanted.question:
        mask &= is_one_of(columns[layout.question], n, [wanted.question], NONE)
    if wanted.pass_rate != (None, None) and layout.rate:
        mask &= lies_between(columns[layout.rate], n, *wanted.pass_rate)
    return mask


def meets_text(wanted: Filter, collection: Collection, batch: pa.RecordBatch) -> Mask:
    """Tell which rows meet the conditions on long columns."""
    layout = collection.layout
    mask = np.ones(batch.num_rows, dtype=bool)
    if wanted.text:
        mask &= holds_text(batch, layout.searched, wanted.text)
    if wanted.length != (None, None) and layout.length:
        lengths = count_characters(batch, layout.length)
        mask &= lies_between(lengths, batch.num_rows, *wanted.length)
    return mask
