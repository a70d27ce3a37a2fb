"""``butwait verify`` and ``butwait explain`` as a user runs them."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from butwait.pipelines.cli import run_command
from butwait.pipelines.verify_file import Tally, read_row, verify_rows

ROWS: list[dict[str, Any]] = [
    {"id": "a", "gold": "1/2", "prediction": "\\frac{2}{4}", "kind": "equivalence"},
    {"id": "b", "gold": "7", "prediction": "so \\boxed{8}", "expected": False},
    {"gold": 2, "prediction": 2.0, "kind": "answer", "expected": True},
    {"id": "d", "gold": "4", "prediction": "B", "kind": "answer", "problem": "(A) 3 (B) 4"},
    {"id": "e", "gold": "1/3", "prediction": "0.333", "kind": "answer", "tolerance": 0.01},
    {"id": "f", "gold": "xy", "prediction": "yx", "kind": "answer", "answer_type": "expression"},
    {"id": "g", "gold": "7", "prediction": "answer: 7", "finish_reason": "length"},
]
VERDICTS = ["correct", "incorrect", "correct", "correct", "correct", "correct", "truncated"]


def run(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with plain output."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("butwait")), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_gets_a_line_a_row_in_order_and_a_table(tmp_path: Path) -> None:
    done = run("verify", str(write(tmp_path / "rows.jsonl", ROWS)))
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [row["verdict"] for row in found] == VERDICTS
    assert [row["id"] for row in found] == ["a", "b", 3, "d", "e", "f", "g"]
    assert [row["correct"] for row in found] == [name == "correct" for name in VERDICTS]
    assert all({"extracted", "rule", "ms", "verifier_version"} <= set(row) for row in found)
    assert "7 rows" in done.stderr
    assert "2 labelled: 100.00 % agree, 0 wrong accepted, 0 right refused" in done.stderr


def test_a_compressed_file_goes_to_a_file_with_a_json_summary(tmp_path: Path) -> None:
    source, out = tmp_path / "rows.jsonl.gz", tmp_path / "out.jsonl"
    with gzip.open(source, "wt") as sink:
        sink.writelines(json.dumps(row) + "\n" for row in ROWS)
    done = run("verify", str(source), "--out", str(out), "--json")
    assert (done.returncode, done.stdout) == (0, "")
    assert len(out.read_text().splitlines()) == 7
    summary = json.loads(done.stderr)
    assert summary["verdicts"] == {"correct": 5, "incorrect": 1, "truncated": 1}
    assert (summary["rows"], summary["accuracy"]) == (7, 1.0)
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


BAD = [
    ("x", "is not JSON"),
    ("[1]", "is not a JSON object"),
    ('{"gold": "1"}', "prediction is missing"),
    ('{"gold": null, "prediction": "1"}', "gold must be a text, not NoneType"),
    ('{"gold": true, "prediction": "1"}', "gold must be a text, not bool"),
    ('{"gold": "1", "prediction": "1", "kind": "box"}', "'box'"),
    ('{"gold": "1", "prediction": "1", "problem": 3}', "problem must be a text, not int"),
    ("[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_row_says_what_is_wrong_and_the_others_go_on(line: str, message: str) -> None:
    tally = Tally()
    rows = [line, '{"gold": "1", "prediction": "1", "kind": "answer"}']
    found = list(verify_rows(rows, tally))
    assert [row["verdict"] for row in found] == ["error", "correct"]
    assert found[0]["rule"] == "bad_row"
    assert message in found[0]["detail"] and "line 1" in found[0]["detail"]
    assert (tally.rows, tally.bad_rows) == (2, 1)


def test_a_file_with_bad_rows_ends_with_one_and_an_empty_one_with_nothing(tmp_path: Path) -> None:
    bad = run("verify", "-", text='{"gold": "1", "prediction": "1"}\nx\n')
    assert bad.returncode == 1
    assert "1 bad rows" in bad.stderr
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert run("verify", str(empty)).returncode == 0


def test_ids_may_be_any_json_value() -> None:
    assert read_row('{"id": [1], "gold": "1", "prediction": "1"}', 9).id == [1]
    assert read_row('{"gold": "1", "prediction": "1"}', 9).id == 9


def test_one_pair_exits_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["verify", "--gold", "1/2", "--prediction", r"\frac{2}{4}"]) == 0
    assert capsys.readouterr().out.startswith("correct (rule rational)")
    assert run_command(["verify", "--gold", "1/2", "--prediction", "0.4", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "incorrect"


def test_a_trace_is_read_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.txt"
    trace.write_text("<think>5</think> so \\boxed{7}")
    arguments = ["--gold", "7", "--prediction", f"@{trace}", "--kind", "trace"]
    assert run_command(["verify", *arguments]) == 0
    assert "extracted: 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify"], "either a JSONL file or both --gold and --prediction"),
        (["verify", "f.jsonl", "--gold", "1"], "either a JSONL file"),
        (["verify", "--gold", "1"], "--prediction is missing"),
        (["verify", "nowhere.jsonl"], "cannot read nowhere.jsonl: No such file"),
        (["verify", "/"], "is a folder"),
        (["explain", "--gold", "1"], "--prediction is missing"),
        (["explain", "--gold", "1", "--prediction", "@nowhere"], "cannot read nowhere"),
    ],
)
def test_wrong_options_are_one_line_without_a_traceback(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_the_input_file_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "rows.jsonl", ROWS)
    before = source.read_bytes()
    assert run_command(["verify", str(source), "--out", str(source)]) == 2
    assert source.read_bytes() == before
    assert "name another file" in capsys.readouterr().err


def test_explain_shows_what_differs_and_escapes_hostile_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["explain", "--gold", "(1,2)", "--prediction", "(1,3)"]) == 0
    assert "place 2 differs: 2 against 3" in capsys.readouterr().out
    assert run_command(["explain", "--gold", "5", "--prediction", "\x1b[31m5\u202e"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out and "\\x1b[31m5" in out


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", ROWS * 2_000)
    command = f"{Path(sys.executable).with_name('butwait')} verify {source} | head -1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(done.stdout)["id"] == "a"
    assert "Traceback" not in done.stderr and "Error" not in done.stderr


@pytest.mark.alone
def test_ctrl_c_ends_with_130_finished_lines_and_no_process(tmp_path: Path) -> None:
    slow = {"gold": "\\frac{x^{1001}-x}{x-1}", "prediction": "\\sum_{k=0}^{999}x^{k+1}"}
    rows = [ROWS[0]] + [
        {**slow, "gold": f"{slow['gold']}+{k}", "kind": "answer"} for k in range(60)
    ]
    source = write(tmp_path / "rows.jsonl", rows)
    butwait = str(Path(sys.executable).with_name("butwait"))
    process = subprocess.Popen(
        [butwait, "verify", str(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "BUTWAIT_MARK": str(tmp_path)},
    )
    deadline = time.monotonic() + 30
    while len(_marked(str(tmp_path))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    assert len(_marked(str(tmp_path))) > 1
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error.strip().endswith("interrupted")
    assert json.loads(out.splitlines()[0])["id"] == "a"
    deadline = time.monotonic() + 3
    while _marked(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _marked(str(tmp_path)) == []


def _marked(mark: str) -> list[int]:
    """Processes whose environment holds the mark: workers inherit it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found
