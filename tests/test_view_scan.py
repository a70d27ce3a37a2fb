"""Collections, filters and cursors of the viewer, without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from view_world import N_QUESTIONS, N_SAMPLES, question, write_jsonl, write_many, write_run

from butwait.evals.view.collections import Collection, View, open_view
from butwait.evals.view.filters import read_filter
from butwait.evals.view.joins import Joins
from butwait.evals.view.scan import Cursor, Page, read_cursor, scan
from butwait.schemas.errors import ConfigError


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    return open_view(write_run(tmp_path_factory.mktemp("view") / "run"))


def find(view: View, name: str, limit: int = 50, **asked: Any) -> list[dict[str, Any]]:
    """All rows that a filter finds, page by page."""
    collection = view.find(name)
    wanted = read_filter({k: [str(v)] for k, v in asked.items()}, collection)
    rows: list[dict[str, Any]] = []
    cursor: Cursor | None = Cursor()
    while cursor is not None:
        page = scan(collection, wanted, cursor, Joins(view), limit=limit)
        assert page.notes == []
        rows += page.rows
        cursor = page.next
    return rows


def first_page(view: View, collection: Collection, **asked: str) -> Page:
    wanted = read_filter({k: [v] for k, v in asked.items()}, collection)
    return scan(collection, wanted, Cursor(), Joins(view))


def test_a_run_shows_rows_first_then_samples_trees_and_questions(view: View) -> None:
    names = [c.name for c in view.collections]
    assert names == ["rows/default", "rows/hostile", "rows/stitch", "trajectories", "trees",
                     "questions"]  # fmt: skip
    assert view.find("trajectories").n_rows == N_QUESTIONS * N_SAMPLES
    assert view.notes == ()


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_pages_of_any_size_give_every_row_once_and_in_order(view: View, limit: int) -> None:
    found = find(view, "trajectories", limit, verdict="incorrect")
    numbers = range(N_QUESTIONS)
    blocks = [i for shard in (0, 1) for i in numbers if i % 2 == shard]
    expected = [
        f"{question(i).id}-sample-{k}" for i in blocks for k in range(N_SAMPLES) if k < i % 5
    ]
    assert [row["id"] for row in found] == expected


def test_samples_are_filtered_by_their_questions_source_and_pass_rate(view: View) -> None:
    found = find(view, "trajectories", source="olympiads", pass_max="0.5")
    ids = {row["id"].split("-")[0] for row in found}
    assert ids == {question(i).id for i in range(N_QUESTIONS) if i % 3 == 0 and i % 5 >= 2}
    assert all(row["pass_rate"] <= 0.5 and row["values"]["source"] == "olympiads" for row in found)


def test_trees_are_filtered_by_the_verdict_of_their_answer_and_show_the_question(
    view: View,
) -> None:
    assert find(view, "trees", verdict="incorrect") == []
    found = find(view, "trees", verdict="correct", source="school")
    assert len(found) == sum(i % 3 != 0 for i in range(N_QUESTIONS))
    assert found[0]["label"].startswith("What is $")
    assert found[0]["pass_rate"] == 0.5


def test_rows_without_a_value_are_found_by_none(view: View) -> None:
    assert len(find(view, "rows/default", flow="(none)")) == N_QUESTIONS // 2
    assert len(find(view, "rows/default", flow="wrong_right")) == N_QUESTIONS // 2


def test_text_is_searched_in_all_texts_whatever_its_case_and_never_as_a_pattern(
    view: View,
) -> None:
    assert len(find(view, "rows/default", text="HOLD ON!")) == N_QUESTIONS
    assert find(view, "rows/default", text="Hold.on") == []
    assert len(find(view, "rows/default", text=question(3).id)) == 1
    assert len(find(view, "trees", text="add two")) == N_QUESTIONS


def test_length_and_pass_rate_are_closed_ranges(view: View) -> None:
    rows = find(view, "rows/hostile")
    lengths = sorted(row["length"] for row in rows)
    assert lengths[-1] > 60_000
    found = find(view, "rows/hostile", length_min=lengths[1], length_max=lengths[2])
    assert sorted(row["length"] for row in found) == lengths[1:3]
    assert {r["pass_rate"] for r in find(view, "rows/default", pass_min=0.5, pass_max=0.75)} == {
        0.5,
        0.75,
    }


def test_a_condition_that_makes_no_sense_is_refused_with_a_reason(view: View) -> None:
    rows = view.find("rows/default")
    for asked in ({"length_min": ["many"]}, {"pass_max": ["nan"]}):
        with pytest.raises(ConfigError, match=r"no .*number"):
            read_filter(asked, rows)
    with pytest.raises(ConfigError, match="no pass rates"):
        read_filter({"pass_min": ["1"]}, view.find("questions"))
    for text in ("x", "9.9", "0.-1", "1" * 50):
        with pytest.raises(ConfigError, match=r"begin again|have changed"):
            read_cursor(text, rows)
    with pytest.raises(ConfigError, match="there are rows/default"):
        view.find("rows/other")


def test_a_scan_whose_time_is_up_says_how_far_it_came_and_goes_on(tmp_path: Path) -> None:
    view = open_view(write_many(tmp_path / "many", 20_000, n_shards=2))
    collection = view.collections[0]
    wanted = read_filter({"text": ["no such text"]}, collection)
    cursor: Cursor | None = Cursor()
    seen = []
    while cursor is not None:
        page = scan(collection, wanted, cursor, Joins(view), seconds=0.0)
        seen.append(page.scanned)
        cursor = page.next
    assert seen == sorted(set(seen)) and seen[-1] == 20_000
    assert len(seen) > 10


def test_a_run_that_is_half_there_shows_what_there_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for path in sorted((run / "rows").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (run / "rows").rmdir()
    (run / "trajectories" / "_stage.json").unlink()
    view = open_view(run)
    assert [c.name for c in view.collections] == ["trajectories", "trees", "questions"]
    assert len(view.notes) == 2
    assert "stage trajectories is not whole: what is there is shown" in view.notes[0]
    assert "stage rows is not whole: there is nothing yet" in view.notes[1]


def test_damaged_files_are_named_and_the_others_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    parts = sorted((run / "trajectories").glob("part-*.parquet"))
    parts[0].write_bytes(b"PAR1 nothing PAR1")
    whole = parts[1].read_bytes()
    parts[1].write_bytes(whole[:4] + b"\xff" * 300 + whole[304:])
    view = open_view(run)
    assert any(str(parts[0]) in note and "left out" in note for note in view.notes)
    page = first_page(view, view.find("trajectories"))
    assert [note for note in page.notes if str(parts[1]) in note]
    assert page.rows
    assert page.scanned == view.find("trajectories").n_rows - (0 if page.next is None else 14)


def test_rows_of_another_version_or_without_columns_are_shown_with_a_note(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    old = {"schema_version": 0, "id": "a", "completion": [{"role": "assistant", "content": "hi"}]}
    pq.write_table(pa.Table.from_pylist([{**old, "answer": "1"}]), folder / "a.parquet")
    pq.write_table(pa.Table.from_pylist([old]), folder / "b.parquet")
    view = open_view(folder)
    assert any("schema version 0" in note for note in view.notes)
    assert any("b.parquet lacks the columns answer" in note for note in view.notes)
    assert [row["id"] for row in find(view, "files", text="hi")] == ["a", "a"]
    assert len(find(view, "files", text="1")) == 1


def test_json_lines_of_all_kinds_are_read_and_a_broken_line_is_named(tmp_path: Path) -> None:
    rows: list[Any] = [{"id": f"r{i}", "text": f"row {i}", "x": i} for i in range(1200)]
    rows[3] = "{broken"
    rows[5] = '{"id": "r5", "text": "lone \\ud800 surrogate", "x": {"deep": [1]}}'
    rows[7] = "[1, 2]"
    rows[9] = '{"x": 123456789012345678901234567890}'
    view = open_view(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert view.collections[0].n_rows == 1200
    assert len(find(view, "rows", text="ROW 11")) == 1 + 10 + 100
    assert len(find(view, "rows", text="line 4 is not JSON")) == 1
    assert len(find(view, "rows", text="surrogate")) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", "a,b\n", "neither .parquet nor .jsonl"),
        ("rows.jsonl", "", "it is empty"),
        ("rows.parquet", "PAR1", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_shown_is_refused(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=said):
        open_view(tmp_path / name)


def test_a_folder_of_nothing_says_how_to_make_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="butwait build RECIPE"):
        open_view(tmp_path)
    with pytest.raises(ConfigError, match="neither a run folder nor a file"):
        open_view(tmp_path / "missing")


MEASURE = """
import json, resource, sys
from pathlib import Path
from butwait.evals.view.collections import open_view
from butwait.evals.view.filters import read_filter
from butwait.evals.view.joins import Joins
from butwait.evals.view.scan import Cursor, scan
view = open_view(Path(sys.argv[1]))
[collection] = view.collections
hits = 0
for asked in ({"text": ["needle"]}, {"pass_min": ["0.99"], "length_min": ["1"]}, {}):
    cursor = Cursor()
    while cursor is not None:
        page = scan(collection, read_filter(asked, collection), cursor, Joins(view))
        hits += len(page.rows) if "text" in asked else 0
        cursor = page.next if "text" in asked or page.scanned < 20_000 else None
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"hits": hits, "peak_kib": peak, "rows": collection.n_rows}))
"""


def measure(folder: Path) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)], capture_output=True, text=True, timeout=200,
        check=True,
    )  # fmt: skip
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    small = measure(write_many(tmp_path / "small", 10_000))
    large = measure(write_many(tmp_path / "large", 200_000))
    assert large["rows"] == 200_000 and large["hits"] == 4
    assert large["peak_kib"] - small["peak_kib"] < 48 * 1024, (small, large)
