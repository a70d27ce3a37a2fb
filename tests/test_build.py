"""The whole build against a server on loopback: ledger, resume, determinism."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from butwait.pipelines.summary import read_ledger
from butwait.pipelines.tables import read_columns, read_records
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import ButwaitError, ConfigError, SamplerError
from butwait.schemas.row import RlRow, SftRow
from butwait.schemas.trajectory import Trajectory
from butwait.transforms.verify import verify
from tests.build_world import add, build, dataset_bytes, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

N = 40


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_questions(tmp_path / "sums.jsonl", N)
    return tmp_path


def test_a_build_gives_checked_rows_of_every_configuration_and_a_ledger_that_adds_up(
    world: Path, server: FakeOpenAI
) -> None:
    run = build(world, recipe_document(server.url))
    ledger = read_ledger(run.root)
    ledger.check()
    assert ledger.questions.total == N
    assert ledger.samples.total == 4 * N
    assert ledger.samples.bins["correct"] + ledger.samples.bins["incorrect"] == 4 * N
    assert ledger.continuations.total > 0
    assert set(ledger.rows) == {"default", "stitch", "but_wait", "limo", "rl"}
    assert all(account.bins["written"] > 0 for account in ledger.rows.values())
    for name in ("default", "stitch", "but_wait", "limo"):
        for path in run.row_shards(name):
            for row in read_records(path, SftRow):
                assert verify(row.answer, row.completion[0].content).correct
    rates = [r.pass_rate for p in run.row_shards("rl") for r in read_records(p, RlRow)]
    assert len(rates) == N
    assert {0.25, 0.5, 0.75} & set(rates)


def test_a_whole_run_is_kept_and_asks_the_server_nothing(world: Path, server: FakeOpenAI) -> None:
    first = build(world, recipe_document(server.url))
    before, asked = dataset_bytes(first), server.n_requests
    said: list[str] = []
    again = build(world, recipe_document(server.url), say=said.append)
    assert server.n_requests == asked
    assert dataset_bytes(again) == before
    assert [line.split(":")[0] for line in said if "whole, kept" in line] == [
        "questions", "trajectories", "rows", "card",
    ]  # fmt: skip


def test_a_second_run_folder_is_filled_from_the_cache_with_the_same_bytes(
    world: Path, server: FakeOpenAI
) -> None:
    first = build(world, recipe_document(server.url))
    asked = server.n_requests
    second = build(world, recipe_document(server.url), out="elsewhere")
    assert server.n_requests == asked
    assert dataset_bytes(second) == dataset_bytes(first)


@pytest.mark.parametrize(
    "changes", [{"block_size": 1000}, {"block_size": 3}, {"server.max_in_flight": 1}]
)
def test_neither_blocks_nor_requests_in_flight_change_a_row(
    world: Path, server: FakeOpenAI, changes: dict
) -> None:
    first = build(world, recipe_document(server.url))
    document = recipe_document(server.url)
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        (document[section] if section else document)[name] = value
    second = build(world, document, out="other", cache="other.sqlite")
    rows = {name: data for name, data in dataset_bytes(second).items() if name != "card"}
    assert rows == {name: data for name, data in dataset_bytes(first).items() if name != "card"}


def test_other_row_sections_make_rows_anew_without_sampling(
    world: Path, server: FakeOpenAI
) -> None:
    build(world, recipe_document(server.url))
    asked = server.n_requests
    document = recipe_document(server.url)
    document["rows"]["default"]["pick"] = "longest"
    said: list[str] = []
    build(world, document, say=said.append)
    assert server.n_requests == asked
    assert any(line.startswith("rows: the recipe") for line in said)
    assert any(line.startswith("trajectories: whole") for line in said)


def test_a_stage_can_be_made_anew_by_name(world: Path, server: FakeOpenAI) -> None:
    first = dataset_bytes(build(world, recipe_document(server.url)))
    asked = server.n_requests
    run = build(world, recipe_document(server.url), from_stage="trajectories")
    assert server.n_requests == asked, "samples come from the cache"
    assert dataset_bytes(run) == first
    with pytest.raises(ConfigError, match="--from 'row'"):
        build(world, recipe_document(server.url), from_stage="row")


def test_a_server_that_goes_away_stops_the_build_and_what_was_sampled_is_not_paid_twice(
    world: Path, server: FakeOpenAI
) -> None:
    document = recipe_document(server.url, block_size=4)
    document["server"] |= {"max_in_flight": 4, "outage_s": 2.0}
    n_before = 0
    with FakeOpenAI(add).running() as first:
        document["server"]["url"] = first.url

        def fails_after_thirty(payload: dict, index: int) -> str:
            if first.n_requests > 30:
                first.faults.extend(["reset"] * 100)
            return add(payload, index)

        first.answer = fails_after_thirty
        with pytest.raises(SamplerError):
            build(world, document)
        n_before = first.n_completions
    assert n_before > 0
    document["server"]["url"] = server.url
    run = build(world, document)
    reference = build(world, recipe_document(server.url, block_size=4), out="whole")
    rows = {k: v for k, v in dataset_bytes(run).items() if k != "card"}
    assert rows == {k: v for k, v in dataset_bytes(reference).items() if k != "card"}
    total = 4 * N + read_ledger(run.root).continuations.total
    assert n_before + server.n_completions <= total + 4 * 4, "at most what was in flight"


def test_a_refused_request_costs_its_question_and_nothing_else(
    world: Path, server: FakeOpenAI
) -> None:
    long = {"problem": "What is 1 plus 1? " + "word " * 2000, "answer": "2"}
    write_questions(world / "sums.jsonl", 10, [long])
    server.max_model_len = 1000
    run = build(world, recipe_document(server.url))
    ledger = read_ledger(run.root)
    assert ledger.samples.bins["failed: context_overflow"] == 4
    assert ledger.questions.bins["failed: context_overflow"] == 1
    letters = [x for p in run.dead_letters.glob("traj*") for x in read_records(p, DeadLetter)]
    assert {x.reason for x in letters} == {"context_overflow"}


def test_duplicates_and_refused_questions_have_their_bins(world: Path, server: FakeOpenAI) -> None:
    extra = [
        {"problem": "What is 10 plus 2?", "answer": "12"},
        {"problem": "What is 13 plus 5?", "answer": "1"},
        {"problem": "What is 13 plus 5?", "answer": "18"},
        {"problem": "", "answer": "1"},
        {"problem": "What is 500 plus 1?", "answer": ""},
    ]
    write_questions(world / "sums.jsonl", 3, extra)
    bins = read_ledger(build(world, recipe_document(server.url)).root).questions.bins
    assert bins["duplicate"] == 1
    assert bins["conflicting_duplicate"] == 2
    assert bins["empty"] == 1
    assert bins["no_answer"] == 1
    assert sum(bins.values()) == 8


@pytest.mark.alone
def test_the_server_is_kept_full(world: Path) -> None:
    with FakeOpenAI(add, delay_s=0.05).running() as slow:
        document = recipe_document(slow.url, block_size=5)
        document["server"]["max_in_flight"] = 20
        build(world, document)
        assert slow.most_in_flight >= 18, "blocks of five do not hold up one another"


def test_right_right_rows_are_capped_at_their_share(world: Path, server: FakeOpenAI) -> None:
    run = build(world, recipe_document(server.url))
    flows = [r["flow"] for p in run.row_shards("but_wait") for r in read_columns(p, ["flow"])]
    assert flows
    assert flows.count("right_right") <= 0.5 * len(flows)


@pytest.mark.slow
def test_two_worker_processes_give_the_same_bytes_as_one(world: Path, server: FakeOpenAI) -> None:
    first = build(world, recipe_document(server.url))
    second = build(
        world,
        recipe_document(server.url),
        out="two",
        cache="two.sqlite",
        beam_options=("--direct_running_mode=multi_processing", "--direct_num_workers=2"),
    )
    assert dataset_bytes(second) == dataset_bytes(first)


def test_samples_that_failed_for_the_servers_sake_are_asked_again_by_the_next_run(
    world: Path, server: FakeOpenAI
) -> None:
    document = recipe_document(server.url, block_size=4)
    document["server"] |= {"max_in_flight": 4, "n_retries": 0}
    server.faults.extend(["500", "cut", "fewer"])
    said: list[str] = []
    run = build(world, document, say=said.append)
    bins = read_ledger(run.root).samples.bins
    assert sum(n for name, n in bins.items() if name.startswith("failed")) == 12
    assert any("asked again by the same command" in line for line in said)
    asked = server.n_requests
    run = build(world, document, say=said.append)
    assert 0 < server.n_requests - asked <= 3 * 2, "three questions, each with its continuation"
    assert not any(name.startswith("failed") for name in read_ledger(run.root).samples.bins)
    reference = build(world, document, out="whole")
    assert {k: v for k, v in dataset_bytes(run).items() if k != "card"} == {
        k: v for k, v in dataset_bytes(reference).items() if k != "card"
    }


def test_two_builds_do_not_work_in_one_folder_at_once(world: Path, server: FakeOpenAI) -> None:
    run = build(world, recipe_document(server.url))
    with run.held(), pytest.raises(ConfigError, match="another build is at work"):
        build(world, recipe_document(server.url))
    build(world, recipe_document(server.url))


def test_a_server_that_refuses_everything_stops_the_build_soon(
    world: Path, server: FakeOpenAI
) -> None:
    document = recipe_document(server.url)
    document["server"]["max_in_flight"] = 8
    server.faults.extend(["400"] * 1000)
    with pytest.raises(SamplerError, match="8 questions in a row failed, the last with refused"):
        build(world, document)
    assert server.n_requests < N


def test_another_adapter_or_context_of_the_same_model_is_not_answered_from_the_cache(
    world: Path, server: FakeOpenAI
) -> None:
    build(world, recipe_document(server.url))
    asked = server.n_requests
    document = recipe_document(server.url)
    document["server"]["max_model_len"] = 2048
    run = build(world, document, out="other")
    assert server.n_requests > asked
    assert next(read_records(run.trajectory_parts()[0], Trajectory)).engine.startswith("vllm+")


def test_an_answer_without_a_thought_costs_its_row_and_not_the_build(world: Path) -> None:
    def odd(payload: dict, index: int) -> str:
        text = add(payload, index)
        return "<answer></answer>\n\n" + text.splitlines()[-1] if index % 2 else text

    with FakeOpenAI(odd).running() as server:
        ledger = read_ledger(build(world, recipe_document(server.url)).root)
    ledger.check()
    assert ledger.rows["default"].bins["written"] > 0


def test_nothing_of_the_server_and_no_path_of_this_machine_reaches_the_card(
    world: Path, server: FakeOpenAI
) -> None:
    document = recipe_document(server.url)
    document["server"] |= {"env": {"HF_TOKEN": "hf_planted"}, "args": ["--api-key", "sk-planted"]}
    document["sources"][0]["path"] = str(world / "sums.jsonl")
    run = build(world, document)
    card = (run.stage("card") / "README.md").read_text()
    manifest = (run.root / "manifest.json").read_text()
    for secret in ("hf_planted", "sk-planted", str(world), server.url):
        assert secret not in card
        assert secret not in manifest


def test_a_run_without_one_sample_fails_and_is_mended_by_the_same_command(
    world: Path, server: FakeOpenAI
) -> None:
    write_questions(world / "sums.jsonl", 5)
    server.faults.extend(["401"] * 5)
    with pytest.raises(SamplerError, match="every sample failed"):
        build(world, recipe_document(server.url))
    ledger = read_ledger(build(world, recipe_document(server.url)).root)
    assert "failed: refused" not in ledger.samples.bins


@pytest.mark.parametrize("stage", ["questions", "trajectories", "rows"])
def test_a_stage_that_lost_a_file_is_made_again(
    world: Path, server: FakeOpenAI, stage: str
) -> None:
    first = build(world, recipe_document(server.url))
    before, asked = dataset_bytes(first), server.n_requests
    next(iter(sorted(first.stage(stage).rglob("*.parquet")))).unlink()
    assert dataset_bytes(build(world, recipe_document(server.url))) == before
    assert server.n_requests == asked


def test_a_damaged_file_is_named_and_deleting_it_helps(world: Path, server: FakeOpenAI) -> None:
    run = build(world, recipe_document(server.url))
    before = dataset_bytes(run)
    part = run.trajectory_parts()[0]
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(ButwaitError, match="delete it and run the build again"):
        build(world, recipe_document(server.url), from_stage="rows")
    part.unlink()
    assert dataset_bytes(build(world, recipe_document(server.url))) == before


@pytest.mark.parametrize("name", ["manifest.json", "ledger.json"])
def test_a_file_beside_the_stages_that_is_gone_is_written_again(
    world: Path, server: FakeOpenAI, name: str
) -> None:
    run = build(world, recipe_document(server.url))
    asked = server.n_requests
    (run.root / name).unlink()
    build(world, recipe_document(server.url))
    assert (run.root / name).is_file()
    assert server.n_requests == asked


def test_from_a_stage_means_that_stage_and_all_after_it(world: Path, server: FakeOpenAI) -> None:
    run = build(world, recipe_document(server.url))
    times = {p: p.stat().st_mtime_ns for p in run.root.rglob("*.parquet")}
    build(world, recipe_document(server.url), from_stage="questions")
    assert all(p.stat().st_mtime_ns > then for p, then in times.items())


def test_a_recording_and_then_a_model_in_one_folder_keep_the_ledger_true(
    world: Path, server: FakeOpenAI
) -> None:
    lines = [
        {"problem": f"What is {i + 10} plus {3 * i + 2}?", "generations": ["so \\boxed{1}"] * 3}
        for i in range(N)
    ]
    (world / "recorded.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    document = recipe_document(server.url, replay={"path": "recorded.jsonl"})
    del document["model"], document["rows"]["but_wait"]
    assert read_ledger(build(world, document).root).samples.total == 3 * N
    assert read_ledger(build(world, recipe_document(server.url)).root).samples.total == 4 * N
