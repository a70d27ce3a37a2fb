"""Builds on servers that fail in every way at once: the same rows, every item in a named bin."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from butwait.pipelines.summary import read_ledger
from tests.build_world import add, build, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI
from tests.faulty_server import (
    Schedule,
    build_without_faults,
    freeze,
    kill,
    rows_of,
    striking,
)

FAULTS: tuple[Any, ...] = ("429", "500", "reset", "cut", "fewer", "empty", "stall")
HASTY = {
    "n_retries": 40,
    "pause_s": 0.02,
    "request_timeout_s": 2.0,
    "stall_s": 1.0,
    "outage_s": 60.0,
}
"""A recipe's settings for a server whose replies take milliseconds."""


def document(url: str, **changes: Any) -> dict[str, Any]:
    made = recipe_document(url, **changes)
    made["server"] |= HASTY
    return made


@pytest.mark.slow
def test_two_thousand_questions_give_the_same_rows_with_every_fault_at_once(
    tmp_path: Path,
) -> None:
    write_questions(tmp_path / "sums.jsonl", 2000)
    changes = {
        "sampling": {"n": 1, "max_tokens": 200},
        "rows": {"default": {"transform": "verified"}},
        "block_size": 64,
    }
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside:
        whole = beside.submit(build_without_faults, tmp_path, document("", **changes))
        with FakeOpenAI(add).running() as server:
            server.stall_s = 60.0
            schedule = server.choose_fault = Schedule(7, dict.fromkeys(FAULTS, 0.05))
            with striking(server, {600: freeze(2.0), 1500: kill(1.0)}):
                run = build(tmp_path, document(server.url, **changes))
        rows = whole.result()
    ledger = read_ledger(run.root)
    ledger.check()
    assert ledger.questions.total == ledger.samples.total == 2000
    assert set(ledger.samples.bins) == {"correct", "incorrect"}, "no sample was lost to a fault"
    assert all(schedule.struck[fault] >= 50 for fault in FAULTS), "each fault has struck"
    assert rows_of(run) == rows
