"""Sources: every row of every file kind becomes one question or one dead letter, in order."""

from __future__ import annotations

import gzip
import json
import pickle
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from butwait.pipelines.sources import (
    ResolvedSource,
    local,
    plan_pieces,
    read_piece,
    resolve_source,
)
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import SourceError
from butwait.schemas.question import Question
from butwait.schemas.recipe_source import SourceSpec

FIXTURES = Path(__file__).parent / "fixtures" / "sources"

NUMINA_BINS = [
    "question",
    "proof",
    "no_answer",
    "unclosed_box",
    "empty_box",
    "question",
    "question",
    "multiple_choice_without_options",
    "question",
    "question",
    "question",
    "question",
    "question",
    "malformed_json",
    "image_needed",
    "empty",
    "malformed_json",
    "question",
    "bad_encoding",
    "proof",
]


def read(source: ResolvedSource) -> list[Question | DeadLetter]:
    pieces = pickle.loads(pickle.dumps(plan_pieces(source)))
    return [row for piece in pieces for row in read_piece(piece)]


def bins(rows: list[Question | DeadLetter]) -> list[str]:
    return [row.reason if isinstance(row, DeadLetter) else "question" for row in rows]


def resolve(path: Path, limit: int | None = None, **more: Any) -> ResolvedSource:
    return resolve_source(SourceSpec(path=str(path), **more), Path("/nowhere"), limit)


def write_parquet(path: Path, rows: list[dict[str, Any]], row_group_size: int = 3) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def sums(n: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"problem": f"What is {i} plus 1?", "answer": i + 1, "solution": f"\\boxed{{{i + 1}}}"}
        for i in range(start, start + n)
    ]


def test_every_row_of_a_numina_file_lands_in_its_bin() -> None:
    source = resolve(FIXTURES / "numina_cot.jsonl")
    rows = read(source)
    assert source.layout.name == "numina_cot"
    assert bins(rows) == NUMINA_BINS
    assert [row.row for row in rows] == list(range(len(NUMINA_BINS)))
    assert {row.dataset for row in rows} == {"numina_cot.jsonl"}
    golds = {row.row: row.gold for row in rows if isinstance(row, Question)}
    assert golds[5] == "\\frac{1}{2}" and golds[6] == "7" and golds[12] == "2"


def test_repaired_text_is_what_the_question_holds() -> None:
    rows = {row.row: row for row in read(resolve(FIXTURES / "numina_cot.jsonl"))}
    assert isinstance(rows[12], Question) and rows[12].problem == "Compute $\\frac{6}{3}$."
    assert isinstance(rows[17], Question) and rows[17].problem.startswith("José has €4")


def test_the_flags_of_numina_1_5_are_heeded() -> None:
    source = resolve(FIXTURES / "numina_1_5.jsonl")
    assert source.layout.name == "numina_1_5"
    rows = read(source)
    assert bins(rows) == [
        "question",
        "proof",
        "notfound",
        "problem_invalid",
        "solution_invalid",
        "question",
        "answer_conflicts_with_solution",
        "question",
    ]
    assert isinstance(rows[7], Question) and rows[7].gold_from == "boxed"


def test_limo_solutions_count_as_derived_from_r1() -> None:
    source = resolve(FIXTURES / "limo.jsonl", licence="mit")
    rows = read(source)
    assert source.layout.name == "limo"
    assert bins(rows) == ["question", "answer_conflicts_with_solution", "question"]
    assert isinstance(rows[0], Question)
    assert rows[0].r1_derived and rows[0].licence == "mit" and rows[0].gold_from == "column"


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "jsonl.gz", "json", "data.json", "json.gz"])
def test_all_file_kinds_read_the_same(kind: str, tmp_path: Path) -> None:
    rows = sums(10)
    path = tmp_path / f"sums.{kind}"
    if kind == "parquet":
        write_parquet(path, rows)
    elif kind == "jsonl":
        write_lines(path, rows)
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    elif kind == "json":
        path.write_text(json.dumps(rows, indent=2), "utf-8")
    elif kind == "data.json":
        path.write_text(json.dumps({"version": 1, "data": rows}), "utf-8")
    else:
        path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    questions = read(resolve(path))
    assert [(q.row, q.gold) for q in questions if isinstance(q, Question)] == [
        (i, str(i + 1)) for i in range(10)
    ]
    assert {q.source for q in questions if isinstance(q, Question)} == {"sums"}


def test_a_folder_of_shards_is_one_dataset_with_running_row_numbers(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", sums(4))
    write_parquet(tmp_path / "train-00001-of-00002.parquet", sums(3, start=4))
    write_parquet(tmp_path / "test-00000-of-00001.parquet", sums(2, start=90))
    rows = read(resolve(tmp_path))
    assert [row.row for row in rows] == list(range(7))
    assert len(read(resolve(tmp_path, split="test"))) == 2
    with pytest.raises(SourceError, match="no split 'dev'; it has test, train"):
        resolve(tmp_path, split="dev")


def test_ranges_of_lines_and_row_groups_cover_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "RANGE_BYTES", 200)
    monkeypatch.setattr(local, "RANGE_ROWS", 5)
    write_lines(tmp_path / "a.jsonl", sums(40))
    write_parquet(tmp_path / "a.parquet", sums(40))
    for name in ("a.jsonl", "a.parquet"):
        source = resolve(tmp_path / name)
        pieces = plan_pieces(source)
        assert len(pieces) > 5
        backwards = [row for piece in reversed(pieces) for row in read_piece(piece)]
        assert sorted((row.row or 0) for row in backwards) == list(range(40))
        assert {q.gold for q in backwards if isinstance(q, Question) and q.row == 33} == {"34"}


