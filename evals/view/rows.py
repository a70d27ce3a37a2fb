"""One row by its place, and what belongs to it in a run: its question, samples, tree and rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from butwait.evals.view.collections import (
    QUESTIONS,
    ROWS,
    TRAJECTORIES,
    TREES,
    Collection,
    View,
    shard_number,
)
from butwait.evals.view.columns import is_one_of, values_at
from butwait.evals.view.joins import question_block
from butwait.evals.view.shards import UNREADABLE, Shard, one_line
from butwait.schemas.errors import ConfigError

_BATCH = 16
_LOOK_UP_S = 2.0
"""Longest search for what belongs to a row; its shard is looked at first."""
Row = dict[str, Any]


def read_row(collection: Collection, shard_name: str, number: int) -> Row:
    """Read one row.

    Raises:
        ConfigError: There is no such row, or its file cannot be read.
    """
    place = collection.place(shard_name)
    if place is None or not 0 <= number < collection.shards[place].n_rows:
        raise ConfigError(
            f"{collection.name} has no row {number} in {shard_name!r}: the link is of other files"
        )
    shard, start = collection.shards[place], 0
    for group, n_rows in enumerate(shard.groups):
        if number < start + n_rows:
            return _read(shard, group, number - start)
        start += n_rows
    raise AssertionError("the row lies in a group")


def _read(shard: Shard, group: int, offset: int) -> Row:
    try:
        with shard.opened() as reader:
            for batch in reader.batches(group, list(shard.leaves), _BATCH):
                if offset < batch.num_rows:
                    row: Row = batch.slice(offset, 1).to_pylist()[0]
                    return row
                offset -= batch.num_rows
    except UNREADABLE as error:
        raise ConfigError(f"{shard.path} cannot be read: {one_line(error)}") from error
    raise ConfigError(f"{shard.path} is shorter than its footer says; make it anew")


def find_question(view: View, collection: Collection, shard: str, question_id: str) -> Row | None:
    """Find the question of a row, in its block or else by its shard."""
    for batch in question_block(view, shard, ["id", "problem", "gold", "source", "solution"]):
        for row in batch.to_pylist():
            if row["id"] == question_id:
                return dict(row)
    questions = _questions_of(view, collection)
    if questions is None:
        return None
    place = next(_places(questions, "id", question_id, shard), None)
    return None if place is None else read_row(questions, *place)


def _questions_of(view: View, collection: Collection) -> Collection | None:
    """Of a build its questions; of an evaluation the benchmark in whose folder the cells lie."""
    names = {QUESTIONS}
    if collection.name.startswith("cells/"):
        names = {"benchmarks/" + collection.name.split("/")[1]}
    return next((c for c in view.collections if c.name in names), None)


def find_tree(view: View, question_id: str, shard: str = "") -> tuple[str, int] | None:
    """Find the place of a question's search tree."""
    trees = next((c for c in view.collections if c.name == TREES), None)
    return next(_places(trees, "question_id", question_id, shard), None) if trees else None


def find_samples(view: View, ids: Sequence[str], shard: str = "") -> dict[str, tuple[str, int]]:
    """Find the places of trajectories, in one pass; what is not found in time is left out."""
    samples = next((c for c in view.collections if c.name == TRAJECTORIES), None)
    found: dict[str, tuple[str, int]] = {}
    for name, number, sample_id in _find(samples, "id", ids, shard) if samples and ids else ():
        found.setdefault(sample_id, (name, number))
        if len(found) == len(set(ids)):
            break
    return found


def has_samples(view: View) -> bool:
    """Whether there are trajectories to look at."""
    return any(c.name == TRAJECTORIES for c in view.collections)


def rows_of_question(view: View, question_id: str, shard: str) -> Iterator[Row]:
    """Yield the published rows that grew from a question: id, parents, place.

    Args:
        view: The run.
        question_id: The question.
        shard: Name of a shard of any stage that the question is in; its number is that of the
            rows' shard.
    """
    for collection in view.collections:
        if not collection.name.startswith(ROWS):
            continue
        for name, number, _ in _find(
            collection, "question_id", [question_id], shard, only_same=True
        ):
            row = read_row(collection, name, number)
            origin = row.get("provenance") or {}
            yield {
                "collection": collection.name,
                "shard": name,
                "row": number,
                "id": row.get("id"),
                "parents": list(origin.get("parents") or ()),
            }


def _places(
    collection: Collection, column: str, wanted: str, near: str
) -> Iterator[tuple[str, int]]:
    """Yield shard and row of one value."""
    yield from ((name, row) for name, row, _ in _find(collection, column, [wanted], near))


def _find(
    collection: Collection,
    column: str,
    wanted: Sequence[str],
    near: str,
    *,
    only_same: bool = False,
) -> Iterator[tuple[str, int, str]]:
    """Yield shard, row and value of what is wanted, beginning with the shard of the same number."""
    ends = time.monotonic() + _LOOK_UP_S
    number = shard_number(near)
    same = [s for s in collection.shards if number and shard_number(s.name) == number]
    rest = [s for s in collection.shards if s not in same]
    for shard in same if only_same and same else [*same, *rest]:
        try:
            for row, value in _find_in(shard, column, wanted):
                if row is not None:
                    yield shard.name, row, value
                if time.monotonic() > ends:
                    return
        except UNREADABLE:
            continue  # the page names damaged files where rows are listed


def _find_in(shard: Shard, column: str, wanted: Sequence[str]) -> Iterator[tuple[int | None, str]]:
    """Yield row and value of what is wanted, and after every group a row of None."""
    row = 0
    with shard.opened() as reader:
        for group in range(len(shard.groups)):
            for batch in reader.batches(group, [column], 8192):
                found = values_at(batch, column)
                if found is not None:
                    mask = is_one_of(found[0], batch.num_rows, wanted, "")
                    yield from ((row + int(i), str(found[0][int(i)])) for i in mask.nonzero()[0])
                row += batch.num_rows
            yield None, ""
