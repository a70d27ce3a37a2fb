"""The benchmark of search: its arithmetic, that it can lose, its page, the bare loop's lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.search.accuracy import METHODS, line_up, list_cells
from benchmarks.search.bare import repack
from benchmarks.search.intervals import compare, difference
from benchmarks.search.page import END, START, write_page
from benchmarks.search.setting import Clock
from benchmarks.search.targets import targets


def side(wall_s: float, **changes: float) -> dict[str, Any]:
    plain = {
        "wall_s": wall_s,
        "tokens": 1000.0,
        "tokens_s": 1000 / wall_s,
        "client_idle": 0.01,
        "engine_idle": 0.02,
        "n_requests": 9.0,
        "cpu_s": 1.0,
        "front_cpu_s": 1.0,
        "engine_cpu_s": 1.0,
        "n_failed": 0,
        "walls": [wall_s],
        "n_steps": 100.0,
        "grown_mb": 30.0,
    }
    return {**plain, **changes}


def cell(method: str, budget: int, right: list[int]) -> dict[str, Any]:
    return {
        "method": method,
        "budget": budget,
        "right": right,
        "right_by_vote": right,
        "any_right": [1] * len(right),
        "tokens": 30.0 * budget,
    }


def report(**sides: dict[str, Any]) -> dict[str, Any]:
    rows = [
        cell("greedy", 1, [1, 0, 0, 1]),
        cell("particle filter", 4, [1, 1, 1, 1] * 10),
        cell("best-of-N", 4, [1, 1, 0, 0] * 10),
    ]
    speed = {
        "prm": "free rewards",
        "size": {"questions": 4, "particles": 8, "rounds": 1},
        "sides": sides,
        "bare": "bare",
    }
    about = dict.fromkeys(("machine", "python", "vllm", "its_hub", "httpx", "numpy"), "1")
    statistics = {"case": "filter", "quantity": "evidence", "mean": 1.0, "exact": 1.0}
    return {
        "command": "make bench-search",
        "machine": {**about, "date": "2026-11-26"},
        "policy": "pocket",
        "n_draws": 2000,
        "notes": ["A note."],
        "speed": [speed],
        "memory": [],
        "statistics": [{**statistics, "z": 0.3, "n_runs": 10, "expected": "agrees"}],
        "accuracy": compare(rows),
        "accuracy_order": [{"method": row["method"]} for row in rows],
    }


WON = {"ours": side(10), "its_hub": side(50), "its_hub, gathered": side(25), "bare": side(9.5)}
LOST = {"ours": side(10, client_idle=0.3), "its_hub": side(30), "bare": side(5)}


def test_it_can_be_lost() -> None:
    assert all(met for _, _, met in targets(report(**WON)))
    missed = [what for what, _, met in targets(report(**LOST)) if not met]
    assert len(missed) == 3
    biased = report(**WON)
    biased["statistics"][0]["z"] = -5.0
    assert sum(not met for _, _, met in targets(biased)) == 1
    biased["statistics"][0]["expected"] = "differs"
    assert all(met for _, _, met in targets(biased))


def test_the_page_keeps_what_is_not_its_own_and_says_what_was_missed(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\nOther.\n")
    missed = write_page(report(**LOST), page)
    assert len(missed) == 3
    write_page(report(**WON), page)
    text = page.read_text()
    assert text.startswith("# Benchmarks\n\nOther.\n") and text.count(START) == 1
    assert "| ours | 10.0 | 1.00 |" in text and "**A note.**" in text
    assert "particle filter | **+50.0 [" in text
    page.write_text(text.replace(END, ""))
    with pytest.raises(ValueError, match="must have one"):
        write_page(report(**WON), page)


def test_a_difference_is_drawn_by_question() -> None:
    same = difference([1, 0] * 50, [1, 0] * 50)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    apart = difference([1] * 100, [1, 0] * 50)
    assert apart.value == 0.5 and 0.35 < apart.low < 0.5 < apart.high < 0.65


def test_methods_that_choose_among_the_same_samples_do_not_run_at_once() -> None:
    cells = list_cells(METHODS, (4, 8))
    lines = line_up(cells)
    assert sum(map(len, lines)) == len(cells)
    whole = [line for line in lines if len(line) > 1]
    assert [sorted({c.budget for c in line}) for line in whole] == [[4], [8]]


def test_the_bare_loop_sends_every_prompt_once_and_refuses_mixed_parameters() -> None:
    recorded = [{"prompt": [[k], [k + 1]], "max_tokens": 9} for k in (0, 2, 4)]
    packed = repack(recorded, 4)
    assert [payload["prompt"] for payload in packed] == [[[0], [1], [2], [3]], [[4], [5]]]
    assert all(payload["max_tokens"] == 9 for payload in packed)
    with pytest.raises(ValueError, match="differ"):
        repack([*recorded, {"prompt": [[6]], "max_tokens": 8}], 4)


def test_the_clock_counts_the_time_without_a_request() -> None:
    clock = Clock()
    clock.opened()
    clock.opened()
    clock.closed()
    clock.closed()
    assert clock.read()["n_requests"] == 2
    assert clock.read()["client_idle"] > 0.5
