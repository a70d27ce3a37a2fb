"""What a reader of a dataset finds at each commit, and a process that keeps reading."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from hub.fixture import client_environment
from hub.server import HubServer
from hub.state import ALICE_WRITE, Commit

from butwait.pipelines.front_matter import read_front_matter

Shown = frozenset[tuple[str, str]]

POLL = """
    import json, pathlib, shutil, sys, tempfile
    from datasets import load_dataset
    stop = pathlib.Path(sys.argv[2])
    while True:
        last = stop.exists()
        with tempfile.TemporaryDirectory() as cache:
            try:
                rows = load_dataset(sys.argv[1], "default", split="train", cache_dir=cache)
                seen = sorted(set(rows["answer"]))
            except Exception as error:
                seen = type(error).__name__
        print(json.dumps(seen), flush=True)
        if last:
            break
"""


def show(hub: HubServer, commit: Commit) -> Shown:
    """Return (file name, sha256) of all shards that a commit's card names."""
    entry = commit.tree.get("README.md")
    if entry is None:
        return frozenset()
    front = read_front_matter(hub.state.blob_path(entry.sha256).read_text("utf-8"))
    patterns = [f["path"] for c in front.get("configs") or () for f in c["data_files"]]
    return frozenset(
        (f"{path.split('/')[1]}/{path.rpartition('/')[2]}", found.sha256)
        for path, found in commit.tree.items()
        for pattern in patterns
        if fnmatch.fnmatch(path, pattern) and path.count("/") == pattern.count("/")
    )


def history(hub: HubServer, repo_id: str) -> list[Shown]:
    """Return what each commit showed, oldest first, the Hub's own first commit left out."""
    commits = list(hub.repo(repo_id).history("main"))
    return [show(hub, commit) for commit in reversed(commits)][1:]


@contextlib.contextmanager
def polling(hub: HubServer, repo_id: str, folder: Path) -> Iterator[list[object]]:
    """Load a dataset over and over with the real client; the list is filled when the block ends.

    The last look is after the end of the block.
    """
    folder.mkdir()
    found: list[object] = []
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(POLL), repo_id, str(folder / "stop")],
        env=client_environment(hub, folder / "home", ALICE_WRITE, xet=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield found
        (folder / "stop").touch()
        out, _ = process.communicate(timeout=600)
        found += [json.loads(line) for line in out.splitlines() if line.startswith(("[", '"'))]
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
