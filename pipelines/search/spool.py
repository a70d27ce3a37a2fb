"""Search trees of a block: each on disk as soon as it is whole, all in one file at the end.

A tree of 512 particles has tens of thousands of nodes; a block of them does not fit in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from butwait.pipelines.places import AnyPath
from butwait.pipelines.tables import write_records, write_text
from butwait.schemas.tree import SearchTree

ROWS_A_GROUP = 8
"""Trees a row group: a reader holds so many in memory."""


class TreeSpool:
    """Trees of one block.

    Args:
        folder: Working folder of this block alone, on this machine; gone when the block is written.
        path: Final parquet file.
    """

    def __init__(self, folder: Path, path: AnyPath) -> None:
        self._folder = folder
        self._path = path

    def keep(self, tree: SearchTree) -> None:
        """Keep a finished tree."""
        write_text(self._folder / f"{tree.question_id}.json", tree.model_dump_json())

    def write(self, question_ids: Iterable[str]) -> None:
        """Write the trees in the order of their questions."""
        write_records(self._path, self._read(question_ids), SearchTree, row_group_size=ROWS_A_GROUP)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, question_ids: Iterable[str]) -> Iterator[SearchTree]:
        for question_id in question_ids:
            path = self._folder / f"{question_id}.json"
            if path.is_file():
                yield SearchTree.model_validate_json(path.read_bytes())
