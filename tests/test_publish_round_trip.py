"""From a build to the Hub and back: published questions are the source of another build."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hub.server import HubServer
from hub.state import ALICE_WRITE
from test_cli import MAIN, Run, assert_one_line, run, run_process

from butwait.pipelines.front_matter import read_front_matter
from tests.build_world import add, build, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

REPO = "alice/sums"
__all__ = ["run"]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


@pytest.mark.slow
def test_published_questions_are_built_from_again_at_the_commit_of_a_tag(
    tmp_path: Path, server: FakeOpenAI, hub: HubServer, run: Run
) -> None:
    write_questions(tmp_path / "sums.jsonl", 12)
    build(tmp_path, recipe_document(server.url))
    env = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ALICE_WRITE, "HF_HUB_DISABLE_XET": "1"}
    first = run("push", "runs/sums", REPO, "--tag", "v1", **env)
    assert first.returncode == 0, first.stderr
    commit = hub.repo(REPO).tags["v1"]
    card = hub.files(REPO)["README.md"].decode()
    assert {c["config_name"] for c in read_front_matter(card)["configs"]} == {
        "default", "stitch", "but_wait", "limo", "rl"
    }  # fmt: skip
    assert "butwait train sft sft.yaml" in card and "butwait train grpo grpo.yaml" in card

    hub.commit_directly(REPO, {"data/rl/train-00000-of-00003.parquet": b"PAR1 not any more"})
    hub.state.create_repo("models", "fake/model", private=False)
    again = recipe_document(server.url, name="again")
    again["sources"] = [{"hub": f"hf://datasets/{REPO}@v1/data/rl/*.parquet"}]
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(again))
    done = run_process(tmp_path, "build", "again.yaml", **env)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "runs/again/manifest.json").read_text())
    [source] = manifest["sources"]
    assert (source["name"], source["revision"], source["r1_derived"]) == (REPO, commit, False)
    counts = [
        json.loads((tmp_path / "runs" / name / "ledger.json").read_text())["rows"]["rl"]["bins"]
        for name in ("sums", "again")
    ]
    assert counts[0] == counts[1] == {"written": 12}
    readme = (tmp_path / "runs/again/card/README.md").read_text()
    assert f"hub: hf://datasets/{REPO}@{commit}/data/rl/*.parquet" in readme


@pytest.mark.slow
def test_ctrl_c_during_a_push_is_one_line_and_the_same_command_goes_on(
    tmp_path: Path, server: FakeOpenAI, hub: HubServer, run: Run
) -> None:
    write_questions(tmp_path / "sums.jsonl", 12)
    build(tmp_path, recipe_document(server.url))
    env = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ALICE_WRITE, "HF_HUB_DISABLE_XET": "1"}
    hub.fail_next("commit", 0, stall_s=5.0)
    started = subprocess.Popen(
        [*MAIN, "push", "runs/sums", REPO],
        cwd=tmp_path,
        env={**os.environ, **env, "HF_HOME": str(tmp_path / "hf")},
        stderr=subprocess.PIPE,
        text=True,
    )
    while hub.faults.n_open() and started.poll() is None:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert "interrupted; what was sent is kept: the same command continues" in said
    assert "Traceback" not in said and ALICE_WRITE not in said
    n_puts = hub.n_requests("lfs_put")
    assert run("push", "runs/sums", REPO, **env).returncode == 0
    assert hub.n_requests("lfs_put") == n_puts
    renamed = "alice/other"
    hub.rename(REPO, renamed)
    assert_one_line(run("push", "runs/sums", REPO, **env), 1, f"push to {renamed}")
