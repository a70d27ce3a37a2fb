"""Records in parquet: equal on the way back, the same bytes twice, never half a file."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from butwait.pipelines.tables import (
    arrow_schema,
    count_row_groups,
    count_rows,
    file_sha256,
    published_schema,
    read_columns,
    read_records,
    write_records,
)
from butwait.schemas.errors import ButwaitError
from butwait.schemas.question import Question
from butwait.schemas.row import PreferenceRow, RlRow, SftRow, StepRow
from butwait.schemas.trajectory import Trajectory
from butwait.schemas.tree import SearchTree


def question(number: int) -> Question:
    return Question(
        id=f"q{number:024x}",
        problem=f"What is {number} + {number}?",
        gold=str(2 * number),
        gold_canonical=str(2 * number),
        gold_from="column",
        solution=None,
        source="made",
        dataset="made.jsonl",
        revision=None,
        licence="apache-2.0",
        row=number,
        r1_derived=False,
    )


@pytest.mark.parametrize(
    "record", [Question, Trajectory, SearchTree, SftRow, RlRow, PreferenceRow, StepRow]
)
def test_every_stored_record_has_an_arrow_schema_with_its_fields_in_order(record: type) -> None:
    assert arrow_schema(record).names == list(record.model_fields)


def test_records_come_back_equal_and_by_row_group(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "q.parquet"
    questions = [question(i) for i in range(10)]
    assert write_records(path, questions, Question, row_group_size=4) == 10
    assert list(read_records(path, Question)) == questions
    assert list(read_records(path, Question, [1])) == questions[4:8]
    assert (count_rows(path), count_row_groups(path)) == (10, 3)
    assert [row["row"] for row in read_columns(path, ["row"])] == list(range(10))


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.parquet", "b.parquet")]
    for path in paths:
        write_records(path, (question(i) for i in range(100)), Question)
    assert file_sha256(paths[0]) == file_sha256(paths[1])


def test_a_writer_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def failing() -> object:
        yield question(1)
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError):
        write_records(tmp_path / "q.parquet", failing(), Question)
    assert list(tmp_path.iterdir()) == []


def test_no_rows_give_a_file_with_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    write_records(path, [], SftRow, schema=published_schema(SftRow))
    assert pq.read_schema(path).names == list(SftRow.model_fields)
    assert b"huggingface" in pq.read_schema(path).metadata


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1\x00\x00PAR1"])
def test_a_broken_file_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "q.parquet"
    path.write_bytes(content)
    with pytest.raises(ButwaitError, match=r"q\.parquet cannot be read .* delete it"):
        list(read_records(path, Question))
