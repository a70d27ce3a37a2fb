"""A file of questions against benchmarks: pieces of the file, one worker a core, hits in order.

A worker gets a range of the file, not its rows, and gives back hits: memory is one worker's
detector and one row. Hits do not depend on how the file is cut or on the number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from butwait.pipelines.benchmarks import ID_COLUMNS, choose_id, choose_problem_column
from butwait.pipelines.sources.layouts import as_text, top_level
from butwait.pipelines.sources.local import find_local
from butwait.pipelines.sources.place import BadRecord, Place, RecordRange
from butwait.pipelines.sources.stream import stream_records
from butwait.schemas.errors import ButwaitError
from butwait.transforms.decontaminate import Detector, Hit, Target


@dataclass(frozen=True)
class Piece:
    """A range of a file of questions, and which columns to read of it."""

    records: RecordRange
    problem: str
    columns: tuple[str, ...]


@dataclass
class Checked:
    """What was found in a piece, or in all so far."""

    n_questions: int = 0
    n_without_text: int = 0
    """Rows that cannot be read or have no problem."""
    n_copies: int = 0
    """Questions with at least one hit."""
    hits: list[Hit] = field(default_factory=list)

    def add(self, other: Checked) -> None:
        """Add another's counts; its hits are not kept."""
        self.n_questions += other.n_questions
        self.n_without_text += other.n_without_text
        self.n_copies += other.n_copies


def plan_file(path: Path) -> list[Piece]:
    """Return the pieces of a file of questions, none for an empty file.

    Raises:
        SourceError: It cannot be read or has neither a ``problem`` nor a ``question`` column.
    """
    if _is_empty(path):
        return []
    place = find_local(path, "train")
    column = choose_problem_column(place.columns, place.dataset)
    return [Piece(records, column, _columns(place, column)) for records in place.ranges]


def check_pieces(
    pieces: Sequence[Piece], targets: Sequence[Target], n_workers: int
) -> Iterator[Checked]:
    """Yield what is found in each piece, in order.

    Args:
        pieces: Of one file.
        targets: The benchmarks' problems.
        n_workers: Processes; one piece or one worker is done in this one.

    Raises:
        SourceError: The file breaks off.
        ButwaitError: A worker was killed.
    """
    if min(len(pieces), n_workers) <= 1:
        detector = Detector(targets)
        for piece in pieces:
            yield check_piece(detector, piece)
        return
    pool = ProcessPoolExecutor(
        min(n_workers, len(pieces)),
        # Fork would copy threads of this process's libraries in mid-air.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(tuple(targets),),
    )
    others = set(multiprocessing.active_children())
    try:
        yield from _in_order(pool, pieces, 2 * n_workers)
        others.update(multiprocessing.active_children())
    except BrokenProcessPool as error:
        raise ButwaitError(
            "a worker was killed, perhaps for want of memory: try --workers 1"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # After Ctrl-C, or when nobody wants the rest: a piece takes seconds.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()


def check_piece(detector: Detector, piece: Piece) -> Checked:
    """Compare every question of a piece."""
    checked = Checked()
    for row, record in stream_records(piece.records, piece.columns):
        checked.n_questions += 1
        text = None if isinstance(record, BadRecord) else as_text(record.get(piece.problem))
        if isinstance(record, BadRecord) or not text or not text.strip():
            checked.n_without_text += 1
            continue
        hits = detector.hits(choose_id(record, row), text)
        checked.n_copies += bool(hits)
        checked.hits += hits
    return checked


def count_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_order(
    pool: ProcessPoolExecutor, pieces: Sequence[Piece], n_ahead: int
) -> Iterator[Checked]:
    """Keep the workers busy, and hold no more results than they are ahead."""
    waiting: deque[Future[Checked]] = deque()
    for piece in pieces:
        waiting.append(pool.submit(_check_in_worker, piece))
        if len(waiting) > n_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_detector: Detector | None = None


def _start_worker(targets: tuple[Target, ...]) -> None:
    global _detector
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _detector = Detector(targets)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _check_in_worker(piece: Piece) -> Checked:
    assert _detector is not None, "the pool's initializer has run"
    return check_piece(_detector, piece)


def _columns(place: Place, problem: str) -> tuple[str, ...]:
    ids = [name for name in ID_COLUMNS if name in place.columns]
    return top_level((problem, *ids), place.columns)


def _is_empty(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return bool(pq.read_metadata(path).num_rows == 0)
        except (OSError, pa.ArrowException):
            return False  # find_local says what is wrong with it
    with path.open("rb") as file:
        return all(not line.strip() for line in file) if path.stat().st_size < 65536 else False
