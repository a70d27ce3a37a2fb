"""The tutorial as a program: its files are written, its commands run, its outputs compared.

``python -m tests.tutorial_page`` runs docs/tutorial.md with the Hub of the tests and writes what
the commands printed into the page.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub.server import HubServer, run_server
from hub.state import ALICE_WRITE

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
LINKED = ("pipelines", "trainer", "recipes")
HEAD, TAIL = 6, 14
"""Lines of a long output that the page shows."""
_BLOCK = re.compile(r"```(yaml|sh|text|python)(?: title=\"([^\"]+)\")?\n(.*?)```", re.DOTALL)
_NUMBER = re.compile(r"\d[\d.,:e+-]*|[█▇▆▅▄▃▂▁]+")


@dataclass(frozen=True)
class Step:
    """A command of the page and what it says that it prints."""

    command: str
    printed: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """Files that the page shows before it: name and text."""
    place: int
    """Where the block of the output begins in the page; -1: there is none."""


def read_steps(text: str) -> list[Step]:
    """Read the commands of a page in order."""
    steps: list[Step] = []
    files: list[tuple[str, str]] = []
    for match in _BLOCK.finditer(text):
        kind, title, body = match.groups()
        if kind in ("yaml", "python") and title:
            files.append((title, body))
        elif kind == "sh":
            for line in body.strip().splitlines():
                command = line.partition("#")[0].strip()
                if command:
                    steps.append(Step(command, (), tuple(files), -1))
                    files = []
        elif kind == "text" and steps:
            last = steps[-1]
            printed = tuple(body.strip("\n").splitlines())
            steps[-1] = Step(last.command, printed, last.files, match.start(3))
    return steps


def make_folder(folder: Path) -> Path:
    """Make a folder that looks like a checkout to the commands."""
    folder.mkdir(exist_ok=True)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    return folder


def make_environment(folder: Path, hub: HubServer) -> dict[str, str]:
    """Return the environment of somebody who is logged in at the Hub of the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "BUTWAIT_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        "HF_HOME": str(folder / "hf"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": ALICE_WRITE,
        "HF_HUB_DISABLE_XET": "1",
        "BUTWAIT_CACHE": str(folder / "cache.sqlite"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
    }


def run_step(step: Step, folder: Path, environment: dict[str, str]) -> list[str]:
    """Run a command and return the lines that it printed, both streams in the order they came.

    Raises:
        AssertionError: It failed.
    """
    for name, text in step.files:
        (folder / name).write_text(text, encoding="utf-8")
    command = step.command.replace("me/", "alice/")
    log = folder / "printed.txt"
    with log.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=out,
            # Started in the background, a process would ignore Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        if command.startswith("butwait view"):
            _wait_for(log, "http://", child)
            child.send_signal(signal.SIGINT)
        code = child.wait(timeout=900)
    lines = log.read_text(encoding="utf-8").replace("alice", "me").splitlines()
    is_over = code == 0 or (command.startswith("butwait view") and code == 130)
    assert is_over, f"{command} ended with {code}:\n" + "\n".join(lines[-30:])
    return [line.rstrip() for line in lines]


def _wait_for(log: Path, text: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while text not in log.read_text(encoding="utf-8"):
        assert child.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, f"{text!r} was never printed"
        time.sleep(0.2)


def find_strangers(step: Step, lines: list[str]) -> Iterator[str]:
    """Yield lines of the page that the command did not print, whatever the numbers were.

    Samples differ from engine to engine: what a model wrote is not compared.
    """
    there = {mask(line) for line in lines}
    for line in step.printed:
        is_sample = line.startswith(("│", "╭", "╰", "  [sample-"))
        if line.strip() != "..." and not is_sample and mask(line) not in there:
            yield line


def mask(line: str) -> str:
    """A line without its numbers, findings, names of questions and widths of columns."""
    line = re.sub(r"\bq[0-9a-f]{16,}", "q#", line)
    line = re.sub(r"\b(?:[0-9a-f]{40}|[0-9a-f]{12})\b", "#", line)
    line = re.sub(r"(127\.0\.0\.1:\d+/)[\w-]{20,}/", r"\1#/", line)
    line = re.sub(r"https?://(?:huggingface\.co|127\.0\.0\.1:\d+)", "HUB", line)
    line = re.sub(r"[━─]+", "-", line).replace("-dirty", "")
    line = re.sub(r"\(log: \S+\)", "(log)", line)
    line = re.sub(r"\b(?:better|worse|no difference shown)\b", "finding", line)
    return " ".join(_NUMBER.sub("#", line).split())


def shorten(lines: list[str]) -> list[str]:
    """What the page shows of an output; waiting and drawing again are left out."""
    kept = [line for line in lines if not line.startswith("still starting")]
    if len(kept) > HEAD + TAIL + 1:
        kept = [*kept[:HEAD], "...", *kept[-TAIL:]]
    return kept


def main() -> None:
    """Run the page and write what was printed into it."""
    text = PAGE.read_text(encoding="utf-8")
    steps = read_steps(text)
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name) / "work")
        store = Path(name) / "hub"
        store.mkdir()
        with run_server(store) as hub:
            environment = make_environment(folder, hub)
            printed = [run_step(step, folder, environment) for step in steps]
        shown = [
            [line.replace(f"{name}/work", "~") for line in shorten(lines)] for lines in printed
        ]
        endpoint = hub.endpoint
    for step, lines in reversed(list(zip(steps, shown, strict=True))):
        if step.place >= 0:
            end = text.index("```", step.place)
            body = "\n".join(lines).replace(endpoint, "https://huggingface.co")
            text = f"{text[: step.place]}{body}\n{text[end:]}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
