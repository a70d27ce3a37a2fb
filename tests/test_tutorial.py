"""Every command of the tutorial runs and prints what the page says; the README has no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hub.server import HubServer

from tests.tutorial_page import (
    PAGE,
    find_strangers,
    make_environment,
    make_folder,
    mask,
    read_steps,
    run_step,
)


@pytest.mark.vllm
@pytest.mark.timeout(1500)
def test_the_tutorial_does_what_it_says(tmp_path: Path, hub: HubServer) -> None:
    steps = read_steps(PAGE.read_text())
    folder = make_folder(tmp_path / "work")
    environment = make_environment(folder, hub)
    strange = {}
    for step in steps:
        lines = run_step(step, folder, environment)
        found = list(find_strangers(step, [line.replace(str(folder), "~") for line in lines]))
        # A bin of the ledger that is empty on one machine and not on another is no mistake.
        if len(found) > 2:
            strange[step.command] = found
    assert strange == {}
    assert hub.n_commits("alice/tutorial") == 1


def test_every_command_of_the_readme_is_one_of_the_tutorials(root: Path) -> None:
    readme = (root / "README.md").read_text()
    known = {step.command for step in read_steps(PAGE.read_text())}
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    said = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    commands = [line for line in said if line and not line.startswith((". ", "make "))]
    assert len(commands) >= 8
    assert [command for command in commands if command not in known] == []


def test_numbers_and_names_may_differ_and_words_may_not() -> None:
    shown = "q0123456789abcdef01234567  12 of 100 · 3.4 s ▁▂▇"
    assert mask(shown) == mask("qfedcba9876543210ffffffff   7 of 99 · 12 s  ▇")
    assert mask(shown) != mask("qfedcba9876543210ffffffff   7 from 99 · 12 s  ▇")
