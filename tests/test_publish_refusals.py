"""What a push refuses, before or at the Hub, in one line and without the token."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hub.fixture import Push
from hub.sample_run import make_text_rows, write_run, write_shards
from hub.server import HubServer
from hub.state import ALICE_READ, ALICE_WRITE, BOB_WRITE

from butwait.schemas.errors import ConfigError, HubError

REPO = "alice/tiny"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "tiny")


def test_no_token_is_said_with_the_way_out(hub: HubServer, push: Push, run: Path) -> None:
    for token in (None, "", "  "):
        with pytest.raises(ConfigError, match="no Hub token: set HF_TOKEN"):
            push(run, token=token)
    assert hub.seen == []


def test_a_wrong_token_is_refused_without_being_shown(
    hub: HubServer, push: Push, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "hf_thisIsAWrongTokenWithASecretInIt"
    with pytest.raises(HubError, match="answered 401") as caught:
        push(run, token=wrong)
    message = str(caught.value)
    assert f"{hub.endpoint}/settings/tokens" in message and "\n" not in message
    assert wrong not in message + caplog.text + "".join(push.told)
    assert hub.n_requests("create_repo") == 0


def test_a_token_that_the_hub_repeats_is_hidden(hub: HubServer, push: Push, run: Path) -> None:
    hub.fail_next("whoami", 418, headers={"X-Error-Message": f"bad token {ALICE_WRITE}"})
    with pytest.raises(HubError, match=r"bad token \*\*\*") as caught:
        push(run)
    assert ALICE_WRITE not in str(caught.value)


def test_the_token_is_on_no_command_line_and_in_no_file(
    hub: HubServer, push: Push, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    from butwait.pipelines import readback

    commands: list[Any] = []
    real = subprocess.run

    def note(command: Any, **more: Any) -> Any:
        commands.append((command, more["input"]))
        return real(command, **more)

    monkeypatch.setattr(readback.subprocess, "run", note)
    push(run)
    assert len(commands) == 1 and ALICE_WRITE not in repr(commands)
    assert not any(ALICE_WRITE.encode() in content for content in hub.files(REPO).values())


@pytest.mark.parametrize(
    ("repo_id", "token", "message"),
    [
        ("bob/tiny", ALICE_WRITE, "belongs to 'bob', but the token writes to 'alice'"),
        (REPO, BOB_WRITE, "belongs to 'alice', but the token writes to 'bob'"),
        (REPO, ALICE_READ, "the token of 'alice' may only read"),
    ],
)
def test_a_token_without_the_right_is_refused_before_anything_is_made(
    hub: HubServer, push: Push, run: Path, repo_id: str, token: str, message: str
) -> None:
    with pytest.raises(HubError, match=message):
        push(run, repo_id, token=token)
    assert hub.state.repos == {}


@pytest.mark.parametrize("repo_id", ["tiny", "a/b/c", "alice/", "alice/x y", "../x", "a/b--c", ""])
def test_a_malformed_repository_name_is_refused(
    hub: HubServer, push: Push, run: Path, repo_id: str
) -> None:
    with pytest.raises(ConfigError, match="is not a repository's name"):
        push(run, repo_id)
    assert hub.seen == []


FOREIGN = {
    "README.md": b"---\ntags: [mine]\n---\n# my own work\n",
    "data/train-00000-of-00001.parquet": b"PAR1",
}


@pytest.mark.parametrize(
    "files", [FOREIGN, {"train.jsonl": b"{}"}, {"README.md": b"no front matter"}]
)
def test_a_dataset_that_butwait_did_not_make_stays_as_it_is(
    hub: HubServer, push: Push, run: Path, files: dict[str, bytes]
) -> None:
    hub.state.create_repo("datasets", REPO, private=True)
    head = hub.commit_directly(REPO, files)
    with pytest.raises(HubError, match=f"{REPO} exists and was not made by butwait") as caught:
        push(run)
    assert "--replace" in str(caught.value) and "\n" not in str(caught.value)
    assert hub.repo(REPO).find("main").oid == head
    assert hub.n_requests("lfs_put") == 0


def test_replace_puts_the_card_in_place_and_keeps_strangers_files(
    hub: HubServer, push: Push, run: Path
) -> None:
    hub.state.create_repo("datasets", REPO, private=True)
    hub.commit_directly(REPO, FOREIGN)
    assert push(run, replace=True).n_rows == 16
    assert "data/train-00000-of-00001.parquet" in hub.files(REPO)
    assert b"my own work" not in hub.files(REPO)["README.md"]
    assert any("its other files stay" in line for line in push.told)


def test_a_renamed_dataset_is_not_pushed_to_by_its_old_name(
    hub: HubServer, push: Push, run: Path
) -> None:
    hub.state.create_repo("datasets", REPO, private=True)
    hub.rename(REPO, "alice/new")
    with pytest.raises(HubError, match="alice/tiny was renamed to alice/new; push to alice/new"):
        push(run)
    assert hub.n_commits("alice/new") == 0


@pytest.mark.parametrize("tag", ["", "a b", "main", "../x", "-v", "v1..2", "x" * 200])
def test_a_malformed_tag_is_refused_before_the_hub_is_asked(
    hub: HubServer, push: Push, run: Path, tag: str
) -> None:
    with pytest.raises(ConfigError, match="cannot be a tag"):
        push(run, tag=tag)
    assert hub.seen == []


def test_a_token_that_may_write_elsewhere_only_is_told_so_at_the_first_write(
    hub: HubServer, push: Push, run: Path
) -> None:
    hub.fail_next("create_repo", 403)
    with pytest.raises(HubError, match="use a token with write permission for this repository"):
        push(run)
    assert hub.state.repos == {}


def remove(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).unlink()


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda run: (run / name).write_text(text)


def edit_a_shard(run: Path) -> None:
    write_shards(run / "rows" / "rl", [{"id": "a", "problem": "b", "n_samples": 1}] * 4, 1)


def miscount(run: Path) -> None:
    ledger = json.loads((run / "ledger.json").read_text())
    ledger["rows"]["rl"]["bins"]["written"] += 1
    ledger["rows"]["rl"]["made"] += 1
    (run / "ledger.json").write_text(json.dumps(ledger))


def lose_a_question(run: Path) -> None:
    ledger = json.loads((run / "ledger.json").read_text())
    ledger["questions"]["read"] += 1
    (run / "ledger.json").write_text(json.dumps(ledger))


def keep_an_old_card(run: Path) -> None:
    card = (run / "card" / "README.md").read_text()
    write_run(run, make_text_rows(9))
    (run / "card" / "README.md").write_text(card)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("manifest.json"), "has no manifest.json: finish the run"),
        (remove("card/README.md"), "has no card/README.md"),
        (remove("rows/_stage.json"), "stage 'rows' of .* is not whole"),
        (remove("card/_stage.json"), "stage 'card' of .* is not whole"),
        (remove("rows/default/train-00000-of-00002.parquet"), "not whole"),
        (write("ledger.json", "[]"), "is not a ledger"),
        (write("card/README.md", "# no metadata"), "describes rows {}"),
        (write("card/README.md", "---\na: [\n---\n"), "describes rows {}"),
        (edit_a_shard, "is not the file that the build wrote"),
        (lose_a_question, "does not add up in questions"),
        (miscount, "counts rows .*'rl': 5"),
        (keep_an_old_card, "describes rows .*'default': 12.*--from card"),
    ],
)
def test_a_run_that_is_not_whole_is_refused_before_the_hub_is_asked(
    hub: HubServer, push: Push, run: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(run)
    with pytest.raises(ConfigError, match=message) as caught:
        push(run)
    assert "\n" not in str(caught.value)
    assert hub.seen == []


def test_a_missing_run_is_named(hub: HubServer, push: Push, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run folder .*nowhere is missing"):
        push(tmp_path / "nowhere")


def test_a_run_without_any_row_is_refused(hub: HubServer, push: Push, tmp_path: Path) -> None:
    run = write_run(tmp_path / "tiny", n_question_rows=0)
    for path in (run / "rows" / "default").glob("*.parquet"):
        pq.ParquetWriter(path, pq.read_schema(path)).close()
    with pytest.raises(ConfigError, match=r"has no rows to publish; .*ledger.json says why"):
        push(run)
