"""Reports of real runs: what stands on the page, and that it is one page which needs nothing."""

from __future__ import annotations

import gc
import json
import re
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_world import add, build, recipe_document, write_questions
from eval_world import make_arm, spread, write_run
from fake_openai import FakeOpenAI
from fake_prm import FakePrm
from report_reader import Page, find_chromium, open_in_chromium
from test_search_build import judge, step_by_step

from butwait.evals.report.page import make_report
from butwait.pipelines.cli import run_command
from butwait.pipelines.summary import read_ledger
from butwait.pipelines.tables import read_columns


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with duplicates, a gold that cannot be read, continuations and all row classes."""
    folder = tmp_path_factory.mktemp("built")
    extra = [
        {"problem": "What is 10 plus 2?", "answer": "12"},
        {"problem": "Why?", "answer": "because of the weather, mostly, I think"},
    ]
    write_questions(folder / "sums.jsonl", 30, extra)
    with FakeOpenAI(add).running() as server:
        return build(folder, recipe_document(server.url)).root


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A build that searched."""
    folder = tmp_path_factory.mktemp("searched")
    write_questions(folder / "sums.jsonl", 12)
    prm = FakePrm(model="fake/prm")
    prm.spoil = judge
    with FakeOpenAI(answer=step_by_step).running() as policy, prm.running():
        server = {"url": prm.url, "served_name": "fake/prm", "n_retries": 3}
        document = recipe_document(
            policy.url,
            sampling={"n": 0, "max_tokens": 200},
            search={"method": "particle", "budget": 6, "max_step_tokens": 50},
            prm={"model": {"id": "fake/prm"}, "server": server},
            rows={"default": {"transform": "backtrack"}, "pairs": {"transform": "preference"},
                  "steps": {"transform": "step_labels"}},
        )  # fmt: skip
        yield build(folder, document).root


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """The build, to be damaged."""
    return Path(shutil.copytree(run, tmp_path / "sums"))


def titles(page: Page) -> list[str]:
    return [h.text.strip() for h in page.find("h3")]


def test_the_page_of_a_build_loads_nothing_runs_nothing_and_names_its_pictures(run: Path) -> None:
    page = Page(make_report(run))
    page.check()
    assert [f.find("h3")[0].text for f in page.find("figure")] == [
        "From questions to rows",
        "Pass rate of the questions",
        "Length of the samples by verdict",
        "Verdicts by source",
        "Different answers a question",
        "Entropy of the answers to a question",
        "But wait: first answer to final answer",
        "Speed over time",
    ]


def test_every_bin_of_the_ledger_stands_in_the_table_below_the_flow(run: Path) -> None:
    page = Page(make_report(run))
    table = page.find("figure")[0].find("table")[0]
    cells = {tuple(td.text for td in tr.find("td"))[:3] for tr in table.find("tr")}
    ledger = read_ledger(run)
    for name, account in ledger.considered.items():
        for reason, count in account.bins.items():
            assert (f"questions for {name}", reason, f"{count:,}") in cells
    for reason, count in ledger.questions.bins.items():
        assert ("questions read, by final fate", reason, f"{count:,}") in cells
    shown = " ".join(t.text for t in page.find("figure")[0].find("text"))
    assert "32 read" in shown and "31 kept" in shown and "1 duplicate" in shown


def test_the_figures_are_those_of_the_files(run: Path) -> None:
    rows = [row for path in sorted((run / "trajectories").glob("part-*.parquet"))
            for row in read_columns(path, ["parent_id", "verdict"])]  # fmt: skip
    fresh = [row["verdict"] for row in rows if row["parent_id"] is None]
    text = make_report(run)
    assert len(fresh) == 120  # one question was refused by the server
    assert f"{len(fresh)} samples of 30 questions" in text
    assert f"{100 * fresh.count('correct') / len(fresh):.1f} %" in text
    n_chains = sum(read_ledger(run).flows["but_wait"].values())
    assert f"Of {n_chains:,} chains" in text


def test_the_same_run_gives_the_same_bytes_and_no_absolute_path(run: Path) -> None:
    first = make_report(run)
    assert make_report(run) == first
    assert str(run.parent) not in first


def test_rows_are_shown_with_their_spans(run: Path) -> None:
    page = Page(make_report(run))
    marked = {e.attrs.get("class") for e in page.find("span")}
    assert {"wrong_branch", "transition", "answer"} <= marked
    assert "stitch" in " ".join(titles(page))


def test_the_page_of_a_search_shows_sample_sizes_and_scores(searched: Path) -> None:
    page = Page(make_report(searched))
    page.check()
    assert "Effective sample size over the steps" in titles(page)
    assert "Process reward of right and wrong solutions" in titles(page)
    assert "of the pairs (AUC)" in page.text
    assert {"right", "wrong"} <= {e.attrs.get("class") for e in page.find("span")}


