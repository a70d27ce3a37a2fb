"""Keys, tokens and passwords are nowhere but where they are used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hub.fixture import client_environment
from hub.server import HubServer
from hub.state import ALICE_WRITE

from tests.build_world import add, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI
from tests.postgres_server import PASSWORD, PostgresServer, running_server

API_KEY = "sk-planted-0123456789abcdef"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with running_server() as running:
        yield running


class Watch:
    """Reads the arguments of this process's descendants over and over."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for pid in descendants(os.getpid()):
                try:
                    text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                except OSError:
                    continue
                self.seen.add(text.decode(errors="replace"))


def descendants(pid: int) -> list[int]:
    """List the processes below one."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(c) for t in tasks for c in (t / "children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in descendants(child)]


def run(folder: Path, env: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command in a process of its own; return its exit code and all it printed."""
    code = "from butwait.pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, env=env, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def files_with(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Name every file below a folder that holds a secret."""
    return [
        f"{name} in {path.relative_to(folder)}"
        for path in folder.rglob("*")
        if path.is_file()
        for name, secret in secrets.items()
        if secret.encode() in path.read_bytes()
    ]


@pytest.fixture
def world(tmp_path: Path, hub: HubServer) -> tuple[Path, dict[str, str]]:
    folder = tmp_path / "work"
    folder.mkdir()
    write_questions(folder / "sums.jsonl", 12)
    env = client_environment(hub, tmp_path / "home", ALICE_WRITE, xet=False)
    cache = str(tmp_path / "work" / "cache.sqlite")
    return folder, env | {
        "BUTWAIT_API_KEY": API_KEY, "BUTWAIT_CACHE": cache, "TMPDIR": str(folder),
    }  # fmt: skip


def without_hub(env: dict[str, str]) -> dict[str, str]:
    """The same where no Hub can be asked whether the model exists."""
    return env | {"HF_HUB_OFFLINE": "1"}


def write_recipe(folder: Path, url: str) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_document(url, rows={"default": {"transform": "rl"}})))
    return path.name


def test_no_secret_is_written_printed_published_or_shown_among_processes(
    world: tuple[Path, dict[str, str]], hub: HubServer, database: PostgresServer
) -> None:
    folder, env = world
    secrets = {"API key": API_KEY, "Hub token": ALICE_WRITE, "password": PASSWORD}
    place = database.make_database()
    env["BUTWAIT_CACHE"] = place
    with FakeOpenAI(add, api_key=API_KEY).running() as server, Watch() as watch:
        recipe = write_recipe(folder, server.url)
        code, said = run(folder, without_hub(env), "build", recipe)
        assert code == 0, said
        for arguments in (["cache", "stats"], ["ledger", "runs/sums"]):
            code, more = run(folder, env, *arguments)
            assert code == 0, more
            said += more
        code, more = run(folder, env, "push", "runs/sums", "alice/sums")
        assert code == 0, more
        said += more
    assert watch.seen
    assert [n for n, s in secrets.items() if s in said] == []
    assert [n for n, s in secrets.items() for shown in watch.seen if s in shown] == []
    assert files_with(folder, secrets) == []
    published = hub.files("alice/sums")
    assert published
    assert [n for n, s in secrets.items() for f in published.values() if s.encode() in f] == []
    import psycopg

    with psycopg.connect(place) as connection:
        rows = connection.execute(
            "SELECT key || value FROM completions UNION ALL SELECT text FROM settings"
        ).fetchall()
    assert rows
    assert [n for n, s in secrets.items() for (row,) in rows if s in row] == []


def test_no_secret_is_in_what_is_said_when_something_fails(
    world: tuple[Path, dict[str, str]], hub: HubServer
) -> None:
    folder, env = world
    wrong = {"API key": "sk-wrong-fedcba9876543210", "Hub token": "hf_wrong_token_9876543210"}
    closed = "postgresql://me:pass-w0rd-9876@127.0.0.1:1/db"
    secrets = {**wrong, "password": "pass-w0rd-9876"}
    env |= {"BUTWAIT_API_KEY": wrong["API key"], "HF_TOKEN": wrong["Hub token"]}
    with FakeOpenAI(add, api_key=API_KEY).running() as server:
        recipe = write_recipe(folder, server.url)
        code, said = run(folder, without_hub(env), "build", recipe, "--debug")
        assert code == 1 and "refuses the API key" in said, said
        env["BUTWAIT_API_KEY"] = API_KEY
        server.choose_fault = lambda payload: "401"
        code, more = run(folder, without_hub(env), "build", recipe, "--debug")
        assert code == 1, more
        said += more
        server.choose_fault = lambda payload: None
        code, more = run(
            folder, without_hub(env | {"BUTWAIT_CACHE": closed}), "build", recipe, "--debug"
        )
        assert code == 2 and "me:***@" in more, more
        said += more
        assert run(folder, without_hub(env), "build", recipe, "--debug")[0] == 0
        code, more = run(folder, env, "push", "runs/sums", "alice/sums", "--debug")
        assert code == 1, more
        said += more
    secrets["right API key"] = API_KEY
    assert [n for n, s in secrets.items() if s in said] == []
    assert files_with(folder, secrets) == []


def test_no_code_of_a_repository_is_ever_trusted(root: Path) -> None:
    found = []
    for folder in ("schemas", "transforms", "pipelines", "trainer", "evals", "benchmarks"):
        for path in (root / folder).rglob("*.py"):
            for match in re.finditer(r"trust.remote.code\W+(\w+)", path.read_text()):
                found.append((path.relative_to(root).as_posix(), match[1]))
    assert [f for f in found if f[1] not in ("False", "in")] == []


@pytest.mark.parametrize(
    "flag", ["--trust-remote-code", "--trust_remote_code", "--trust-remote-code=true"]
)
def test_an_engine_is_not_told_to_trust_code_either(flag: str) -> None:
    from butwait.pipelines.recipe_file import check_recipe
    from butwait.schemas.errors import ConfigError

    document = recipe_document("http://127.0.0.1:1")
    document["server"] = {"mode": "managed", "args": [flag]}
    with pytest.raises(ConfigError, match="trust"):
        check_recipe(document, "test")


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?<![\w.])eval\(", r"(?<![\w.])exec\(", r"\bpickle\.loads?\(", r"\bmarshal\b",
        r"shell=True", r"os\.system", r"torch\.load\(", r"yaml\.(?:unsafe_|full_)?load\((?!.*_Uni)",
        r"allow_pickle=True", r"\bsympify\(",
    ],
)  # fmt: skip
def test_nothing_runs_what_it_reads(root: Path, pattern: str) -> None:
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for folder in ("schemas", "transforms", "pipelines", "trainer", "evals")
        for path in (root / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(pattern, line) and not line.lstrip().startswith(("#", '"', "``"))
    ]
    assert found == []
