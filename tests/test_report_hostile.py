"""Everything in a run is somebody else's: it stays text, in its place, and of bounded size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import make_continuation, make_question, make_sample
from report_reader import Page, find_chromium, open_in_chromium

from butwait.evals.report.page import make_report, visible
from butwait.pipelines.tables import write_records
from butwait.schemas.question import Question
from butwait.schemas.trajectory import Trajectory

EVIL = (
    '</pre></details><script>document.title="owned"</script><img src=x onerror=alert(1)>'
    "\"'&amp;&lt; $\\frac{1}{2}$ ]]> --> \x00\x1b[31m\u202eabc {{ 7*7 }} {% raw %} 思考"
)
BIG = "<&\"'>" * 400_000


def write_run(folder: Path, text: str) -> Path:
    """A build whose every word is this text."""
    question = make_question(source=text, problem=text, dataset=text)
    write_records(folder / "questions" / "questions-00000-of-00001.parquet", [question], Question)
    samples = [make_sample(0, text, answer=text), make_sample(1, text, "incorrect")]
    waits = [make_continuation(samples[0], text)]
    records = [*samples, *waits]
    write_records(folder / "trajectories" / "part-00000-00000.parquet", records, Trajectory)
    rows = [
        {
            "id": text, "prompt": [{"role": text, "content": text}],
            "completion": [{"role": "assistant", "content": text}], "answer": text,
            "spans": [{"start": 2, "end": 9, "role": text}, {"start": 5, "end": 10**9,
                      "role": "wrong_branch"}, {"start": -4, "end": 3, "role": "answer"}],
        }
        for _ in range(20)
    ]  # fmt: skip
    path = folder / "rows" / "default" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    account = {"total": 3, "bins": {text: 2, "made_rows": 1}}
    ledger = {"questions": account, "samples": account, "continuations": account,
              "rows": {text: account}, "flows": {}, "considered": {text: account},
              "notes": {text: text}}  # fmt: skip
    (folder / "ledger.json").write_text(json.dumps(ledger))
    manifest: dict[str, Any] = {
        "schema_version": text, "name": text, "versions": {text: text}, "model": [text],
        "sources": [{"name": text, text: text}, text], "stages": text,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "questions" / "_stage.json").write_text(json.dumps({"counts": text, "notes": text}))
    line = {"label": text, "begun": text, "seconds": 2, "counts": {"tokens": text, text: 1}}
    (folder / "trajectories" / "progress.jsonl").write_text(f"{json.dumps(line)}\n{text}\n[1]\n")
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_report(write_run(tmp_path_factory.mktemp("x") / "evil", EVIL))


def test_hostile_words_stay_text(hostile: str) -> None:
    page = Page(hostile)
    page.check()
    assert "<script>document.title" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "$\\frac{1}{2}$" in page.text


def test_letters_that_hide_or_reorder_others_are_shown(hostile: str) -> None:
    assert not any(c in hostile for c in "\x00\x1b\u202e")
    assert "␀" in hostile and "⟨U+202E⟩" in hostile
    assert visible("a\ud800b") == "a?b"


def test_hostile_numbers_and_shapes_are_passed_over(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "plain")
    (run / "ledger.json").write_text('{"questions": [], "rows": 7, "considered": {"a": null}}')
    (run / "manifest.json").write_text("[" * 100_000)
    lines = ['{"seconds": NaN, "counts": {}}', '{"seconds": -5, "counts": {"tokens": -7}}']
    lines += ['{"seconds": 1e400, "counts": {"tokens": 1}}', "[" * 100_000]
    (run / "trajectories" / "progress.jsonl").write_text("\n".join(lines))
    page = Page(make_report(run))
    page.check()
    assert "manifest.json cannot be read" in page.text


def test_a_page_of_giant_texts_stays_below_five_megabytes(tmp_path: Path) -> None:
    page = make_report(write_run(tmp_path / "big", BIG))
    assert len(page.encode()) < 5_000_000
    assert "more characters" in page


@pytest.mark.browser
def test_chromium_runs_nothing_of_a_hostile_page(hostile: str, tmp_path: Path) -> None:
    browser = find_chromium()
    if browser is None:
        pytest.skip("no chromium here")
    path = tmp_path / "evil.html"
    path.write_text(hostile, encoding="utf-8")
    dom, said = open_in_chromium(browser, path, tmp_path / "profile")
    assert said == []
    assert "<title>owned" not in dom and "<script" not in dom and "<img" not in dom
