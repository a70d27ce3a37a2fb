"""Cells of an evaluation as the per-sample logs of lm-evaluation-harness and of lighteval."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from butwait.evals.export import Style
from butwait.pipelines.cli_eval import export_cells
from butwait.pipelines.tables import write_records, write_text
from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_cell import EvalCell
from butwait.schemas.eval_run import ArmRecord, BenchmarkRecord, EvalManifest
from butwait.schemas.question import Question

N = 4
HOSTILE = 'line\u2028end\x00"\\ <script>\r\n\U0001f600 \ud7ff'


def question(number: int) -> Question:
    return Question(
        id=f"q{number}",
        problem=f"What is {number} + 1?",
        gold=str(number + 1),
        gold_canonical=str(number + 1),
        gold_from="column",
        solution=None,
        source="toy",
        dataset="toy",
        revision=None,
        licence="mit",
        row=number,
        r1_derived=False,
    )


def cell(problem: int, index: int, verdict: Any, **changes: Any) -> EvalCell:
    values: dict[str, Any] = {
        "benchmark": "toy",
        "problem_id": f"q{problem}",
        "sample_index": index,
        "model": "phi-4",
        "model_id": "microsoft/phi-4",
        "model_revision": None,
        "engine": "fake 1",
        "prompt": "bespoke",
        "method": "sample",
        "parameters": '{"max_tokens":64,"n":4,"temperature":0.8,"top_p":1.0}',
        "prompt_hash": "0123456789abcdef",
        "seed": 7,
        "text": f"sample {index}",
        "finish_reason": "stop",
        "n_tokens": 2,
        "n_spent": 2,
        "extracted": "1",
        "answer_canonical": "1",
        "answer_class": 0,
        "verdict": verdict,
        "rule": "string",
        "verifier_version": "1",
        "prm_score": None,
        "any_right": None,
        "n_transitions": 0,
        "n_backtracks": 0,
        "first_verdict": None,
        "failure": None,
    }
    return EvalCell(**values | changes)


def failed(problem: int, index: int) -> EvalCell:
    return cell(
        problem, index, None, text="", finish_reason="", extracted=None,
        answer_canonical=None, answer_class=None, failure="context_overflow",
    )  # fmt: skip


CELLS = [
    # Two right, one wrong, one with text that breaks careless readers.
    cell(0, 0, "correct"), cell(0, 1, "incorrect", answer_class=1),
    cell(0, 2, "correct"), cell(0, 3, "no_answer", text=HOSTILE, extracted=None, answer_class=None),
    # One cut, one failed, one missing, and one right: 1 of 4.
    cell(1, 0, "truncated", finish_reason="length", extracted=None, answer_class=None),
    failed(1, 1), cell(1, 3, "correct"),
    # Votes are level: 2 right, 2 wrong. Problem 3 has no cell at all.
    cell(2, 0, "correct"), cell(2, 1, "incorrect", answer_class=5),
    cell(2, 2, "incorrect", answer_class=5), cell(2, 3, "correct"),
]  # fmt: skip


def arm(method: str, n: int) -> ArmRecord:
    return ArmRecord(
        benchmark="toy", n_problems=4, n_samples=n, model="phi-4", model_id="microsoft/phi-4",
        model_revision=None, arm="-", checkpoint="-", note="", prompt="bespoke", method=method,
        parameters='{"max_tokens":64,"n":4,"temperature":0.8,"top_p":1.0}', is_base=True,
        file=f"cells/toy/phi-4--bespoke--{method}.parquet", fingerprint="f",
    )  # fmt: skip


def write_manifest(folder: Path, n: int = N, n_searches: int = 1) -> None:
    benchmark = BenchmarkRecord(
        name="toy", dataset="toy", revision="r", n_problems=4, file="benchmarks/toy.parquet"
    )
    manifest = EvalManifest(
        name="toy", butwait_version="0", git_commit=None, begun="2026-01-01T00:00:00+00:00",
        seed=0, verifier_version="1", benchmarks=(benchmark,),
        arms=(arm("sample", n), arm("particle-8", n_searches)),
    )  # fmt: skip
    write_text(folder / "manifest.json", manifest.model_dump_json())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_records(folder / "benchmarks" / "toy.parquet", map(question, range(4)), Question)
    write_records(folder / arm("sample", N).file, CELLS, EvalCell)
    search = [cell(i, 0, "correct", method="particle-8", any_right=True) for i in range(3)]
    write_records(folder / arm("particle-8", 1).file, search, EvalCell)
    write_manifest(folder)
    return folder


def export(run: Path, style: Style) -> list[dict[str, Any]]:
    out = run / "out" / f"{style}.jsonl"
    n = export_cells(run, out, style)
    lines = out.read_text(encoding="utf-8").splitlines()  # cuts at U+2028, if there is one
    assert len(lines) == n == out.read_bytes().count(b"\n")
    return [json.loads(line) for line in lines]


def by_arm(lines: list[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    found = [line.get("butwait") or line["doc"]["specific"] for line in lines]
    return [line for line, own in zip(lines, found, strict=True) if own["method"] == method]


# -- lm-eval --------------------------------------------------------------------------------------


def test_every_problem_is_a_line_of_every_arm_and_every_line_has_all_samples(run: Path) -> None:
    lines = export(run, "lm-eval")
    assert len(lines) == 2 * 4
    assert [line["doc_id"] for line in by_arm(lines, "sample")] == [0, 1, 2, 3]
    assert {len(line["resps"][0]) for line in by_arm(lines, "sample")} == {N}
    assert {len(line["resps"][0]) for line in by_arm(lines, "particle-8")} == {1}
    assert {line["filter"] for line in lines} == {
        "phi-4--bespoke--sample",
        "phi-4--bespoke--particle-8",
    }


def test_missing_failed_and_cut_samples_count_as_wrong_and_say_what_they_are(run: Path) -> None:
    lines = by_arm(export(run, "lm-eval"), "sample")
    assert [line["exact_match"] for line in lines] == [0.5, 0.25, 0.5, 0.0]
    assert [line["pass@4"] for line in lines] == [1.0, 1.0, 1.0, 0.0]
    assert [line["maj@4"] for line in lines] == [1.0, 1.0, 0.5, 0.0]
    assert lines[1]["resps"] == [["sample 0", "", "", "sample 3"]]
    assert lines[1]["butwait"]["verdicts"] == ["truncated", None, None, "correct"]
    assert lines[1]["butwait"]["failures"] == [None, "context_overflow", "missing", None]
    assert lines[1]["butwait"]["finish_reasons"] == ["length", "", "", "stop"]
    assert lines[3]["butwait"]["failures"] == ["missing"] * N
    assert sum(line["exact_match"] for line in lines) * N == sum(
        c.verdict == "correct" for c in CELLS
    )


def test_hostile_text_comes_back_as_it_was(run: Path) -> None:
    for style in ("lm-eval", "lighteval", "plain"):
        export(run, style)
        raw = (run / "out" / f"{style}.jsonl").read_bytes()
        assert raw.isascii()
        assert b"\x00" not in raw
    assert any(HOSTILE in line["resps"][0] for line in export(run, "lm-eval"))
    assert by_arm(export(run, "lighteval"), "sample")[0]["model_response"]["text"][3] == HOSTILE
    assert HOSTILE in [line["text"] for line in export(run, "plain")]


def test_a_line_of_lm_eval_has_its_hashes_arguments_and_metrics(run: Path) -> None:
    line = by_arm(export(run, "lm-eval"), "sample")[0]
    document = json.dumps(line["doc"], indent=2, ensure_ascii=False)
    assert line["doc_hash"] == hashlib.sha256(document.encode()).hexdigest()
    assert line["target_hash"] == hashlib.sha256(line["target"].encode()).hexdigest()
    assert line["prompt_hash"] == "0123456789abcdef"
    arguments = line["arguments"]["gen_args_0"]
    assert arguments["arg_0"] == "What is 0 + 1?"
    assert arguments["arg_1"]["temperature"] == 0.8
    assert line["metrics"] == ["exact_match", "pass@4", "maj@4"]
    assert line["filtered_resps"] == [["1", "1", "1", ""]]
    [single] = {tuple(line["metrics"]) for line in by_arm(export(run, "lm-eval"), "particle-8")}
    assert single == ("exact_match",)


@pytest.mark.filterwarnings("ignore")
def test_lm_evals_own_schema_and_reader_take_the_lines(run: Path) -> None:
    pytest.importorskip("lm_eval", reason="lm_eval is not installed")
    from lm_eval.loggers.trackio_logger import _sample_to_trace
    from lm_eval.result_schema import SampleResult
    from lm_eval.utils import get_sample_results_filenames

    class Traces:
        @staticmethod
        def Trace(messages: list[dict[str, str]], metadata: dict[str, Any]) -> Any:
            return messages, metadata

    for line in export(run, "lm-eval"):
        assert SampleResult.__required_keys__ <= set(line)
        assert all(isinstance(line[metric], float) for metric in line["metrics"])
        _, metadata = _sample_to_trace(Traces, line, "toy", "generate_until")
        assert (metadata["doc_id"], metadata["target"]) == (line["doc_id"], line["target"])
        assert metadata["exact_match"] == line["exact_match"]
    export_cells(run, run / "folder", "lm-eval")
    files = [str(path) for path in (run / "folder").rglob("*.jsonl")]
    assert sorted(get_sample_results_filenames(files)) == sorted(files)


# -- lighteval ------------------------------------------------------------------------------------


def test_a_line_of_lighteval_has_its_three_columns_and_its_metric_names(run: Path) -> None:
    lines = by_arm(export(run, "lighteval"), "sample")
    assert {tuple(sorted(line)) for line in lines} == {("doc", "metric", "model_response")}
    assert [line["metric"]["avg@n:n=4"] for line in lines] == [0.5, 0.25, 0.5, 0.0]
    assert [line["metric"]["pass@k:k=1&n=4"] for line in lines] == [0.5, 0.25, 0.5, 0.0]
    assert [line["metric"]["pass@k:k=4&n=4"] for line in lines] == [1.0, 1.0, 1.0, 0.0]
    assert [line["metric"]["maj@n:n=4"] for line in lines] == [1.0, 1.0, 0.5, 0.0]
    doc = lines[0]["doc"]
    assert (doc["choices"], doc["gold_index"], doc["num_samples"]) == (["1"], 0, N)
    assert (doc["task_name"], doc["generation_size"], doc["id"]) == ("toy|0", 64, "0")
    assert lines[3]["model_response"]["text"] == [""] * N
    single = by_arm(export(run, "lighteval"), "particle-8")
    assert [line["metric"]["extractive_match"] for line in single] == [1.0, 1.0, 1.0, 0.0]


@pytest.mark.filterwarnings("ignore")
def test_lightevals_own_records_take_the_lines(run: Path) -> None:
    pytest.importorskip("lighteval", reason="lighteval is not installed")
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    for line in export(run, "lighteval"):
        doc, response = Doc(**line["doc"]), ModelResponse(**line["model_response"])
        assert doc.get_golds() == line["doc"]["choices"]
        assert len(response.final_text) == doc.num_samples
        assert response[0].final_text == response.final_text[:1]


def test_datasets_reads_the_lines_of_every_style(run: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    for style in ("lm-eval", "lighteval", "plain"):
        lines = export(run, style)
        path = str(run / "out" / f"{style}.jsonl")
        table = load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path / "c"))
        assert len(table) == len(lines)


@pytest.mark.filterwarnings("ignore")
def test_the_snippets_of_the_page_run_and_print_the_strict_score(
    run: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (root / "docs" / "use-with-lm-eval.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(run)
    export_cells(run, run / "samples.jsonl", "lm-eval")
    export_cells(run, run / "details.jsonl", "lighteval")
    for block in blocks:
        exec(compile(block, "docs/use-with-lm-eval.md", "exec"), {})
    said = capsys.readouterr().out
    assert "phi-4--bespoke--sample: expected@1 31.25 over 4 problems" in said  # 5 of 16
    [details] = run.glob("details_*.parquet")
    assert pq.read_metadata(details).num_rows == 8


# -- plain, and the files -------------------------------------------------------------------------


def test_plain_lines_are_the_cells_and_the_missing_ones(run: Path) -> None:
    lines = [line for line in export(run, "plain") if line["method"] == "sample"]
    assert len(lines) == 4 * N
    there = [line for line in lines if line["failure"] != "missing"]
    names = set(EvalCell.model_fields)
    assert [EvalCell(**{k: v for k, v in line.items() if k in names}) for line in there] == CELLS
    gone = [(x["problem_id"], x["sample_index"]) for x in lines if x["failure"] == "missing"]
    assert gone == [("q1", 2), ("q3", 0), ("q3", 1), ("q3", 2), ("q3", 3)]
    assert {tuple(line) for line in lines} == {tuple(lines[0])}
    assert lines[0]["problem"] == "What is 0 + 1?"


def test_a_folder_gets_one_file_an_arm_named_as_the_tools_name_theirs(run: Path) -> None:
    for style, stem in (("lm-eval", "samples"), ("lighteval", "details"), ("plain", "samples")):
        out = run / style
        assert export_cells(run, out, style) == sum(
            path.read_bytes().count(b"\n") for path in out.rglob("*.jsonl")
        )
        found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        assert len(found) == 2
        time = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}"
        assert re.fullmatch(rf"phi-4--bespoke--sample/{stem}_toy_{time}\.jsonl", found[1])


def test_the_manifest_says_how_many_samples_there_should_be(run: Path) -> None:
    write_manifest(run, n=6, n_searches=2)
    lines = export(run, "lm-eval")
    assert {len(line["resps"][0]) for line in by_arm(lines, "sample")} == {6}
    assert {len(line["resps"][0]) for line in by_arm(lines, "particle-8")} == {2}
    assert [line["exact_match"] for line in by_arm(lines, "sample")] == [2 / 6, 1 / 6, 2 / 6, 0]


def test_an_arm_of_which_nothing_was_sampled_has_all_its_lines(run: Path) -> None:
    (run / arm("sample", N).file).unlink()
    lines = by_arm(export(run, "lm-eval"), "sample")
    assert [line["exact_match"] for line in lines] == [0.0] * 4
    assert lines[0]["butwait"]["failures"] == ["missing"] * N


def test_the_same_cells_give_the_same_bytes(run: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        export_cells(run, run / name, "lm-eval")
    assert (run / "a.jsonl").read_bytes() == (run / "b.jsonl").read_bytes()


def test_what_is_no_evaluation_is_refused_and_nothing_is_left_behind(run: Path) -> None:
    out = run / "out.jsonl"
    with pytest.raises(ConfigError, match="is no evaluation run"):
        export_cells(run / "nothing", out, "plain")
    with pytest.raises(ConfigError, match="none of lm-eval, lighteval, plain"):
        export_cells(run, out, "other")
    file = run / arm("sample", N).file
    write_records(file, [CELLS[0], CELLS[0]], EvalCell)
    with pytest.raises(ConfigError, match="a second cell of number 0"):
        export_cells(run, out, "plain")
    write_records(file, [cell(9, 0, "correct")], EvalCell)
    with pytest.raises(ConfigError, match="q9 is not in benchmark toy"):
        export_cells(run, out, "plain")
    (run / "benchmarks" / "toy.parquet").unlink()
    with pytest.raises(ConfigError, match=r"toy\.parquet does not exist"):
        export_cells(run, out, "plain")
    assert [path.name for path in run.iterdir() if path.is_file()] == ["manifest.json"]
