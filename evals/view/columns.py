"""Values at a path of a batch, through structs and lists, for filters that never leave Arrow."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def values_at(batch: pa.RecordBatch, path: str) -> tuple[pa.Array, NDArray[np.int64] | None] | None:
    """Return the values at a path and, where lists lie on the way, the row of each value.

    Args:
        batch: Some rows.
        path: Names joined by dots, e.g. ``completion.content``.

    Returns:
        None where the batch has no such column.
    """
    first, *rest = path.split(".")
    place = batch.schema.get_field_index(first)
    if place < 0:
        return None
    array, rows = batch.column(place), None
    for name in [*rest, None]:
        while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            parents = pc.list_parent_indices(array).to_numpy()
            rows = parents if rows is None else rows[parents]
            array = pc.list_flatten(array)
        if name is None:
            break
        if not pa.types.is_struct(array.type) or array.type.get_field_index(name) < 0:
            return None
        array = pc.struct_field(array, name)
    return array, rows


def strings_at(
    batch: pa.RecordBatch, path: str
) -> tuple[pa.Array, NDArray[np.int64] | None] | None:
    """Return `values_at` a path if they are text."""
    found = values_at(batch, path)
    if found is None:
        return None
    array, rows = found
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return None
    return array, rows


def holds_text(batch: pa.RecordBatch, paths: Sequence[str], text: str) -> Mask:
    """Tell for every row whether one of the columns holds the text, letter case aside."""
    mask = np.zeros(batch.num_rows, dtype=bool)
    for path in paths:
        found = strings_at(batch, path)
        if found is not None:
            array, rows = found
            hits = pc.match_substring(array, pattern=text, ignore_case=True)
            mask |= _by_row(_to_mask(hits), rows, batch.num_rows)
    return mask


def is_one_of(array: pa.Array | None, n_rows: int, wanted: Collection[str], none: str) -> Mask:
    """Tell for every row whether its value is wanted; ``none`` among them means no value."""
    if array is None:
        return np.zeros(n_rows, dtype=bool)
    values = pc.cast(array, pa.string())
    mask = _to_mask(pc.is_in(values, value_set=pa.array(sorted(wanted), type=pa.string())))
    return mask | _to_mask(pc.is_null(values)) if none in wanted else mask


def lies_between(
    array: pa.Array | None, n_rows: int, least: float | None, most: float | None
) -> Mask:
    """Tell for every row whether its number lies in the closed range; no number does not."""
    if array is None:
        return np.zeros(n_rows, dtype=bool)
    mask = _to_mask(pc.is_valid(array))
    if least is not None:
        mask &= _to_mask(pc.greater_equal(array, least))
    if most is not None:
        mask &= _to_mask(pc.less_equal(array, most))
    return mask


def count_characters(batch: pa.RecordBatch, path: str) -> pa.Array | None:
    """Return the characters of every row's text, those of a list added up."""
    found = strings_at(batch, path)
    if found is None:
        return None
    array, rows = found
    lengths = pc.fill_null(pc.utf8_length(array), 0).to_numpy(zero_copy_only=False)
    if rows is not None:
        lengths = np.bincount(rows, weights=lengths, minlength=batch.num_rows)
    return pa.array(lengths.astype(np.int64))


def _by_row(mask: Mask, rows: NDArray[np.int64] | None, n_rows: int) -> Mask:
    if rows is None:
        return mask
    found = np.zeros(n_rows, dtype=bool)
    found[rows[mask]] = True
    return found


def _to_mask(array: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), dtype=bool)
