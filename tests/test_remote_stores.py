"""Runs in a remote store: the same bytes as here, by many processes, resumed and pushed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub.server import HubServer
from hub.state import ALICE_WRITE

import tests.remote_store
from butwait.pipelines.cli import run_command
from butwait.pipelines.places import (
    RemotePath,
    files_in,
    read_folder,
    remove_tree,
    sent_at_end,
    use_options,
)
from butwait.pipelines.run_folder import STAGES, RunFolder
from butwait.pipelines.tables import write_lines, write_text
from butwait.schemas.errors import ConfigError, SamplerError
from tests.build_world import add, build, dataset_bytes, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

STORES = ("bucket", "tree")
MANY = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Path:
    bad = {"problem": "", "answer": "1"}
    write_questions(tmp_path / "sums.jsonl", 30, [bad])
    return tmp_path


def files_of(root: Path) -> dict[str, bytes]:
    """Every file of a run by name, but for what differs from run to run.

    Counts over time are kept in local folders only: a store cannot append.
    """
    changing = {"manifest.json", ".lock", "ledger.json", "trajectories/progress.jsonl"} | {
        f"{s}/_stage.json" for s in STAGES
    }
    found = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if name not in changing and not name.startswith((".status", "logs"))
    }


@pytest.mark.parametrize("scheme", STORES)
def test_a_run_in_a_remote_store_has_the_bytes_of_a_local_one(
    world: Path, server: FakeOpenAI, scheme: str
) -> None:
    document = recipe_document(server.url)
    here = build(world, document)
    n_asked = server.n_completions
    there = build(world, document, out=f"{scheme}://{world}/store/runs")
    assert server.n_completions == n_asked  # from the cache
    stored = world / "store" / "runs" / "sums"
    assert files_of(stored) == files_of(world / "runs" / "sums")
    assert dataset_bytes(RunFolder(stored)) == dataset_bytes(here)
    for stage in STAGES:
        record, local = there.record(stage), here.record(stage)
        assert record is not None and local is not None
        if stage != "card":
            assert record.files == local.files


def test_processes_that_sample_into_a_remote_store_give_what_one_gives_here(
    world: Path, server: FakeOpenAI, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beam's own stores are there when Beam is; the embedded runner passes no plugins on.
    (world / "sitecustomize.py").write_text("import tests.remote_store")
    monkeypatch.setenv("PYTHONPATH", f"{world}:{root}")
    document = recipe_document(server.url)
    here = build(world, document)
    build(world, document, out=f"bucket://{world}/store/runs", cache="2.sqlite", beam_options=MANY)
    assert files_of(world / "store" / "runs" / "sums") == files_of(here.root)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", STORES)
def test_a_remote_run_goes_on_where_it_stopped_and_is_kept_when_it_is_whole(
    world: Path, server: FakeOpenAI, scheme: str
) -> None:
    out = f"{scheme}://{world}/store/runs"
    document = recipe_document(server.url, block_size=4)
    document["server"] |= {"max_in_flight": 4, "n_retries": 0, "outage_s": 0.5}
    server.choose_fault = lambda payload: "401" if server.n_requests > 20 else None
    with pytest.raises(SamplerError):
        build(world, document, out=out)
    stored = world / "store" / "runs" / "sums"
    n_done = len(list((stored / "trajectories").glob("part-*.parquet")))
    assert n_done > 0
    server.choose_fault = lambda payload: None
    said: list[str] = []
    build(world, document, out=out, say=said.append)
    assert any("goes on where it stopped" in line for line in said)
    n_asked, said = server.n_requests, []
    build(world, document, out=out, say=said.append)
    assert server.n_requests == n_asked
    assert sum("whole, kept" in line for line in said) == len(STAGES)
    (stored / "rows" / "rl" / "train-00000-of-00003.parquet").unlink()
    build(world, document, out=out, from_stage=None, say=said.append)
    assert (stored / "rows" / "rl" / "train-00000-of-00003.parquet").is_file()
    assert server.n_requests == n_asked
    assert files_of(stored) == files_of(build(world, document).root)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", STORES)
def test_recordings_are_replayed_into_a_remote_store(world: Path, scheme: str) -> None:
    rows = [
        {"problem": f"What is {i + 10} plus {3 * i + 2}?", "text": f"\\boxed{{{4 * i + 12}}}"}
        for i in range(30)
    ]
    write_lines(world / "recorded.jsonl", (json.dumps(row) for row in rows))
    columns = {"problem": "problem", "texts": "text"}
    replay = {"path": "recorded.jsonl", "model": "m", "columns": columns}
    document = {
        "name": "sums",
        "sources": [{"path": "sums.jsonl", "columns": {"problem": "problem", "answer": "answer"}}],
        "replay": replay,
        "rows": {"default": {"transform": "verified"}},
        "shards": 2,
    }
    here = build(world, document)
    build(world, document, out=f"{scheme}://{world}/store/runs")
    stored = files_of(world / "store" / "runs" / "sums")
    assert stored == files_of(here.root)  # type: ignore[arg-type]
    assert len([name for name in stored if name.startswith("recordings/")]) == 2


@pytest.mark.parametrize("scheme", STORES)
def test_a_remote_run_is_published_and_its_ledger_read(
    world: Path,
    server: FakeOpenAI,
    hub: HubServer,
    scheme: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("butwait.pipelines.publish._verify", lambda *_: None)
    monkeypatch.setenv("HF_TOKEN", ALICE_WRITE)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    address = f"{scheme}://{world}/store/runs"
    build(world, recipe_document(server.url), out=address)
    capsys.readouterr()
    assert run_command(["ledger", f"{address}/sums", "--json"]) == 0
    ledger = world / "store" / "runs" / "sums" / "ledger.json"
    assert json.loads(capsys.readouterr().out) == json.loads(ledger.read_text())
    assert run_command(["push", f"{address}/sums", "alice/sums"]) == 0, capsys.readouterr().err
    published = hub.files("alice/sums")
    rows = world / "store" / "runs" / "sums" / "rows"
    for path in rows.rglob("train-*.parquet"):
        name = f"data/{path.relative_to(rows).as_posix()}"
        assert published.get(name, path.read_bytes()) == path.read_bytes()
    assert sum(name.startswith("data/default/") for name in published) == 3
    assert run_command(["push", f"{address}/nothing", "alice/other"]) == 2
    assert "is not whole" in capsys.readouterr().err
    assert run_command(["ledger", f"{address}/nothing"]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", STORES)
def test_no_half_file_is_ever_seen_in_a_remote_store(tmp_path: Path, scheme: str) -> None:
    folder = RemotePath(f"{scheme}://{tmp_path}/store")
    write_text(folder / "whole.txt", "first")

    def lines() -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    for name in ("half.txt", "whole.txt"):
        with pytest.raises(KeyboardInterrupt):
            write_lines(folder / name, lines())
    assert [p.name for p in files_in(folder, "*")] == ["whole.txt"]
    assert (folder / "whole.txt").read_text() == "first"
    write_text(folder / "whole.txt", "second")
    assert (folder / "whole.txt").read_text() == "second"
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["whole.txt"]


@pytest.mark.parametrize("scheme", STORES)
def test_sending_that_breaks_off_leaves_nothing(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RemotePath(f"{scheme}://{tmp_path}/store")

    def broken(source: Any, target: Any, size: int) -> None:
        target.write(b"half")
        raise OSError("the network is gone")

    monkeypatch.setattr("butwait.pipelines.places.shutil.copyfileobj", broken)
    with pytest.raises(ConfigError, match=r"cannot be written.*the network is gone"):
        write_text(folder / "new.txt", "text")
    assert list((tmp_path / "store").rglob("*")) == []


@pytest.mark.parametrize("scheme", STORES)
def test_folders_of_a_remote_store_are_listed_and_removed_whole(
    tmp_path: Path, scheme: str
) -> None:
    folder = RemotePath(f"{scheme}://{tmp_path}/store/run")
    assert files_in(folder, "*") == [] and not folder.is_dir()
    remove_tree(folder)
    for name in ("a.txt", "deep/b.txt", "deep/er/c.txt"):
        write_text(folder / name, name)
    beside = RemotePath(f"{scheme}://{tmp_path}/store/run-2") / "d.txt"
    write_text(beside, "stays")
    assert folder.is_dir() and (folder / "deep" / "b.txt").is_file()
    assert [p.name for p in files_in(folder / "deep", "*.txt")] == ["b.txt"]
    remove_tree(folder)
    assert not folder.is_dir() and not (folder / "deep" / "er" / "c.txt").is_file()
    assert beside.read_text() == "stays"
    with pytest.raises(FileNotFoundError):
        (folder / "a.txt").read_text()


def test_logs_of_a_remote_run_are_written_here_and_sent_at_the_end(tmp_path: Path) -> None:
    logs = RemotePath(f"bucket://{tmp_path}/store/logs")
    with pytest.raises(SamplerError), sent_at_end(logs) as here:
        (here / "vllm.log").write_text("why it died")
        raise SamplerError("it died")
    assert (logs / "vllm.log").read_text() == "why it died"
    assert not here.exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gs://bucket/*/runs", "cannot be a run folder"),
        ("gs://me:word@bucket/runs", "cannot be a run folder"),
        ("nowhere://bucket/runs", "use gs://, s3://"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        use_options(read_folder(address))


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "gs://b/runs/x"],
        ["tree", "s3://b/runs/x"],
        ["compare", "runs/a", "gs://b/runs/x"],
        ["eval", "recipe.yaml", "--out", "gs://b/runs"],
        ["train", "sft", "recipe.yaml", "--out=hdfs://b/runs"],
        ["cache", "explain", "gs://b/runs/x", "q1"],
    ],
)
def test_commands_that_know_local_folders_only_say_so(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    said = capsys.readouterr().err
    assert "works on local folders only" in said and said.count("\n") == 1


def test_the_test_stores_are_known_to_beam() -> None:
    assert tests.remote_store.Bucket.scheme() == "bucket"
    use_options(read_folder("tree:///runs"))
