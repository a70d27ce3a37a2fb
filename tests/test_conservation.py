"""Nothing is lost and nothing counted twice, whatever fails, dies and is asked again."""

from __future__ import annotations

import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fake_prm import FakePrm
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_search_build import judge, step_by_step

from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.audit_waits import count_of_question
from butwait.pipelines.summary import read_ledger
from butwait.pipelines.tables import count_rows, read_records
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import ButwaitError, SamplerError
from butwait.schemas.recipe_rows import ButWaitSpec
from butwait.schemas.trajectory import Trajectory
from tests.build_world import add, build, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI, Fault
from tests.faulty_server import Schedule, kill, rows_of, striking

N, N_SAMPLES = 8, 2
DROPPED: list[dict[str, Any]] = [
    {"problem": "What is 10 plus 2?", "answer": "12"},  # a duplicate
    {"problem": "", "answer": "1"},
    {"problem": "What is 500 plus 1?", "answer": ""},
]
FAULTS: tuple[Fault, ...] = (
    "429", "400", "500", "reset", "cut", "fewer", "abort", "empty", "hollow", "stall",
)  # fmt: skip
HASTY = {"pause_s": 0.01, "request_timeout_s": 1.0, "outage_s": 20.0, "max_in_flight": 4}
shares = st.dictionaries(st.sampled_from(FAULTS), st.sampled_from([0.05, 0.2]), max_size=4)


def document(url: str, n_retries: int) -> dict[str, Any]:
    made = recipe_document(
        url,
        sampling={"n": N_SAMPLES, "max_tokens": 200},
        rows={
            "default": {"transform": "verified"},
            "but_wait": {"transform": "but_wait", "format": "plain", "n_waits": 2},
        },
        shards=2,
        block_size=3,
    )
    made["server"] |= {**HASTY, "n_retries": n_retries}
    return made


@cache
def rows_without_faults() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder, FakeOpenAI(add).running() as server:
        write_questions(Path(folder) / "sums.jsonl", N, DROPPED)
        return rows_of(build(Path(folder), document(server.url, 0)))


def check_conservation(run: RunFolder) -> None:
    """Hold the ledger against the files, counted in another way than it was made."""
    ledger = read_ledger(run.root)
    ledger.check()
    assert ledger.questions.total == N + len(DROPPED)
    assert ledger.samples.total == N * N_SAMPLES
    paths = run.dead_letters.glob("trajectories-part-*.parquet")
    letters = [letter for path in paths for letter in read_records(path, DeadLetter)]
    told = [t for part in run.trajectory_parts() for t in read_records(part, Trajectory)]
    items = Counter([*(x.item for x in letters), *(t.id for t in told)])
    assert set(items.values()) == {1}, "an item is a sample or a failure, once"
    n_failed = sum(
        count
        for account in (ledger.samples, ledger.continuations)
        for name, count in account.bins.items()
        if name.startswith("failed: ")
    )
    assert n_failed == len(letters)
    assert ledger.samples.total + ledger.continuations.total == len(items)
    for name, account in ledger.rows.items():
        n_written = sum(count_rows(path) for path in run.row_shards(name))
        assert account.bins["written"] == n_written


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**16),
    shares=shares,
    n_retries=st.sampled_from([0, 1, 20]),
    dies_at=st.none() | st.integers(1, 16),
)
def test_every_item_is_in_one_bin_whatever_fails_and_asking_again_gives_the_same_rows(
    seed: int, shares: dict[Fault, float], n_retries: int, dies_at: int | None
) -> None:
    with tempfile.TemporaryDirectory() as name, FakeOpenAI(add).running() as server:
        folder = Path(name)
        write_questions(folder / "sums.jsonl", N, DROPPED)
        server.choose_fault = Schedule(seed, shares)
        server.stall_s = 30.0
        with striking(server, {} if dies_at is None else {dies_at: kill(0.2)}):
            try:
                check_conservation(build(folder, document(server.url, n_retries)))
            except SamplerError as error:
                assert "failed" in str(error), "only a server that answers nothing stops a build"
        server.choose_fault = lambda payload: None
        run = build(folder, document(server.url, n_retries))
        check_conservation(run)
        assert not any("failed" in bin_ for bin_ in read_ledger(run.root).samples.bins)
        assert rows_of(run) == rows_without_faults()


@pytest.mark.slow
def test_searches_on_failing_servers_end_in_one_bin_each(tmp_path: Path) -> None:
    write_questions(tmp_path / "sums.jsonl", N)
    prm = FakePrm(model="fake/prm")
    prm.spoil = judge
    with FakeOpenAI(answer=step_by_step).running() as policy, prm.running():
        server = {"url": prm.url, "served_name": "fake/prm", "pause_s": 0.01, "n_retries": 5}
        made = recipe_document(
            policy.url,
            sampling={"n": 1, "max_tokens": 200},
            search={"method": "particle", "budget": 6, "max_step_tokens": 50},
            prm={"model": {"id": "fake/prm"}, "server": server},
            rows={"default": {"transform": "backtrack", "format": "think_boxed"}},
        )
        made["server"] |= {**HASTY, "n_retries": 1}
        faults = list(dict.fromkeys(FAULTS))
        policy.choose_fault = Schedule(3, dict.fromkeys(faults, 0.04))
        with striking(policy, {10: kill(0.3)}):
            run = build(tmp_path, made)
    ledger = read_ledger(run.root)
    ledger.check()
    assert ledger.searches is not None and ledger.leaves is not None
    assert ledger.searches.total == N == ledger.samples.total
    assert len(list(run.tree_parts())) > 0 and sum(map(count_rows, run.tree_parts())) == N


def test_a_continuation_that_is_lost_or_doubled_is_an_error(tmp_path: Path) -> None:
    write_questions(tmp_path / "sums.jsonl", N)
    with FakeOpenAI(add).running() as server:
        run = build(tmp_path, document(server.url, 0))
    spec = ButWaitSpec(transform="but_wait", format="plain", n_waits=2)
    due = 0
    for part in run.trajectory_parts():
        told = list(read_records(part, Trajectory))
        for question in dict.fromkeys(t.question_id for t in told):
            mine = [t for t in told if t.question_id == question]
            due += count_of_question(mine, spec, 0)
            last = [t for t in mine if t.step == "continue-1"]
            without = [t for t in mine if t not in last]
            assert count_of_question(without, spec, 0) == count_of_question(mine, spec, 0)
    assert read_ledger(run.root).continuations.total == due > 0


def test_the_kind_of_a_workers_error_survives_as_the_nearest_that_is_known() -> None:
    from butwait.pipelines.failures import raised_here, reported
    from butwait.pipelines.sampling.refusals import ServerGone

    with tempfile.TemporaryDirectory() as name:
        with pytest.raises(ServerGone), reported(Path(name)):
            raise ServerGone("nobody answers")
        with pytest.raises(SamplerError, match="nobody answers"), raised_here(Path(name)):
            raise RuntimeError("what a runner makes of it")
    assert issubclass(SamplerError, ButwaitError)
