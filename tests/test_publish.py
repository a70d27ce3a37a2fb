"""Pushing a run to the Hub and loading it back, through the real clients and a test Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hub.fixture import Push
from hub.sample_run import make_text_rows, write_run, write_shards
from hub.server import HubServer
from hub.state import ALICE_WRITE

from butwait.pipelines import publish
from butwait.pipelines.publish import push_run
from butwait.schemas.errors import HubError

REPO = "alice/tiny"
SHARDS = {
    "data/default/train-00000-of-00002.parquet",
    "data/default/train-00001-of-00002.parquet",
    "data/rl/train-00000-of-00001.parquet",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "tiny")


@pytest.fixture
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the loading back, which takes seconds, where a test is about the commit."""
    monkeypatch.setattr(publish, "_verify", lambda *_: None)


def test_a_run_becomes_one_private_commit_that_loads_back(
    hub: HubServer, push: Push, run: Path
) -> None:
    result = push(run)
    assert (hub.n_commits(REPO), hub.repo(REPO).private, result.private) == (1, True, True)
    assert set(hub.files(REPO)) == {".gitattributes", "README.md", *SHARDS}
    for path in SHARDS:
        assert hub.files(REPO)[path] == (run / "rows" / path.removeprefix("data/")).read_bytes()
    assert (result.files_sent, result.n_rows) == (4, 16)
    assert result.revision == hub.repo(REPO).find("main").oid
    assert result.url == f"{hub.endpoint}/datasets/{REPO}/tree/{result.revision}"
    readme = hub.files(REPO)["README.md"].decode()
    assert f'load_dataset("{REPO}", "default", split="train")' in readme
    assert "OWNER/NAME" not in readme
    assert "loaded back equal: 16 rows in 2 configurations" in push.told

    again = push(run)
    assert hub.n_commits(REPO) == 1
    assert (again.revision, again.files_sent) == (result.revision, 0)
    assert any("nothing to commit" in line for line in push.told)
    assert push.told.count("loaded back equal: 16 rows in 2 configurations") == 2


def test_users_load_the_default_configuration_streaming_and_pinned(
    hub: HubServer, push: Push, run: Path, run_client: Any, unverified: None
) -> None:
    old = push(run).revision
    write_run(run, make_text_rows(5), n_shards=1)
    push(run)
    done = run_client(f"""
        from datasets import get_dataset_config_names, load_dataset
        print(get_dataset_config_names("{REPO}"))
        print(len(load_dataset("{REPO}", split="train")))
        print(len(list(load_dataset("{REPO}", split="train", streaming=True))))
        print(len(load_dataset("{REPO}", split="train", revision="{old}")))
        print(load_dataset("{REPO}", "rl", split="train")[3]["problem"])
    """)
    assert done.stdout.splitlines() == ["['default', 'rl']", "5", "5", "12", "3+3"]


PUSH_BY_ENVIRONMENT = """
    import os, pathlib
    from butwait.pipelines.publish import push_run
    run, token = pathlib.Path({run!r}), os.environ["HF_TOKEN"]
    print(push_run(run, "alice/tiny", token=token, progress=print).files_sent)
"""


def test_a_push_by_way_of_xet_to_the_address_in_the_environment_loads_back(
    hub: HubServer, run: Path, run_client: Any
) -> None:
    done = run_client(PUSH_BY_ENVIRONMENT.format(run=str(run)), xet=True)
    assert done.stdout.splitlines()[-2:] == ["loaded back equal: 16 rows in 2 configurations", "4"]
    assert set(hub.files(REPO)) >= SHARDS
    assert hub.n_requests("lfs_put") == 0
    assert hub.n_requests("xet_token") > 0


def test_one_changed_row_sends_one_shard_in_one_commit(
    hub: HubServer, push: Push, run: Path, unverified: None
) -> None:
    push(run)
    before = hub.files(REPO)
    rows = make_text_rows(12)
    rows[11]["answer"] = "23"
    write_run(run, rows)
    n_puts = hub.n_requests("lfs_put")
    result = push(run)
    changed = {path for path, content in hub.files(REPO).items() if before[path] != content}
    assert changed - {"README.md"} == {"data/default/train-00001-of-00002.parquet"}
    assert hub.n_commits(REPO) == 2
    assert hub.n_requests("lfs_put") == n_puts + 1
    assert result.files_sent == len(changed)


def test_other_shard_numbers_replace_the_old_shards_and_nothing_else(
    hub: HubServer, push: Push, run: Path, unverified: None
) -> None:
    push(run)
    foreign = {"data/notes.txt": b"mine", "data/default/extra.parquet": b"PAR1", "LICENSE": b"x"}
    hub.commit_directly(REPO, foreign)
    write_run(run, n_shards=3)
    result = push(run)
    shards = {p for p in hub.files(REPO) if "train-" in p and "/default/" in p}
    assert shards == {f"data/default/train-0000{i}-of-00003.parquet" for i in range(3)}
    assert hub.files(REPO).items() >= foreign.items()
    assert (result.files_sent, result.files_deleted) == (4, 2)


def test_a_foreign_commit_in_between_is_kept(
    hub: HubServer, push: Push, run: Path, unverified: None
) -> None:
    hub.state.create_repo("datasets", REPO, private=True)
    hub.before_next("commit", lambda: hub.commit_directly(REPO, {"notes.txt": b"mine"}))
    push(run)
    assert hub.n_requests("commit") == 2
    assert hub.n_commits(REPO) == 2
    assert {"notes.txt", "README.md", *SHARDS} <= set(hub.files(REPO))
    assert any("commit" in line and "412" in line for line in push.told)


