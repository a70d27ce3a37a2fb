"""`butwait eval` on real pipelines and a fake server: cells, gaps, reruns, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from butwait.evals.arm_score import ArmScore, score_arm
from butwait.evals.cells import read_arms
from butwait.pipelines.cli import run_command
from butwait.pipelines.evaluate.benchmark import read_benchmark
from butwait.pipelines.tables import read_records
from butwait.schemas.benchmark import BenchmarkSpec, fill_benchmark, find_benchmark
from butwait.schemas.errors import ButwaitError, ConfigError, SamplerError, SourceError
from butwait.schemas.eval_cell import EvalCell
from tests.build_world import add, build, recipe_document, write_questions
from tests.eval_world import COLUMNS, eval_document, evaluate
from tests.fake_openai import FakeOpenAI

PROSE = "a long prose that is not anything at all in the world \\"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


def scores(run: Path) -> list[ArmScore]:
    return [score_arm(cells) for cells in read_arms(run)]


def cells(run: Path) -> list[EvalCell]:
    return [c for p in sorted(run.glob("cells/*/*.parquet")) for c in read_records(p, EvalCell)]


def test_every_problem_has_n_cells_and_the_score_is_their_share(
    tmp_path: Path, server: FakeOpenAI
) -> None:
    write_questions(tmp_path / "sums.jsonl", 10)
    run = evaluate(tmp_path, eval_document(server.url))
    found = cells(run)
    assert len({(c.problem_id, c.sample_index) for c in found}) == len(found) == 40
    [score] = scores(run)
    assert score.expected_at_1.value == sum(c.verdict == "correct" for c in found) / 40
    assert (score.k, score.n_cells, score.n_missing) == (4, 40, 0)
    assert {c.prompt_hash for c in found if c.sample_index == 0} == {
        c.prompt_hash for c in found if c.sample_index == 3
    }
    assert not (run / "work").exists() or not any((run / "work").iterdir())


def test_a_second_run_asks_for_nothing_and_more_samples_for_the_new_ones_only(
    tmp_path: Path, server: FakeOpenAI
) -> None:
    write_questions(tmp_path / "sums.jsonl", 6)
    said: list[str] = []
    evaluate(tmp_path, eval_document(server.url))
    assert server.n_completions == 24
    evaluate(tmp_path, eval_document(server.url), said.append)
    assert server.n_completions == 24
    assert "whole, kept" in " ".join(said)
    run = evaluate(tmp_path, eval_document(server.url, sampling={"n": 6, "max_tokens": 200}))
    assert server.n_completions == 36
    assert len(cells(run)) == 36


def test_cells_that_failed_for_the_servers_sake_are_missing_until_asked_again(
    tmp_path: Path, server: FakeOpenAI
) -> None:
    write_questions(tmp_path / "sums.jsonl", 6)
    server.faults.extend(["500", "500"])
    said: list[str] = []
    run = evaluate(tmp_path, eval_document(server.url), said.append)
    [score] = scores(run)
    assert score.n_missing == 8
    assert score.outcomes["missing"] + score.outcomes["correct"] + score.outcomes["wrong"] == 24
    assert score.expected_at_1.value == score.n_correct / 24
    assert score.completed is not None and score.completed.n_cells == 16
    assert "8 of 24 cells are missing" in " ".join(said)
    before = server.n_completions
    assert run_command(["compare", str(run)]) == 2
    [whole] = scores(evaluate(tmp_path, eval_document(server.url)))
    assert whole.n_missing == 0
    assert server.n_completions == before + 8


def test_a_prompt_that_does_not_fit_is_errored_counts_as_wrong_and_is_not_asked_again(
    tmp_path: Path, server: FakeOpenAI
) -> None:
    long = {"problem": "w " * 4500 + "What is 1 plus 1?", "answer": "2"}
    write_questions(tmp_path / "sums.jsonl", 3, [long])
    [score] = scores(evaluate(tmp_path, eval_document(server.url)))
    assert score.outcomes["errored"] == 4
    assert score.n_cells == 16
    before = server.n_requests
    evaluate(tmp_path, eval_document(server.url))
    assert server.n_requests == before


def test_scores_need_neither_server_nor_verifier(tmp_path: Path) -> None:
    write_questions(tmp_path / "sums.jsonl", 5)
    with FakeOpenAI(add).running() as server:
        run = evaluate(tmp_path, eval_document(server.url))
    assert run_command(["score", str(run), "--json"]) == 0
    assert run_command(["score", str(run), "--k", "5"]) == 2  # n is 4


def test_a_gold_that_cannot_be_read_keeps_its_place_in_the_denominator(
    tmp_path: Path, server: FakeOpenAI
) -> None:
    bad = {"problem": "What is 7 plus 9?", "answer": PROSE}
    write_questions(tmp_path / "sums.jsonl", 3, [bad])
    run = evaluate(tmp_path, eval_document(server.url))
    [score] = scores(run)
    assert (score.record.n_problems, score.outcomes["ungradable"]) == (4, 4)
    manifest = json.loads((run / "manifest.json").read_text())
    assert len(manifest["benchmarks"][0]["unusable"]) == 1


def test_prompts_and_models_multiply_and_share_one_server(
    tmp_path: Path, server: FakeOpenAI
) -> None:
    write_questions(tmp_path / "sums.jsonl", 4)
    document = eval_document(
        server.url,
        prompts=["qwen", {"name": "mine", "system": "Add."}],
        models=[
            {"name": "base", "id": "fake/model"},
            {"name": "other", "id": "fake/model", "prompts": ["none"], "arm": "SFT"},
        ],
    )
    run = evaluate(tmp_path, document)
    arms = [(s.record.model, s.record.prompt) for s in scores(run)]
    assert arms == [("base", "qwen"), ("base", "mine"), ("other", "none")]
    assert any("Add." in p["prompt"] for p in server.payloads)


def test_problems_that_a_model_was_trained_on_are_marked_and_scored_without(
    tmp_path: Path, server: FakeOpenAI, shared_data: Path
) -> None:
    """Eight AIME problems, one of which is among the training questions in another wording."""
    alike = (shared_data / "aime24" / "aime24_alt_wording.jsonl").read_text().splitlines()
    real = (shared_data / "aime24" / "aime24.jsonl").read_text().splitlines()
    chosen = json.loads(alike[20])
    (tmp_path / "train.jsonl").write_text(json.dumps(chosen) + "\n")
    own = [row for row in real if json.loads(row)["id"] == chosen["aime24_id"]]
    others = [row for row in real if row not in own]
    (tmp_path / "exam.jsonl").write_text("\n".join([*own, *others[:7]]) + "\n")
    server.answer = lambda payload, index: "\\boxed{7}"
    source = {"path": "train.jsonl", "columns": COLUMNS}
    document = eval_document(
        server.url,
        models=[{"name": "base", "id": "fake/model", "trained_on": [source]}],
        benchmarks=[{"name": "exam", "path": "exam.jsonl", "columns": COLUMNS}],
    )
    run = evaluate(tmp_path, document)
    [score] = scores(run)
    assert score.n_touched == 1 and score.untouched is not None
    [benchmark] = json.loads((run / "manifest.json").read_text())["benchmarks"]
    [searched] = benchmark["checked_against"]
    assert searched.startswith("train.jsonl at sha256:")
    [evidence] = benchmark["touched"].values()
    assert "train.jsonl" in evidence
    said: list[str] = []
    evaluate(tmp_path, document, said.append)
    assert not any("benchmark problems" in line for line in said)  # not searched again
    assert scores(run)[0].n_touched == 1


def test_a_model_that_returns_nothing_is_refused_in_a_comparison(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_questions(tmp_path / "sums.jsonl", 3)
    with FakeOpenAI(lambda payload, index: " ").running() as server:
        run = evaluate(tmp_path, eval_document(server.url))
    assert run_command(["score", str(run)]) == 0
    assert "RETURNED NOTHING" in capfd.readouterr().out
    assert run_command(["compare", str(run)]) == 2
    assert "returned nothing" in capfd.readouterr().err


def test_the_folder_of_a_build_is_left_alone(tmp_path: Path, server: FakeOpenAI) -> None:
    write_questions(tmp_path / "sums.jsonl", 3)
    build(tmp_path, recipe_document(server.url))
    with pytest.raises(ConfigError, match="folder of a build or a training"):
        evaluate(tmp_path, eval_document(server.url, name="sums"))
    evaluate(tmp_path, eval_document(server.url))
    with pytest.raises(ConfigError, match="folder of an evaluation"):
        build(tmp_path, recipe_document(server.url, name="exam"))


def test_greedy_takes_one_sample_at_temperature_zero(tmp_path: Path, server: FakeOpenAI) -> None:
    write_questions(tmp_path / "sums.jsonl", 3)
    document = eval_document(server.url, preset="greedy", sampling={})
    [score] = scores(evaluate(tmp_path, document))
    assert server.payloads[-1]["temperature"] == 0
    assert server.payloads[-1]["n"] == 1
    assert score.pass_at_k is None and score.maj_at_k is None


def test_the_decision_preset_takes_64_samples_of_few_problems_and_4_of_many() -> None:
    from butwait.schemas.recipe_eval import EvalRecipe

    recipe = EvalRecipe.model_validate(
        eval_document("http://x", preset="decision", sampling={}, benchmarks=["aime24", "math500"])
    )
    assert (recipe.samples_of("aime24", 30), recipe.samples_of("math500", 500)) == (64, 4)


@pytest.mark.parametrize(
    ("rows", "spec", "words"),
    [
        ([{"problem": "a", "x": "1"}], {}, ("answer",)),
        ([{"problem": "1+1?", "answer": "2"}] * 2, {"columns": COLUMNS}, ("rows 0 and 1", "same")),
        (
            [{"problem": "1+1?", "answer": "2"}],
            {"columns": COLUMNS, "n_problems": 30},
            ("has 1 problems", "30"),
        ),
        ([{"problem": "", "answer": "2"}], {"columns": COLUMNS}, ("row 0",)),
        ([{"answer": "2"}], {"columns": COLUMNS}, ("problem",)),
    ],
)
def test_a_benchmark_that_is_not_whole_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], spec: dict[str, Any], words: tuple[str, ...]
) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SourceError) as error:
        read_benchmark(BenchmarkSpec(name="b", path="b.jsonl", **spec), tmp_path)
    assert all(word in str(error.value) for word in words), error.value


def test_only_rows_with_the_wanted_values_are_problems(tmp_path: Path) -> None:
    rows = [{"q": f"{i}+1?", "a": [str(i + 1)], "kind": "ab"[i % 2]} for i in range(6)]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = BenchmarkSpec(
        name="b", path="b.jsonl", columns={"problem": "q", "answer": "a"}, only={"kind": "a"}
    )
    found = read_benchmark(spec, tmp_path)
    assert [q.gold for q in found.questions] == ["1", "3", "5"]


def test_known_benchmarks_are_filled_in_and_the_pocket_splits_are_read() -> None:
    filled = fill_benchmark({"name": "gsm8k", "path": "copy.jsonl"})
    assert BenchmarkSpec.model_validate(filled).answer_after == "####"
    found = read_benchmark(find_benchmark("pocket-test"), Path())
    assert len(found.questions) == 300 and not found.unusable


@pytest.mark.parametrize(
    ("name", "file", "k"),
    [
        ("aime24", "aime24/aime24.jsonl", 30),
        ("gsm8k", "gsm8k/gsm8k_test.jsonl", 1319),
        ("olympiadbench", "olympiadbench/olympiadbench_test.jsonl", 572),
    ],
)
def test_real_benchmarks_have_their_number_of_problems(
    shared_data: Path, name: str, file: str, k: int
) -> None:
    spec = BenchmarkSpec.model_validate(
        fill_benchmark({"name": name, "path": str(shared_data / file)})
    )
    found = read_benchmark(spec, shared_data)
    assert len(found.questions) == k
    assert len(found.unusable) <= k // 100


def test_half_of_a_benchmark_is_refused_under_its_name(shared_data: Path) -> None:
    path = str(shared_data / "math500/math500_even.jsonl")
    spec = BenchmarkSpec.model_validate(fill_benchmark({"name": "math500", "path": path}))
    with pytest.raises(SourceError, match="has 250 problems"):
        read_benchmark(spec, shared_data)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"benchmarks": ["aime42"]}, "aime42"),
        ({"prompts": ["qwne"]}, "qwne"),
        ({"models": [{"name": "a", "id": "x"}, {"name": "a", "id": "y"}]}, "twice"),
        ({"searches": [{"method": "particle", "budget": 8}]}, "prm"),
        ({"sampling": {"n": 0}}, "nothing to do"),
        ({"sampling": {"n": {"nope": 3}}}, "nope"),
        ({"score_samples": True}, "prm"),
        ({"preset": "bolg"}, "blog"),
    ],
)
def test_a_recipe_that_cannot_run_says_why(
    tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigError) as error:
        evaluate(tmp_path, eval_document("http://127.0.0.1:1", **changes))
    assert word in str(error.value)


def test_a_server_that_is_not_there_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    write_questions(tmp_path / "sums.jsonl", 2)
    with pytest.raises((SamplerError, ButwaitError), match="nobody answers"):
        evaluate(tmp_path, eval_document("http://127.0.0.1:1"))


def test_the_command_takes_a_recipe_without_a_subcommand(
    tmp_path: Path, server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    write_questions(tmp_path / "sums.jsonl", 3)
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(eval_document(server.url)))
    monkeypatch.chdir(tmp_path)
    assert run_command(["eval", "e.yaml", "--cache", "c.sqlite"]) == 0
    out = capfd.readouterr().out
    assert "expected@1 (mean of n=4)" in out and "maj@4" in out
    assert run_command(["eval", "e.yaml", "--dry-run"]) == 0
    assert "1 arms" in capfd.readouterr().out
    assert run_command(["eval", "missing.yaml"]) == 2
    assert run_command(["eval", "nonsense"]) == 2


def test_a_dry_run_checks_the_recipes_that_make_a_model(tmp_path: Path, capfd: Any) -> None:
    model = {"name": "m", "id": "./gone", "made_by": ["sft.yaml"]}
    document = eval_document("http://x", models=[model], benchmarks=["aime24"])
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(document))
    assert run_command(["eval", str(tmp_path / "e.yaml"), "--dry-run"]) == 2
    train = {"name": "t", "model": {"id": "x"}, "data": {"hub": "a/b"}}
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(train))
    capfd.readouterr()
    assert run_command(["eval", str(tmp_path / "e.yaml"), "--dry-run"]) == 0
    assert "made by: butwait train sft sft.yaml" in capfd.readouterr().out