@pytest.mark.parametrize("limit", [1, 7, 40, 1000])
def test_a_limit_reads_the_first_rows_only(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "RANGE_BYTES", 200)
    write_lines(tmp_path / "a.jsonl", sums(40))
    write_parquet(tmp_path / "a.parquet", sums(40))
    (tmp_path / "a.json").write_text(json.dumps(sums(40)), "utf-8")
    for name in ("a.jsonl", "a.parquet", "a.json"):
        rows = read(resolve(tmp_path / name, limit=limit))
        assert [row.row for row in rows] == list(range(min(limit, 40)))
    assert len(read(resolve(tmp_path / "a.jsonl", limit=limit, **{"licence": "mit"}))) <= limit


def test_named_columns_markers_and_labels_are_applied(tmp_path: Path) -> None:
    rows = [
        {"q": "<U>What is 1+1?<A>x", "meta": {"gold": "Two.\n#### 2", "from": "b"}},
        {"q": "no markers", "meta": {"gold": "#### 2", "from": "b"}},
        {"q": "<U>What is 1+2?<A>", "meta": {"gold": "3", "from": "b"}},
        {"q": "<U>What is 1+3?<A>", "meta": {"gold": "#### 4", "from": "c"}},
    ]
    write_lines(tmp_path / "a.jsonl", rows)
    columns = {"problem": "q", "answer": "meta.gold", "source": "meta.from"}
    source = resolve(
        tmp_path / "a.jsonl",
        columns=columns,
        answer_after="####",
        problem_between=("<U>", "<A>"),
        keep=("b",),
    )
    read_rows = read(source)
    assert bins(read_rows) == ["question", "missing_field", "no_answer", "source_not_kept"]
    first = read_rows[0]
    assert isinstance(first, Question)
    assert (first.problem, first.gold, first.source) == ("What is 1+1?", "2", "b")


def test_a_wrong_column_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", sums(1))
    with pytest.raises(SourceError, match="did you mean 'problem'"):
        resolve(tmp_path / "a.jsonl", columns={"problem": "problm"})
    write_lines(tmp_path / "b.jsonl", [{"text": "x"}])
    with pytest.raises(SourceError, match="name its columns in the recipe"):
        resolve(tmp_path / "b.jsonl")
    with pytest.raises(SourceError, match="not both"):
        resolve(tmp_path / "a.jsonl", columns={"problem": "problem"}, layout="limo")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.jsonl", None, "does not exist"),
        ("a.csv", b"a,b", "none of the files that can be read"),
        ("a.parquet", b"not parquet", "cannot be read"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        ("a.jsonl", b"", "holds no record"),
        ("a.jsonl", b"hello\n", "not JSON"),
        ("a.json", b'{"a": 1}', "neither a list"),
        ("a.json", b'[{"problem": "x"', "ends too early|not JSON"),
    ],
)
def test_an_unusable_file_is_one_line_to_the_user(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        resolve(tmp_path / name)
    assert caught.value.exit_code == 2


def test_lines_that_are_not_json_are_dead_letters_and_reading_goes_on(tmp_path: Path) -> None:
    good = json.dumps(sums(1)[0]).encode()
    lines = [
        good,
        b"{",
        b'"text"',
        b"",
        b"\xff\xfe",
        b'{"problem": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"problem": ["a", {"b": 1}], "answer": null}',
        good,
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    rows = read(resolve(tmp_path / "a.jsonl", columns={"problem": "problem", "answer": "answer"}))
    assert [(row.row, name) for row, name in zip(rows, bins(rows), strict=True)] == [
        (0, "question"),
        (1, "malformed_json"),
        (2, "malformed_json"),
        (4, "bad_encoding"),
        (5, "malformed_json"),
        (6, "malformed_json"),
        (7, "no_answer"),
        (8, "question"),
    ]


def test_a_line_beyond_the_limit_is_skipped_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from butwait.pipelines.sources import stream

    monkeypatch.setattr(stream, "MAX_RECORD_BYTES", 1000)
    good = json.dumps(sums(1)[0])
    (tmp_path / "a.jsonl").write_text(f'{good}\n{{"problem": "{"x" * 5000}"}}\n{good}\n')
    assert bins(read(resolve(tmp_path / "a.jsonl"))) == ["question", "too_long", "question"]


def test_a_json_list_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    # Long records, few of them: the verifier's bounded memory of answers grows with their number.
    filler = "x" * 20_000
    path.write_text(json.dumps([{**row, "filler": filler} for row in sums(2_000)]), "utf-8")
    source = resolve(path)
    [piece] = plan_pieces(source)
    rows = read_piece(piece)
    next(rows)
    tracemalloc.start()
    n_rows = 1
    for _ in rows:
        n_rows += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_rows == 2000
    assert peak < path.stat().st_size / 3


def test_a_revision_names_the_content(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", sums(2))
    first = resolve(tmp_path / "a.jsonl").revision
    assert first.startswith("sha256:") and first == resolve(tmp_path / "a.jsonl").revision
    write_lines(tmp_path / "a.jsonl", sums(3))
    assert resolve(tmp_path / "a.jsonl").revision != first
    assert len(read(resolve(tmp_path / "a.jsonl"))) == 3


def test_the_pieces_of_a_source_are_small(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", sums(500))
    assert max(len(pickle.dumps(piece)) for piece in plan_pieces(resolve(tmp_path / "a.jsonl"))) < (
        4096
    )


def test_counting_bins_loses_no_row() -> None:
    for name in ("numina_cot", "numina_1_5", "limo"):
        path = FIXTURES / f"{name}.jsonl"
        counted = Counter(bins(read(resolve(path))))
        assert counted.total() == len(path.read_bytes().splitlines())
