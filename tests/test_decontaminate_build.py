"""A build refuses copies of benchmark problems, says which, and says what it could not check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from butwait.pipelines import contamination
from butwait.pipelines.benchmarks import FoundBenchmark
from butwait.pipelines.contamination import Checks, plan_checks, read_checks
from butwait.pipelines.recipe_file import check_recipe
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.sources import resolve_source
from butwait.pipelines.summary import read_ledger
from butwait.pipelines.tables import read_records
from butwait.schemas.benchmark import BenchmarkSpec
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import ConfigError, SourceError
from butwait.schemas.recipe import Recipe
from butwait.schemas.recipe_source import SourceSpec
from butwait.transforms.decontaminate import Target
from tests.build_world import add, build, dataset_bytes, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

N = 12
HELD_OUT = "What is 17 plus 23? A ferry with 9 lamps crosses the lake each evening at 6."
COPY = "A ferry with nine lamps crosses the lake each evening at 6. What is 17 plus 23?"
ALIKE = "What is 18 plus 23? A ferry with 9 lamps crosses the lake each evening at 6."


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Path:
    extra = [
        {"problem": HELD_OUT.replace("plus", "  plus"), "answer": "40"},
        {"problem": COPY, "answer": "40"},
        {"problem": ALIKE, "answer": "41"},
    ]
    write_questions(tmp_path / "sums.jsonl", N, extra)
    row = json.dumps({"id": "h1", "question": HELD_OUT})
    (tmp_path / "held.jsonl").write_text(f"{row}\n", encoding="utf-8")
    return tmp_path


def document(server: FakeOpenAI, **changes: Any) -> dict[str, Any]:
    rows = {"default": {"transform": "verified"}}
    held = {"name": "held", "path": "held.jsonl"}
    return recipe_document(server.url, **{"rows": rows, "decontaminate": [held], **changes})


def letters(run: RunFolder) -> list[DeadLetter]:
    paths = sorted(run.dead_letters.glob("questions-*.parquet"))
    return [letter for path in paths for letter in read_records(path, DeadLetter)]


def test_copies_become_dead_letters_with_what_speaks_for_it(
    world: Path, server: FakeOpenAI
) -> None:
    said: list[str] = []
    run = build(world, document(server), say=said.append)
    exact, reworded = sorted(letters(run), key=lambda letter: letter.row or 0)
    assert {exact.reason, reworded.reason} == {"contaminated"}
    assert (exact.row, reworded.row) == (N, N + 1)
    assert exact.detail.startswith("exact copy of held h1 (score 1.00, confidence high): ")
    assert "copy of held h1 (score 0." in reworded.detail
    assert "questions: compared with held (1 problems, sha256:" in "\n".join(said)
    assert any(line.startswith("questions: 2 removed as copies") for line in said)


def test_ledger_manifest_and_card_say_what_was_compared_and_removed(
    world: Path, server: FakeOpenAI
) -> None:
    run = build(world, document(server))
    ledger = read_ledger(run.root)
    ledger.check()
    assert ledger.questions.total == N + 3
    assert ledger.questions.bins["contaminated"] == 2
    assert ledger.notes["compared_with"].startswith("held (1 problems, sha256:")
    stage = json.loads((run.root / "manifest.json").read_text())["stages"]["questions"]
    assert stage["counts"] == {"read": N + 3, "kept": N + 1, "contaminated": 2}
    assert stage["notes"] == ledger.notes
    card = (run.stage("card") / "README.md").read_text()
    assert "Questions were compared with held (1 problems" in card
    assert "2 were removed as copies" in card
    assert str(world) not in card


def test_a_build_without_the_filter_keeps_all_and_says_so(world: Path, server: FakeOpenAI) -> None:
    run = build(world, document(server, decontaminate=False))
    ledger = read_ledger(run.root)
    assert "contaminated" not in ledger.questions.bins
    assert ledger.notes == {"compared_with": "no benchmark: the recipe switches it off"}


def test_another_benchmark_makes_the_questions_anew(world: Path, server: FakeOpenAI) -> None:
    build(world, document(server))
    said: list[str] = []
    (world / "held.jsonl").write_text(json.dumps({"problem": "What is 12 plus 8?"}) + "\n")
    run = build(world, document(server), say=said.append)
    assert any(line.startswith("questions: the recipe or its inputs changed") for line in said)
    assert {letter.row for letter in letters(run)} == {2}


def test_the_number_of_workers_changes_nothing(world: Path, server: FakeOpenAI) -> None:
    many = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    one = build(world, document(server))
    two = build(world, document(server), out="elsewhere", beam_options=many)
    assert dataset_bytes(one) == dataset_bytes(two)
    assert letters(one) == letters(two)


def test_a_named_benchmark_that_is_not_there_is_an_error(world: Path, server: FakeOpenAI) -> None:
    with pytest.raises(SourceError, match=r"none\.jsonl does not exist"):
        build(world, document(server, decontaminate=[{"name": "mine", "path": "none.jsonl"}]))


# What is checked when the recipe says nothing


def recipe(**changes: Any) -> Recipe:
    base = {
        "name": "r",
        "sources": [{"path": "sums.jsonl", "columns": {"problem": "problem", "answer": "answer"}}],
        "model": {"id": "./model"},
        "rows": {"default": {"transform": "verified"}},
    }
    return check_recipe({**base, **changes}, "test")


def names(checks: Checks) -> list[str]:
    return [check.spec.name for check in checks.found]


def test_packaged_splits_are_always_compared_with(world: Path) -> None:
    checks = plan_checks(recipe(), world, ())
    assert names(checks) == ["pocket-test", "pocket-validation"]
    targets, notes = read_checks(checks, lambda line: None)
    assert len(targets) == 400
    assert "not_compared_with" not in notes


def test_a_split_is_not_compared_with_itself(world: Path, root: Path) -> None:
    path = root / "pipelines" / "pocket" / "data" / "test.jsonl"
    source = resolve_source(SourceSpec(path=str(path), layout="numina_cot"), world)
    checks = plan_checks(recipe(), world, (source,))
    assert names(checks) == ["pocket-validation"]
    said: list[str] = []
    _, notes = read_checks(checks, said.append)
    assert notes["not_compared_with"] == "pocket-test: the questions are this benchmark itself"
    assert (
        said[-1]
        == "questions: not checked against pocket-test: the questions are this benchmark itself"
    )


HUB = ["aime24", "aime25", "math500", "amc23", "gsm8k", "olympiadbench"]


@pytest.mark.parametrize(
    ("changes", "uses_hub"),
    [
        ({"model": {"id": "Qwen/Qwen3-0.6B"}}, True),
        ({"sources": [{"hub": "GAIR/LIMO"}]}, True),
        ({"model": None, "replay": {"hub": "someone/recorded"}}, True),
        ({"model": {"id": "Qwen/Qwen3-0.6B"}, "server": "http://127.0.0.1:8000"}, False),
        ({}, False),
    ],
)
def test_hub_benchmarks_are_compared_with_where_the_hub_is_used(
    world: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], uses_hub: bool
) -> None:
    monkeypatch.setattr(
        contamination, "_find", lambda spec, base: contamination.FoundCheck(spec, "c")
    )
    checks = plan_checks(recipe(**changes), world, ())
    assert names(checks) == ["pocket-test", "pocket-validation", *(HUB if uses_hub else [])]


def test_an_unreachable_benchmark_is_named_and_the_build_goes_on(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(spec: BenchmarkSpec, base: Path) -> contamination.FoundCheck:
        if spec.name in ("aime25", "amc23"):
            raise SourceError("no way to the Hub")
        return contamination.FoundCheck(spec, "commit")

    def read(spec: BenchmarkSpec, base: Path) -> FoundBenchmark:
        if spec.name == "gsm8k":
            raise SourceError("broke off")
        return FoundBenchmark(spec.name, "commit", (Target(spec.name, "0", "P?"),))

    monkeypatch.setattr(contamination, "_find", find)
    monkeypatch.setattr(contamination, "read_benchmark", read)
    said: list[str] = []
    checks = plan_checks(recipe(model={"id": "Qwen/Qwen3-0.6B"}), world, ())
    targets, notes = read_checks(checks, said.append)
    assert [target.benchmark for target in targets] == [
        "pocket-test", "pocket-validation", "aime24", "math500", "olympiadbench",
    ]  # fmt: skip
    assert notes["not_compared_with"] == (
        "aime25: no way to the Hub; amc23: no way to the Hub; gsm8k: broke off"
    )
    assert "questions: not checked against amc23: no way to the Hub" in said


# The section


@pytest.mark.parametrize(
    ("value", "enabled", "against"),
    [
        (False, False, "auto"),
        ("off", False, "auto"),
        ("auto", True, "auto"),
        (["gsm8k"], True, ["gsm8k"]),
        ({"against": ["aime24", {"name": "x", "path": "x.jsonl"}]}, True, ["aime24", "x"]),
    ],
)
def test_short_forms_mean_the_full_section(value: Any, enabled: bool, against: Any) -> None:
    spec = recipe(decontaminate=value).decontaminate
    assert spec.enabled is enabled
    found = spec.against if spec.against == "auto" else [b.name for b in spec.against]
    assert found == against


@pytest.mark.parametrize("value", [["aime2"], {"agains": []}, {"against": "aime24"}, 3])
def test_a_mistake_in_the_section_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="decontaminate"):
        recipe(decontaminate=value)
