"""A corpus of questions with eight recorded trajectories each, of about 2 KB, from a seed.

Every row is a function of the seed and its number: a larger corpus begins like a smaller one.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

N_TEXTS = 8
CHARACTERS = 2000
_BATCH = 2000
_WORDS = str.split(
    "so we have the number of ways sum product then let us consider each case where this gives "
    "therefore because it follows that multiply both sides divide by adding terms remain prime "
    "triangle circle angle even odd integer root factor remainder sequence next first last"
)
_SCHEMA = pa.schema(
    [("problem", pa.string()), ("answer", pa.string()), ("generations", pa.list_(pa.string()))]
)


def write_corpus(path: Path, n_questions: int, seed: int = 0) -> int:
    """Write a parquet file; return the bytes of all trajectories before compression."""
    n_bytes, n_cores = 0, os.cpu_count() or 1
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = partial(_batch, stop=n_questions, seed=seed)
    with (
        pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer,
        ProcessPoolExecutor(n_cores) as pool,
    ):
        starts = range(0, n_questions, _BATCH)
        for i in range(0, len(starts), n_cores):  # no more in memory than are being made
            for table, size in pool.map(batch, starts[i : i + n_cores]):
                writer.write_table(table, row_group_size=256)
                n_bytes += size
    return n_bytes


def _batch(start: int, stop: int, seed: int) -> tuple[pa.Table, int]:
    rows = list(_rows(start, min(start + _BATCH, stop), seed))
    size = sum(len(text) for row in rows for text in row["generations"])
    return pa.Table.from_pylist(rows, _SCHEMA), size


def _rows(start: int, stop: int, seed: int) -> Iterator[dict[str, Any]]:
    for number in range(start, stop):
        rng = random.Random(seed * 1_000_003 + number)
        a, b = rng.randrange(10, 10_000), rng.randrange(10, 10_000)
        # The number makes every problem another one.
        problem = f"Box {number} holds {a} red and {b} blue beads. How many beads does it hold?"
        texts = [_text(rng, a + b if rng.random() < 0.6 else a + b + rng.randrange(1, 9))
                 for _ in range(N_TEXTS)]  # fmt: skip
        yield {"problem": problem, "answer": str(a + b), "generations": texts}


def _text(rng: random.Random, answer: int) -> str:
    """Paragraphs of words and small sums, then the answer in a box."""
    parts, size = [], 0
    while size < CHARACTERS - 60:
        words = " ".join(rng.choices(_WORDS, k=24))
        x, y = rng.randrange(100), rng.randrange(100)
        parts.append(f"{words}, {x} + {y} = {x + y}.")
        size += len(parts[-1]) + 2
    parts.append(f"The answer is \\boxed{{{answer}}}.")
    return "\n\n".join(parts)
