"""The command line as a user meets it: exit codes, one-line errors, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub.server import HubServer
from hub.state import ALICE_WRITE

from butwait.pipelines.cli import run_command
from tests.build_world import add, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

MAIN = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()"]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


def write_recipe(folder: Path, document: dict[str, Any]) -> Path:
    write_questions(folder / "sums.jsonl", 12)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def command(folder: Path, *arguments: str) -> list[str]:
    cache = ["--cache", str(folder / "cache.sqlite"), "--out", str(folder / "runs")]
    return [arguments[0], *arguments[1:], *(cache if arguments[0] == "build" else [])]


Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def run_process(folder: Path, *arguments: str, **env: str) -> Done:
    """The command in a process of its own, as a user starts it: seconds of imports."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "BUTWAIT_"))}
    return subprocess.run(
        [*MAIN, *command(folder, *arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={**clean, "HF_HOME": str(folder / "hf"), **env},
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The same command in this process. ``push`` needs a token in ``env``, or finds yours."""

    def call(*arguments: str, **env: str) -> Done:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name in [name for name in os.environ if name.startswith(("HF_", "BUTWAIT_"))]:
                patch.delenv(name)
            for name, value in env.items():
                patch.setenv(name, value)
            code = run_command(command(tmp_path, *arguments))
        return Done(list(arguments), code, *capfd.readouterr())

    return call


def assert_one_line(done: Done, code: int, *words: str) -> None:
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == code, done.stderr
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0], errors[0]


def test_a_build_from_the_command_line_prints_ledger_rows_and_paths(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    done = run_process(tmp_path, "build", str(recipe))
    assert done.returncode == 0, done.stderr
    assert "questions read" in done.stdout
    assert done.stdout.count("pass rate") == 3
    assert "card:" in done.stdout
    assert "trajectories: 12/12 questions" in done.stderr
    shown = run_process(tmp_path, "ledger", "runs/sums", "--json")
    assert json.loads(shown.stdout)["questions"]["total"] == 12
    scored = run("score", "runs/sums")
    assert "12 problems, 4 samples each" in scored.stdout


def test_a_dry_run_shows_prompt_samples_and_cost_and_writes_nothing(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    before = sorted(tmp_path.rglob("*"))
    done = run("build", str(recipe), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "[user] What is 10 plus 2?" in done.stdout
    assert "completion tokens a question" in done.stdout
    assert "12 questions:" in done.stdout
    assert [p for p in sorted(tmp_path.rglob("*")) if "/hf" not in str(p)] == before


def test_no_arguments_print_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) in (0, 2)
    out = capfd.readouterr()
    assert "build" in out.out + out.err


@pytest.mark.parametrize("name", ["build", "push", "ledger", "score", "compare"])
def test_every_help_page_has_an_example(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command([name, "--help"]) == 0
    assert f"butwait {name} " in capfd.readouterr().out


def test_a_missing_recipe_and_malformed_yaml_are_the_users_to_mend(
    tmp_path: Path, run: Run
) -> None:
    assert_one_line(run_process(tmp_path, "build", "none.yaml"), 2, "none.yaml", "does not exist")
    (tmp_path / "bad.yaml").write_text("name: [")
    assert_one_line(run("build", "bad.yaml"), 2, "bad.yaml", "not valid YAML")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": [{"path": "gone.jsonl"}]}, ("gone.jsonl",)),
        (
            {"sources": [{"path": "sums.jsonl", "columns": {"problem": "probelm"}}]},
            ("probelm", "problem"),
        ),
        ({"model": {"id": "./no-such-model"}, "server": "transformers"}, ("no-such-model",)),
        ({"smapling": {}}, ("smapling", "sampling")),
    ],
)
def test_a_recipe_that_cannot_work_here_is_refused_before_anything_is_written(
    tmp_path: Path, server: FakeOpenAI, changes: dict, words: tuple[str, ...], run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url, **changes))
    assert_one_line(run("build", str(recipe)), 2, *words)
    assert not (tmp_path / "runs").exists()


def test_an_unknown_model_names_what_is_served(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    document = recipe_document(server.url)
    document["server"]["served_name"] = "other/model"
    done = run("build", str(write_recipe(tmp_path, document)))
    assert done.returncode in (1, 2)
    assert_one_line(done, done.returncode, "other/model", "fake/model")


def test_a_server_that_does_not_answer_is_named_with_its_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    document = recipe_document(f"http://127.0.0.1:{port}")
    done = run_process(tmp_path, "build", str(write_recipe(tmp_path, document)))
    assert_one_line(done, 1, f"127.0.0.1:{port}")


def test_a_beam_runner_that_does_not_exist_is_named(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    done = run("build", str(recipe), "--runner", "NoSuchRunner")
    assert_one_line(done, 2, "NoSuchRunner")


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        ("--limt=5", "--limit"),
        ("--dryrun", "--dry-run"),
        ("--direct_num_worker=2", "--direct_num_workers"),
    ],
)
def test_a_mistyped_flag_is_not_handed_to_beam_and_forgotten(
    tmp_path: Path, server: FakeOpenAI, flag: str, word: str, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    assert_one_line(run("build", str(recipe), flag), 2, flag, word)


def test_a_run_folder_that_cannot_be_written_is_named(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    (tmp_path / "runs").write_text("a file stands where the folder should be")
    assert_one_line(run("build", str(recipe)), 2, "cannot be written")


def test_a_cache_that_cannot_be_opened_is_named_before_anything_is_read(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    (tmp_path / "cache.sqlite").mkdir()
    assert_one_line(run("build", str(recipe)), 2, "cache.sqlite", "--cache")
    assert not (tmp_path / "runs").exists()


def test_an_api_key_for_another_service_is_not_sent_to_a_recipes_server(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    server.api_key = "sk-right"
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    assert run("build", str(recipe), OPENAI_API_KEY="sk-right").returncode != 0
    done = run("build", str(recipe), BUTWAIT_API_KEY="sk-right")
    assert done.returncode == 0, done.stderr
    written = [p for p in (tmp_path / "runs").rglob("*") if p.is_file()]
    assert not any(b"sk-right" in path.read_bytes() for path in written)


def test_a_push_without_a_token_says_how_to_get_one(
    tmp_path: Path, server: FakeOpenAI, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    assert run("build", str(recipe)).returncode == 0
    assert_one_line(run_process(tmp_path, "push", "runs/sums", "me/sums"), 2, "HF_TOKEN")


def test_push_publishes_a_run_privately_and_a_second_push_sends_nothing(
    tmp_path: Path, server: FakeOpenAI, hub: HubServer, run: Run
) -> None:
    recipe = write_recipe(tmp_path, recipe_document(server.url))
    assert run("build", str(recipe)).returncode == 0
    env = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ALICE_WRITE, "HF_HUB_DISABLE_XET": "1"}
    first = run_process(tmp_path, "push", "runs/sums", "alice/sums", **env)
    assert first.returncode == 0, first.stderr
    assert "rows read back equal" in first.stderr
    again = run("push", "runs/sums", "alice/sums", **env)
    assert "nothing had changed" in again.stderr
    assert hub.n_commits("alice/sums") == 1
    assert ALICE_WRITE not in first.stdout + first.stderr + again.stdout + again.stderr
    foreign = run("push", "runs/sums", "bob/sums", **env)
    assert_one_line(foreign, foreign.returncode, "bob")
    assert foreign.returncode in (1, 2)


def test_a_ledger_of_no_run_and_an_unknown_option_are_refused(tmp_path: Path, run: Run) -> None:
    assert_one_line(run("ledger", "runs/none"), 2, "runs/none")
    assert run("ledger", "runs/none", "--jsonn").returncode == 2


@pytest.mark.alone
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(tmp_path: Path, run: Run) -> None:
    with FakeOpenAI(add, delay_s=0.5).running() as slow:
        document = recipe_document(slow.url, block_size=2)
        document["server"]["max_in_flight"] = 2
        recipe = write_recipe(tmp_path, document)
        started = subprocess.Popen(
            [*MAIN, *command(tmp_path, "build", str(recipe))],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while slow.n_completions < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
        assert started.returncode == 130, errors
        assert "interrupted" in errors
        assert "Traceback" not in errors
        paid = slow.n_completions
        slow.delay_s = 0.0
        done = run_process(tmp_path, "build", str(recipe))
        assert done.returncode == 0, done.stderr
        ledger = json.loads(run("ledger", "runs/sums", "--json").stdout)
        total = ledger["samples"]["total"] + ledger["continuations"]["total"]
        assert slow.n_completions <= total + 2 * 4, "at most what was in flight is paid twice"
        assert paid >= 8
