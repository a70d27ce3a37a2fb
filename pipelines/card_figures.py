"""Figures of a dataset card: how long the texts are and how hard the questions were.

Read from the shards, a batch at a time; what is kept is a number a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from butwait.pipelines.markdown import render_table
from butwait.pipelines.shards import ConfigFiles

TEXT_COLUMNS = ("completion", "chosen", "completions", "messages", "problem")
"""What a row's length is counted of: the first of these columns that it has."""
BATCH_ROWS = 1024


def describe_lengths(configs: Sequence[ConfigFiles]) -> Iterator[str]:
    """Yield a table of the lengths of texts, in characters; nothing where there are no rows."""
    rows = []
    for config in configs:
        column = next((name for name in TEXT_COLUMNS if name in config.schema.names), None)
        if column is None or not config.n_rows:
            continue
        lengths = np.concatenate([_count_characters(part) for part in _read(config, column)])
        middle, most, longest = np.percentile(lengths, [50, 90, 100], method="nearest")
        rows.append((config.name, column, f"{middle:,.0f}", f"{most:,.0f}", f"{longest:,.0f}"))
    if rows:
        yield "## Lengths"
        yield render_table(
            ["configuration", "characters of", "median", "90 % have at most", "longest"], rows
        )


def describe_pass_rates(configs: Sequence[ConfigFiles]) -> Iterator[str]:
    """Yield a table of how often the model solved the rows' questions."""
    rows = []
    for config in configs:
        if "pass_rate" not in config.schema.names or not config.n_rows:
            continue
        parts = list(_read(config, "pass_rate"))
        known = np.concatenate([part.drop_null().to_numpy() for part in parts]).astype(float)
        if not len(known):
            continue
        bounds = (known == 0, (known > 0) & (known < 0.5), (known >= 0.5) & (known < 1), known == 1)
        unknown = sum(part.null_count for part in parts)
        rows.append(
            (config.name, f"{known.mean():.3f}", *(int(found.sum()) for found in bounds), unknown)
        )
    if rows:
        yield "## Pass rates"
        yield (
            "Share of a question's samples that were verified as correct: rows by it. It measures "
            "the sampled model with these settings, not the question alone."
        )
        head = ["configuration", "mean", "never", "under half", "half or more", "always"]
        yield render_table([*head, "not sampled"], rows)


def _read(config: ConfigFiles, column: str) -> Iterator[Any]:
    for shard in config.shards:
        with pq.ParquetFile(shard.path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=[column]):
                yield batch.column(0)


def _count_characters(column: Any) -> npt.NDArray[np.float64]:
    """Return the characters of each row of a column of texts, messages, or lists of either."""
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return np.asarray(_lengths(column))
    return np.bincount(
        pc.list_parent_indices(column).to_numpy(),
        weights=_lengths(pc.list_flatten(column)),
        minlength=len(column),
    ).astype(float)


def _lengths(texts: Any) -> npt.NDArray[np.float64]:
    if pa.types.is_struct(texts.type):
        texts = pc.struct_field(texts, "content")
    return np.asarray(pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False), float)
