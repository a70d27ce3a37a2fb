"""Memory and cost of a build that is larger than a test: they must not grow with the questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale.run import LIMIT_MB, cost_ms, measure


@pytest.mark.alone
@pytest.mark.timeout(1200)
def test_twenty_thousand_questions_need_no_more_memory_and_no_more_time_each(
    tmp_path: Path,
) -> None:
    """`make bench-scale` goes on to a million; here the bound is looser, for a shared machine."""
    start = measure(tmp_path, 100)
    small = measure(tmp_path, 4_000, a_shard=4_000)
    large = measure(tmp_path, 20_000, a_shard=4_000)
    assert abs(large.rows / small.rows - 5) < 0.05
    assert large.peak_mb < LIMIT_MB
    assert large.peak_mb < 1.3 * small.peak_mb
    # A shared machine may be half as fast for one of them: the yardstick takes that out.
    speed = small.yardstick_ms
    assert cost_ms(large, start, speed) < 1.35 * cost_ms(small, start, speed)
