"""The verifier's benchmark: its arithmetic, that it can lose, and the page it writes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "verifier"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("sets", "targets", "page", "run", "memory")
    modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in names}
    yield SimpleNamespace(**modules)
    for name in names:  # plain names: not to be found by anybody else
        sys.modules.pop(name, None)


def row(name: str, expected: bool, kind: str = "answer", prediction: str = "1/2") -> dict[str, Any]:
    return {
        "id": name,
        "gold": "0.5",
        "prediction": prediction,
        "kind": kind,
        "expected": expected,
        "category": "",
    }


ROWS = [
    row("a", True),
    row("b", False, prediction="0.51"),
    row("c", True, "trace", r"so \boxed{\frac12}."),
    row("d", False, "trace", r"so \boxed{2}."),
]


def side(**changes: Any) -> dict[str, Any]:
    good = {
        "accuracy": 1.0,
        "true_accepted": 2,
        "true": 2,
        "false_accepted": 0,
        "false": 2,
        "extraction": 1.0,
        "per_s": 90_000.0,
        "p50_ms": 0.01,
        "p99_ms": 0.1,
        "max_ms": 1.0,
    }
    return {**good, **changes}


def report(bench: SimpleNamespace, **changes: Any) -> dict[str, Any]:
    sets = [
        {
            "name": name,
            "source": "made here",
            "rows": 4,
            "ours": side(),
            "peer": side(per_s=1_000.0),
            "ratio": 90.0,
            "runs": 3,
            "differ": [],
        }
        for name, _, _ in bench.sets.SETS
    ]
    slow = {
        "texts": 1,
        "checks": 4,
        "slowest_s": 1.01,
        "slowest": ["1.01 s a text: timeout"],
        "errors": 0,
        "leaked": 0,
    }
    marks = [
        {"checks": n, "caller_mb": mb, "workers_mb": 100.0}
        for n, mb in ((1, 50.0), (10, 90.0), (100, 92.0))
    ]
    about = dict.fromkeys(
        ("date", "machine", "python", "sympy", "math-verify", "latex2sympy2_extended"), "x"
    )
    return {
        "command": "make bench-verify",
        "repeats": "three runs",
        "machine": about,
        "sets": sets,
        "absent": [],
        "slowest": {1: slow, 4: dict(slow)},
        "memory": marks,
        **changes,
    }


def test_short_sets_are_run_more_often_and_long_ones_once(bench: SimpleNamespace) -> None:
    assert [bench.run.repeats(3, s) for s in (1.0, 30.0, 300.0)] == [9, 3, 1]
    assert bench.run.repeats(1, 1.0) == 1


def test_accuracy_counts_each_label_and_each_side_of_it(bench: SimpleNamespace) -> None:
    found = bench.run.accuracy(ROWS, {"accepted": [True, True, False, False]})
    assert found == {
        "accuracy": 0.5,
        "true_accepted": 1,
        "true": 2,
        "false_accepted": 1,
        "false": 2,
        "extraction": 0.5,
    }


def test_speed_is_the_median_run_by_processor_time(bench: SimpleNamespace) -> None:
    runs = [
        {"cpu_s": seconds, "wall_s": 2 * seconds, "ms": [1.0] * 99 + [seconds]}
        for seconds in (1.0, 2.0, 10.0)
    ]
    found = bench.run.speed(runs, 100)
    assert found["per_s"] == 50
    assert found["per_s_wall"] == 25
    assert (found["p50_ms"], found["max_ms"]) == (1.0, 2.0)


@pytest.mark.parametrize("who", ["ours", "peer"])
def test_both_sides_are_measured_in_processes_of_their_own(
    bench: SimpleNamespace, who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.run, "WORK", tmp_path)
    found = bench.run.measure(who, ROWS, "made-here")
    assert found["accepted"] == [True, False, True, False]
    assert len(found["ms"]) == 4
    assert 0 < found["cpu_s"] < 60


def test_a_corrected_label_must_belong_to_a_row_that_was_labelled_wrong(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.sets, "RELABELLED", {"some": {"a reason": ("b",)}})
    assert [x["expected"] for x in bench.sets.relabel("some", ROWS)] == [True, True, True, False]
    for wrong in ("a", "nowhere"):
        monkeypatch.setattr(bench.sets, "RELABELLED", {"some": {"a reason": (wrong,)}})
        with pytest.raises(ValueError, match=wrong):
            bench.sets.relabel("some", ROWS)


def test_sets_whose_data_is_not_there_are_named_and_left_out(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench.sets, "SHARED", tmp_path)
    found = {name: rows for name, _, rows in bench.sets.sets()}
    present = {name for name, rows in found.items() if rows}
    assert present == {"own cases", "hard"}
    page = "\n".join(bench.page.section(report(bench, absent=["model traces"])))
    assert "Not measured, their data is not here: model traces" in page


def test_every_target_is_met_by_good_figures_and_missed_by_bad_ones(bench: SimpleNamespace) -> None:
    good = bench.targets.targets(report(bench))
    assert [what for what, _, met in good if not met] == []
    bad = report(bench)
    for item in bad["sets"]:
        item["ours"] = side(accuracy=0.9, false_accepted=1, extraction=0.9, p99_ms=9.0)
        item["ratio"] = 5.0
    for slow in bad["slowest"].values():
        slow.update(slowest_s=1.3, errors=1, leaked=1)
    bad["memory"][-1].update(caller_mb=150.0, workers_mb=150.0)
    assert [what for what, _, met in bench.targets.targets(bad) if met] == []
    assert len(bench.targets.targets(bad)) == len(good) > 20


def test_the_page_keeps_what_stands_around_its_section(
    bench: SimpleNamespace, tmp_path: Path
) -> None:
    page = tmp_path / "benchmarks.md"
    start, end = bench.page.START, bench.page.END
    page.write_text(f"# Benchmarks\n\nbefore\n{start}\nold\n{end}\nafter\n")
    missed = bench.page.write_page(report(bench), page)
    text = page.read_text()
    assert missed == []
    assert text.startswith("# Benchmarks\n\nbefore\n")
    assert text.endswith(f"{end}\nafter\n")
    assert "old" not in text.split("before")[1].split("##")[0]
    assert "| 90,000 | 0.010 | 0.10 | 1 | 1,000 |" in text
    page.write_text("no markers")
    with pytest.raises(ValueError, match="must have one"):
        bench.page.write_page(report(bench), page)


def test_a_share_is_one_hundred_percent_only_when_it_is_all(bench: SimpleNamespace) -> None:
    assert bench.targets.share(1) == "100.00 %"
    assert bench.targets.share(0.999_999) == "99.99 %"
    assert bench.targets.share(0.985) == "98.50 %"


def test_the_memory_run_makes_distinct_checks_of_every_kind(bench: SimpleNamespace) -> None:
    made = list(bench.memory.pairs(1_000))
    assert len(made) == 1_000
    fresh = [check for k, check in enumerate(made) if k % 4]
    assert len(set(fresh)) == len(fresh)