def test_an_evaluation_has_scores_a_forest_and_texts(tmp_path: Path) -> None:
    base = make_arm(spread([2, 3, 1, 0, 4, 2], 4))
    better = make_arm(spread([4, 4, 3, 2, 4, 3], 4), model="tuned <b>")
    page = Page(make_report(write_run(tmp_path / "exam", [base, better])))
    page.check()
    assert "Differences to the base" in titles(page)
    assert "expected@1" in page.text and "tuned <b>" in page.text


def test_an_evaluation_with_missing_cells_says_so_and_compares_nothing(tmp_path: Path) -> None:
    arm = make_arm([["correct", None], ["incorrect", "!timeout"]])
    page = Page(make_report(write_run(tmp_path / "exam", [arm])))
    page.check()
    assert "not compared" in page.text
    assert "INCOMPLETE" in page.text


def test_a_training_run_has_its_curves(tmp_path: Path) -> None:
    folder = tmp_path / "sft"
    folder.mkdir()
    manifest = {"kind": "sft", "steps": 3, "samples": 96, "status": "finished"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lines = [{"step": i, "samples": 32 * i, "loss": 1 / i} for i in range(1, 4)]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"step": 4, "sam'
    (folder / "metrics.jsonl").write_text(text)
    page = Page(make_report(folder))
    page.check()
    assert "loss from 1 to 0.3333" in page.text


def test_half_a_build_says_which_stages_are_missing(copy: Path) -> None:
    for name in ("rows", "card", "considered"):
        shutil.rmtree(copy / name)
    for name in ("ledger.json", "manifest.json"):
        (copy / name).unlink()
    (copy / "trajectories" / "_stage.json").unlink()
    page = Page(make_report(copy))
    page.check()
    assert "trajectories, rows, card are missing or unfinished" in page.text
    assert "no ledger.json" in page.text
    assert "Pass rate of the questions" in titles(page)


def test_a_damaged_file_is_named_and_the_others_are_counted(copy: Path) -> None:
    part = sorted((copy / "trajectories").glob("part-*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:200])
    shard = sorted((copy / "rows" / "stitch").glob("*.parquet"))[0]
    shard.write_bytes(b"no parquet")
    (copy / "ledger.json").write_text("{")
    page = Page(make_report(copy))
    page.check()
    for path in (part, shard, copy / "ledger.json"):
        assert f"{path.relative_to(copy).as_posix()} cannot be read" in page.text
    assert "Pass rate of the questions" in titles(page)


def test_a_run_of_another_version_is_read_with_a_note(copy: Path) -> None:
    ledger = json.loads((copy / "ledger.json").read_text())
    del ledger["continuations"]
    ledger["costs"] = {"total": "many"}
    (copy / "ledger.json").write_text(json.dumps(ledger))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 0}))
    page = Page(make_report(copy))
    page.check()
    assert "schema version 0, this program reads 1" in page.text
    assert "ledger.json is of another version" in page.text
    assert "32 read" in page.text


def test_memory_does_not_grow_with_the_run(copy: Path) -> None:
    make_report(copy)

    def peak() -> int:
        # The more a process holds, the longer garbage lies about: what earlier tests left is put
        # aside, so that it is collected as early in both reports.
        gc.collect()
        gc.freeze()
        tracemalloc.start()
        make_report(copy)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        gc.unfreeze()
        return found

    small = peak()
    parts = sorted((copy / "trajectories").glob("part-*.parquet"))
    for number in range(20):
        for part in parts:
            name = f"{part.stem[:11]}{number + 100:05d}.parquet"
            shutil.copy(part, part.with_name(name))
    assert peak() < 1.3 * small


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nowhere"], 2),
        (["recipe.yaml"], 2),
        (["empty"], 2),
        (["sums", "--out", "empty"], 2),
        (["sums", "--out", "recipe.yaml/x.html"], 2),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    words: list[str], code: int,
) -> None:  # fmt: skip
    monkeypatch.chdir(copy.parent)
    Path("empty").mkdir()
    Path("recipe.yaml").write_text("name: x")
    assert run_command(["report", *words]) == code
    assert re.fullmatch(r"error: [^\n]+\n", capfd.readouterr().err)


def test_a_full_disk_is_told_and_leaves_the_old_page(
    copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    page = copy / "report.html"
    assert run_command(["report", str(copy)]) == 0
    before = page.read_bytes()
    # The temporary name of this process, on a device that has no room.
    import os

    (copy / f".report.html.{os.getpid()}.tmp").symlink_to("/dev/full")
    assert run_command(["report", str(copy)]) == 2
    assert "No space left on device" in capfd.readouterr().err
    assert page.read_bytes() == before
    assert not list(copy.glob(".report*"))


@pytest.mark.browser
def test_chromium_opens_the_pages_without_a_word_on_its_console(
    run: Path, searched: Path, tmp_path: Path
) -> None:
    browser = find_chromium()
    if browser is None:
        pytest.skip("no chromium here")
    for number, folder in enumerate((run, searched)):
        path = tmp_path / f"{number}.html"
        path.write_text(make_report(folder), encoding="utf-8")
        dom, said = open_in_chromium(browser, path, tmp_path / "profile")
        assert said == []
        assert dom.count("<svg") == len(Page(path.read_text("utf-8")).find("svg"))
