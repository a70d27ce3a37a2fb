"""Pushing a trained model through the real client and a test Hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hub.server import HubServer
from hub.state import ALICE_WRITE
from train_world import POLICY

from butwait.pipelines.publish_model import push_model
from butwait.schemas.errors import ConfigError, HubError

REPO = "alice/small"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished training run."""
    run = tmp_path / "sums"
    shutil.copytree(POLICY, run / "final")
    (run / "final" / "README.md").write_text(
        "---\nlibrary_name: transformers\ntags: [butwait]\n---\n# sums\n", "utf-8"
    )
    (run / "checkpoints" / "samples_8").mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"status": "finished"}), "utf-8")
    return run


def push(hub: HubServer, run: Path, **more: Any) -> Any:
    options = {"token": ALICE_WRITE, "endpoint": hub.endpoint, "progress": lambda _: None, **more}
    return push_model(run, REPO, **options)


def test_a_finished_run_becomes_one_private_commit_and_a_second_push_sends_nothing(
    hub: HubServer, run: Path, hub_api: Any
) -> None:
    result = push(hub, run)
    repo = hub.repo(REPO, "models")
    held = hub_api(ALICE_WRITE).list_repo_files(REPO)
    assert set(held) - {".gitattributes"} == {path.name for path in (run / "final").iterdir()}
    assert repo.private and result.private and result.files_sent == len(held) - 1
    assert result.url == f"{hub.endpoint}/{REPO}/tree/{result.revision}"
    again = push(hub, run)
    assert (again.files_sent, again.revision) == (0, result.revision)


def test_weights_of_an_older_push_go_and_strangers_files_stay(
    hub: HubServer, run: Path, hub_api: Any
) -> None:
    push(hub, run)
    api = hub_api(ALICE_WRITE)
    for name in ("model-00001-of-00002.safetensors", "notes.txt"):
        api.upload_file(path_or_fileobj=b"old", path_in_repo=name, repo_id=REPO)
    result = push(hub, run)
    held = api.list_repo_files(REPO)
    assert result.files_deleted == 1
    assert "notes.txt" in held and "model-00001-of-00002.safetensors" not in held


def test_transformers_loads_what_was_pushed(
    hub: HubServer, run: Path, hub_api: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    result = push(hub, run)
    folder = hub_api(ALICE_WRITE).snapshot_download(
        REPO, revision=result.revision, local_dir=tmp_path / "back"
    )
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() == 656_256


@pytest.mark.parametrize("status", ["running", None])
def test_an_unfinished_run_is_refused(hub: HubServer, run: Path, status: str | None) -> None:
    (run / "manifest.json").write_text(json.dumps({"status": status}), "utf-8")
    with pytest.raises(ConfigError, match="is not finished: run its `butwait train` command"):
        push(hub, run)


def test_a_repository_of_somebody_else_is_refused(hub: HubServer, run: Path) -> None:
    with pytest.raises(HubError, match="belongs to 'bob'"):
        push_model(
            run, "bob/small", token=ALICE_WRITE, endpoint=hub.endpoint, progress=lambda _: None
        )
