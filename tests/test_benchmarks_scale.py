"""The scale benchmark: the same corpus however large, and a page that says what was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.scale.corpus import N_TEXTS, write_corpus
from benchmarks.scale.run import Measured, section


def test_a_larger_corpus_begins_like_a_smaller_one(tmp_path: Path) -> None:
    n_bytes = write_corpus(tmp_path / "a.parquet", 20)
    write_corpus(tmp_path / "b.parquet", 30)
    small, large = (pq.read_table(tmp_path / f"{x}.parquet").to_pylist() for x in "ab")
    assert large[:20] == small
    assert len({row["problem"] for row in large}) == 30
    assert all(len(row["generations"]) == N_TEXTS for row in large)
    assert 1500 < n_bytes / (20 * N_TEXTS) < 2500


def test_a_benchmark_that_misses_its_targets_says_so() -> None:
    start = Measured(100, 0.0, 5.0, 5.0, 300.0, 200, 30.0)
    even = [Measured(n, 1.0, 9.0, 5.0 + n * 0.004, 400.0, n, 30.0) for n in (10_000, 100_000)]
    assert "MISSED" not in section(start, even)
    slower = [even[0], Measured(100_000, 1.0, 9.0, 5.0 + 500.0, 2000.0, 1, 30.0)]
    assert section(start, slower).count("MISSED") == 2


def test_a_machine_that_was_slower_for_one_build_is_taken_into_account() -> None:
    start = Measured(100, 0.0, 5.0, 5.0, 300.0, 200, 30.0)
    first = Measured(10_000, 1.0, 9.0, 45.0, 400.0, 1, 30.0)
    on_a_slow_day = Measured(100_000, 1.0, 9.0, 1.5 * 405.0, 400.0, 1, 45.0)
    assert "MISSED" not in section(start, [first, on_a_slow_day])
    assert section(start, [first, replace(on_a_slow_day, yardstick_ms=30.0)]).count("MISSED") == 1
