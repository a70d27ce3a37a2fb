"""``butwait decontaminate``: a file of questions against benchmarks, whatever the file is like."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from butwait.pipelines import decontaminate
from butwait.pipelines.benchmarks import (
    find_benchmark_place,
    name_benchmark,
    read_benchmark,
    resolve_benchmark_path,
)
from butwait.pipelines.cli import run_command
from butwait.pipelines.decontaminate import check_pieces, plan_file
from butwait.schemas.benchmark import BenchmarkSpec, find_benchmark
from butwait.schemas.errors import ConfigError, SourceError

PROBLEMS = [
    "A baker packs 14 loaves into each of 9 crates and keeps 5 loaves. How many has she baked?",
    "Find the number of lattice points with $x^2+y^2<50$ that lie on the line $y=7x-2$.",
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    rows = [{"unique_id": f"b/{i}", "problem": text} for i, text in enumerate(PROBLEMS)]
    return write(tmp_path / "held-out.jsonl", rows)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run_command(["decontaminate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_hit_is_one_json_record(
    tmp_path: Path, benchmark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": "What is 3 + 4?", "id": "x"}, {"question": PROBLEMS[1], "id": "y"}]
    path = write(tmp_path / "q.jsonl", rows)
    code, out, err = call(capsys, path, "--against", benchmark, "--json")
    [hit] = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert list(hit) == [
        "question_id", "benchmark", "benchmark_id", "kind", "score", "confidence", "evidence",
    ]  # fmt: skip
    assert [hit["question_id"], hit["benchmark"], hit["benchmark_id"]] == ["y", "held-out", "b/1"]
    assert (hit["kind"], hit["score"], hit["confidence"]) == ("exact", 1.0, "high")
    assert "1 of 2 questions" in err


def test_people_get_a_line_a_hit_and_a_sum(
    tmp_path: Path, benchmark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "q.jsonl", [{"problem": text} for text in [*PROBLEMS, "", None]])
    code, out, _ = call(capsys, path, "--against", benchmark, "--against", "pocket-test")
    first, second, last = out.splitlines()
    assert code == 0
    assert first.startswith("0: exact copy of held-out b/0 (score 1.00, confidence high); ")
    assert second.startswith("1: exact copy of held-out b/1")
    assert last == (
        "2 of 4 questions are copies of problems of held-out (2 hits), pocket-test (0 hits);"
        " 2 rows without text were not compared"
    )


@pytest.mark.parametrize("suffix", [".parquet", ".json", ".jsonl.gz", ".ndjson"])
def test_other_formats_are_read_too(
    tmp_path: Path, benchmark: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    path = tmp_path / f"q{suffix}"
    rows = [{"id": 70 + i, "problem": text} for i, text in enumerate(PROBLEMS)]
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif suffix == ".jsonl.gz":
        import gzip

        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    else:
        write(path, rows)
    _, out, _ = call(capsys, path, "--against", benchmark, "--json")
    assert [json.loads(line)["question_id"] for line in out.splitlines()] == ["70", "71"]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_has_no_copies(
    tmp_path: Path, benchmark: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(content)
    code, out, _ = call(capsys, path, "--against", benchmark)
    assert (code, out) == (0, "0 of 0 questions are copies of problems of held-out (0 hits)\n")


def test_an_empty_parquet_file_has_no_copies(
    tmp_path: Path, benchmark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"problem": pa.array([], pa.string())}), tmp_path / "q.parquet")
    assert call(capsys, tmp_path / "q.parquet", "--against", benchmark)[0] == 0


def test_bad_rows_are_counted_and_the_rest_is_checked(
    tmp_path: Path, benchmark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.dumps({"problem": PROBLEMS[0], "id": "\x1b[2Jevil"})
    path = tmp_path / "q.jsonl"
    path.write_bytes(f"{good}\n{{broken\n[1]\n{good}".encode() + b'\n{"problem": "\xff"}\n')
    code, out, _ = call(capsys, path, "--against", benchmark)
    assert code == 0
    assert out.count("exact copy") == 2
    assert "3 rows without text" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["q.jsonl"], "give --against"),
        (["q.jsonl", "--against", "pocket-tset"], "did you mean 'pocket-test'"),
        (["none.jsonl", "--against", "pocket-test"], "does not exist"),
        (["q.csv", "--against", "pocket-test"], "none of the files that can be read"),
        (["other.jsonl", "--against", "pocket-test"], "its columns are text, label"),
        (["q.jsonl", "--against", "other.jsonl"], "its columns are text, label"),
        (["q.jsonl", "--against", "broken.jsonl"], "row 1"),
        (["q.jsonl", "--against", "blank.jsonl"], "no row with a problem"),
        (["q.jsonl", "--against", "pocket-test", "--workers", "0"], "--workers"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "q.jsonl", [{"problem": "What is 1 + 1?"}])
    write(tmp_path / "other.jsonl", [{"text": "What is 1 + 1?", "label": "2"}])
    write(tmp_path / "blank.jsonl", [{"problem": ""}])
    (tmp_path / "q.csv").write_text("problem\n1\n")
    (tmp_path / "broken.jsonl").write_text('{"problem": "What is 1 + 1?"}\nnot json\n')
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_hits_do_not_depend_on_pieces_or_workers(
    tmp_path: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"problem": f"What is {i} times {i + 1}? Think of {i % 7} boats."} for i in range(400)]
    for at in (3, 150, 151, 399):
        rows[at] = {"problem": PROBLEMS[at % 2].replace("Find", "Determine")}
    path = write(tmp_path / "q.jsonl", rows)
    targets = name_benchmark(str(benchmark)).targets
    whole = [hit for part in check_pieces(plan_file(path), targets, 1) for hit in part.hits]
    monkeypatch.setattr("butwait.pipelines.sources.local.RANGE_BYTES", 3000)
    pieces = plan_file(path)
    assert len(pieces) > 4
    parts = list(check_pieces(pieces, targets, 2))
    assert [hit for part in parts for hit in part.hits] == whole
    assert sum(part.n_questions for part in parts) == 400
    assert [hit.question_id for hit in whole] == ["3", "150", "151", "399"]


def test_ctrl_c_ends_the_command_and_its_workers(tmp_path: Path, benchmark: Path) -> None:
    rows = [
        {"problem": f"{PROBLEMS[0]} And {i}? {'Why so many boats? ' * 40}"} for i in range(60_000)
    ]
    path = write(tmp_path / "q.jsonl", rows)
    command = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "decontaminate", str(path), "--against", str(benchmark), "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        deadline = time.monotonic() + 120
        while not (workers := _children(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err.splitlines()[-1] == "interrupted"
        assert workers
        gone = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < gone:
            time.sleep(0.1)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    finally:
        process.kill()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def test_one_worker_a_core_is_the_default() -> None:
    assert 1 <= decontaminate.count_cores() <= (os.cpu_count() or 1)


# Benchmarks


def test_packaged_benchmarks_are_read_by_name() -> None:
    found = name_benchmark("pocket-test")
    assert (found.name, len(found.targets)) == ("pocket-test", 300)
    assert found.revision.startswith("sha256:")
    assert [target.id for target in found.targets[:2]] == ["0", "1"]


def test_a_copy_may_stand_for_a_known_benchmark(tmp_path: Path) -> None:
    path = write(tmp_path / "copy.jsonl", [{"problem": PROBLEMS[0], "answer": "1", "id": 60}])
    spec = BenchmarkSpec(name="aime24", path="copy.jsonl")
    [target] = read_benchmark(spec, tmp_path).targets
    assert (target.benchmark, target.id, target.problem) == ("aime24", "60", PROBLEMS[0])
    assert resolve_benchmark_path(spec) == path.name
    assert resolve_benchmark_path(find_benchmark("gsm8k")) is None


def test_only_wanted_rows_are_problems(tmp_path: Path) -> None:
    rows = [
        {"question": text, "answer_type": kind} for text, kind in zip(PROBLEMS, "NE", strict=True)
    ]
    write(tmp_path / "b.jsonl", rows)
    spec = BenchmarkSpec(name="b", path="b.jsonl", only={"answer_type": "E"})
    assert [target.id for target in read_benchmark(spec, tmp_path).targets] == ["1"]
    with pytest.raises(SourceError, match="no column 'kind'"):
        read_benchmark(spec.model_copy(update={"only": {"kind": "E"}}), tmp_path)


def test_an_unreachable_hub_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise SourceError("no way to the Hub")

    monkeypatch.setattr("butwait.pipelines.benchmarks.find_place", refuse)
    with pytest.raises(SourceError, match=r"benchmark math500 .* give a file of your own"):
        find_benchmark_place(find_benchmark("math500"), Path())
    with pytest.raises(ConfigError, match="neither a file nor a known benchmark"):
        name_benchmark("mathh-500-unknown")