@pytest.mark.parametrize("status", [408, 409, 412, 429, 500, 503])
def test_a_failed_commit_is_tried_again(
    hub: HubServer, push: Push, run: Path, unverified: None, status: int
) -> None:
    hub.fail_next("commit", status)
    push(run)
    assert (hub.n_requests("commit"), hub.n_commits(REPO)) == (2, 1)
    assert push.waits == [1.0]
    assert hub.n_requests("lfs_put") == 3


def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    hub: HubServer, push: Push, run: Path, unverified: None
) -> None:
    hub.fail_next("commit", 502, after=True)
    result = push(run)
    assert (hub.n_requests("commit"), hub.n_commits(REPO)) == (1, 1)
    assert result.files_sent == 4
    assert any("committed" in line for line in push.told)


def test_the_wait_that_the_hub_asks_for_is_kept(
    hub: HubServer, push: Push, run: Path, unverified: None
) -> None:
    hub.fail_next("commit", 429, headers={"Retry-After": "17"})
    push(run)
    assert push.waits == [17.0]


@pytest.mark.parametrize("route", ["whoami", "info", "create_repo", "tree"])
def test_every_other_call_is_tried_again_too(
    hub: HubServer, push: Push, run: Path, unverified: None, route: str
) -> None:
    hub.fail_next(route, 503, times=2)
    push(run)
    assert hub.n_commits(REPO) == 1


def test_a_hub_that_stays_down_ends_in_one_line(
    hub: HubServer, push: Push, run: Path, unverified: None
) -> None:
    hub.fail_next("commit", 500, times=100)
    with pytest.raises(HubError) as caught:
        push(run)
    assert hub.n_requests("commit") == 6
    assert push.waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    message = str(caught.value)
    assert "after 6 attempts" in message and "answered 500" in message
    assert "push again later" in message and "\n" not in message


def test_an_address_without_a_hub_ends_in_one_line(hub: HubServer, run: Path) -> None:
    with pytest.raises(HubError, match="check HF_ENDPOINT and the network") as caught:
        push_run(
            run,
            REPO,
            token=ALICE_WRITE,
            endpoint="http://127.0.0.1:9",
            progress=lambda _: None,
            sleep=lambda _: None,
        )
    assert "\n" not in str(caught.value)


def test_public_is_public_and_stays_so_untold(
    hub: HubServer, push: Push, run: Path, unverified: None
) -> None:
    assert push(run, public=True).private is False
    assert hub.repo(REPO).private is False
    assert push(run).private is False
    assert hub.repo(REPO).private is False
    assert any("public already" in line for line in push.told)


def test_a_private_dataset_becomes_public_only_after_it_loaded_equal(
    hub: HubServer, push: Push, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_verify", lambda *_: None)
    push(run)
    seen: list[bool] = []
    monkeypatch.setattr(publish, "_verify", lambda *_: seen.append(hub.repo(REPO).private))
    assert push(run, public=True).private is False
    assert seen == [True]
    assert hub.repo(REPO).private is False


@pytest.mark.parametrize("spoil", ["rows", "columns", "bytes"])
def test_a_dataset_that_comes_back_different_is_an_error(
    hub: HubServer, push: Push, run: Path, tmp_path: Path, spoil: str
) -> None:
    rows = make_text_rows(12)[6:]
    if spoil == "bytes":
        rows[2]["answer"] = "wrong"
    else:
        rows = rows[:5] if spoil == "rows" else [{**row, "pass_rate": "high"} for row in rows]
    path = "data/default/train-00001-of-00002.parquet"
    content = write_shards(tmp_path / "other", rows, 1)[0].read_bytes()

    def corrupt() -> None:
        if REPO in {repo_id for _, repo_id in hub.state.repos} and path in hub.files(REPO):
            hub.corrupt(REPO, path, content)
        else:
            hub.before_next("resolve", corrupt)

    hub.before_next("resolve", corrupt)
    with pytest.raises(HubError, match=f"{REPO} ") as caught:
        push(run)
    assert hub.repo(REPO).find("main").oid in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_local_folder_of_the_same_name_is_not_taken_for_the_dataset(
    hub: HubServer, push: Push, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "here" / REPO / "data" / "default", make_text_rows(1), 1)
    monkeypatch.chdir(tmp_path / "here")
    assert push(run).n_rows == 16
    assert push.told[-1].startswith("loaded back equal")


def test_a_passing_fault_while_loading_back_is_tried_again(
    hub: HubServer, push: Push, run: Path
) -> None:
    hub.before_next("resolve", lambda: hub.fail_next("info", 500))
    push(run)
    assert any("loading back failed" in line and "trying again" in line for line in push.told)
    assert push.told[-1].startswith("loaded back equal")


def test_a_configuration_without_rows_is_left_out(
    hub: HubServer, push: Push, tmp_path: Path
) -> None:
    assert push(write_run(tmp_path / "tiny", n_question_rows=0)).n_rows == 12
    assert push.told[-1] == "loaded back equal: 12 rows in 1 configurations"
    assert not any(path.startswith("data/rl/") for path in hub.files(REPO))


def test_an_empty_shard_beside_others_goes_there_and_back(
    hub: HubServer, push: Push, tmp_path: Path
) -> None:
    rows = make_text_rows(3)
    run = write_run(tmp_path / "tiny", rows, n_shards=4)
    assert push(run).n_rows == 7
    assert "data/default/train-00003-of-00004.parquet" in hub.files(REPO)
