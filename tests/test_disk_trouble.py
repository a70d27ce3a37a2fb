"""A full disk, a folder that cannot be written: a clear stop, nothing half, and on it goes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from butwait.pipelines.tables import count_rows, write_text
from butwait.schemas.errors import ConfigError
from tests.build_world import add, build, dataset_bytes, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from butwait.pipelines.cli import main
main()
"""
"""Runs the command where no file may grow beyond a size, which fails like a full disk."""


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(add).running() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_questions(tmp_path / "sums.jsonl", 40)
    return tmp_path


def run(folder: Path, *arguments: str, limit: int, **env: str) -> tuple[int, list[str]]:
    """Run the command with a limit on the size of files; return code and error lines."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *arguments],
        cwd=folder, env=os.environ | env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, lines


def whole(folder: Path) -> None:
    """Check that every file with its final name can be read to the end."""
    for path in folder.rglob("*.parquet"):
        assert path.name.startswith(".") or count_rows(path) >= 0
    assert list(folder.rglob(".*.tmp")) == []


def test_a_disk_that_is_full_stops_the_build_in_one_line_and_the_same_command_goes_on(
    world: Path, server: FakeOpenAI
) -> None:
    more = [
        {"problem": f"{os.urandom(2_000).hex()} What is {i} plus 2?", "answer": str(i + 2)}
        for i in range(60)
    ]
    write_questions(world / "sums.jsonl", 20, more)
    document = recipe_document(server.url)
    (world / "recipe.yaml").write_text(yaml.safe_dump(document))
    cache = str(world / "cache.sqlite")
    # SQLite's own files stay below it.
    code, lines = run(world, "build", "recipe.yaml", limit=40_000, BUTWAIT_CACHE=cache)
    assert code == 2, lines
    assert len(lines) == 1 and "File too large" in lines[0], lines
    assert "run the same command again" in lines[0]
    assert server.n_requests == 0
    whole(world / "runs")
    assert dataset_bytes(build(world, document)) == dataset_bytes(
        build(world, document, out="elsewhere", cache="2.sqlite")
    )


def test_a_cache_that_is_full_stops_the_build_in_one_line(world: Path, server: FakeOpenAI) -> None:
    document = recipe_document(server.url)
    (world / "recipe.yaml").write_text(yaml.safe_dump(document))
    code, lines = run(
        world, "build", "recipe.yaml", limit=60_000, BUTWAIT_CACHE=str(world / "cache.sqlite")
    )
    assert code == 2, lines
    assert len(lines) == 1 and "completion cache" in lines[0], lines
    whole(world / "runs")
    first = build(world, document)
    assert dataset_bytes(first) == dataset_bytes(build(world, document, out="two", cache="2.db"))


def test_a_write_that_fails_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ConfigError, match=r"a\.txt cannot be written: .*File too large"):
            write_text(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["runs", "cache"])
def test_a_place_that_is_a_file_or_cannot_be_written_is_named_before_any_request(
    world: Path, server: FakeOpenAI, place: str
) -> None:
    (world / "occupied").write_text("a file")
    places = {"runs": {"out": "occupied"}, "cache": {"cache": "occupied/cache.sqlite"}}
    with pytest.raises(ConfigError, match=r"occupied.* cannot be"):
        build(world, recipe_document(server.url), **places[place])  # type: ignore[arg-type]
    assert server.n_requests == 0


def test_a_read_only_run_folder_is_named(world: Path, server: FakeOpenAI) -> None:
    (world / "recipe.yaml").write_text(yaml.safe_dump(recipe_document(server.url)))
    folder = world / "runs" / "sums"
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    command = [sys.executable, "-c", "from butwait.pipelines.cli import main; main()"]
    if os.getuid() == 0:  # root may write everywhere, unless it gives that right away
        if shutil.which("setpriv") is None:
            pytest.skip("root cannot give up its rights here (setpriv of util-linux is missing)")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--", *command]
    try:
        done = subprocess.run(
            [*command, "build", "recipe.yaml"],
            cwd=world, env=os.environ | {"BUTWAIT_CACHE": str(world / "cache.sqlite")},
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
    finally:
        folder.chmod(0o700)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert len(lines) == 1 and "sums" in lines[0] and "cannot be written" in lines[0], lines
    assert server.n_requests == 0
