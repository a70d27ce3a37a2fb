"""The snippets of a published card, run as they stand against the test Hub."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from grpo_world import make_rows as make_grpo_rows
from hub.fixture import ClientRunner, Push
from hub.sample_run import write_run
from hub.server import HubServer
from train_sums import pair_rows, step_rows
from train_world import POLICY, make_row

from butwait.pipelines import publish

REPO = "alice/tiny"

RUN = """
    import sys, warnings
    from pathlib import Path
    warnings.simplefilter("ignore")
    load, train, recipe, policy = [Path(name).read_text() for name in sys.argv[1:5]]
    space = {}
    exec(load, space)
    print("LOADED", len(space["rows"]), len(space["rl"]))
    train = train.replace('"someone/model"', repr(policy))
    train = train.replace('max_length=4096', 'max_length=256, max_steps=1, use_cpu=True, '
                          'bf16=False, report_to="none", per_device_train_batch_size=2')
    exec(train.replace("SFTTrainer(model", "trainer = SFTTrainer(model").replace(
        ").train()", ")\\ntrainer.train()"), space)
    print("STEPS", space["trainer"].state.global_step)
"""


def blocks(card: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    found = re.findall(rf"^(`{{3,}}){language}\n(.*?)\n\1$", card, re.DOTALL | re.MULTILINE)
    return [text for _, text in found]


@pytest.fixture
def card(hub: HubServer, push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The card of a published dataset with rows as a build makes them."""
    monkeypatch.setattr(publish, "_verify", lambda *_: None)
    rows = [{**make_row(i), "pass_rate": i / 11, "answer": str(i + 1)} for i in range(12)]
    more = {"grpo": make_grpo_rows(), "pairs": pair_rows(), "steps": step_rows()}
    push(write_run(tmp_path / "tiny", rows, more=more))
    return hub.files(REPO)["README.md"].decode()


@pytest.mark.slow
def test_the_load_and_train_snippets_of_a_card_run(
    hub: HubServer, card: str, tmp_path: Path, run_client: ClientRunner
) -> None:
    load, train = blocks(card, "python")
    names = []
    for name, text in (("load", load), ("train", train), ("policy", str(POLICY))):
        (tmp_path / name).write_text(text)
        names.append(str(tmp_path / name))
    code = RUN.replace("sys.argv[1:5]", repr([names[0], names[1], names[0], names[2]]))
    out = run_client(f"import os; os.chdir({str(tmp_path)!r})\n" + dedent(code)).stdout
    assert "LOADED 12 4" in out and "STEPS 1" in out


SMALL: dict[str, tuple[str, ...]] = {
    "sft": ("max_steps=1", "max_length=256"),
    "dpo": ("max_length=256",),
    "prm": ("max_length=256", "held_out=0.0"),
    "grpo": ("max_steps=1", "group_size=2", "max_completion_length=16"),
}
"""What makes a recipe of a card small enough for a test; a user's differ in this as well."""


@pytest.mark.slow
def test_every_recipe_of_a_card_trains_with_butwait(
    hub: HubServer, card: str, tmp_path: Path, run_client: ClientRunner
) -> None:
    commands = []
    for kind, small in SMALL.items():
        recipe = next(text for text in blocks(card, "yaml") if f"name: my-{kind}\n" in text)
        assert f"`{kind}.yaml`, then `butwait train {kind} {kind}.yaml`" in card
        (tmp_path / f"{kind}.yaml").write_text(recipe)
        arguments = ["train", kind, f"{kind}.yaml"]
        for change in (f"model.id={POLICY}", "batch_size=2", "micro_batch_size=2", *small):
            arguments += ["--set", change]
        commands.append(arguments)
    run_client(f"""
        import os
        os.chdir({str(tmp_path)!r})
        from butwait.pipelines.cli import run_command
        for arguments in {commands!r}:
            assert run_command(arguments) == 0, arguments
    """)
    for kind in SMALL:
        model_card = (tmp_path / "runs" / f"my-{kind}" / "final" / "README.md").read_text()
        assert f"datasets:\n- {REPO}" in model_card
        assert hub.repo(REPO).find("main").oid in model_card


def test_the_card_tells_figures_limits_and_how_to_cite(card: str) -> None:
    assert "| default | 0.500 | 1 | 5 | 5 | 1 | 0 |" in card
    assert re.search(r"\| default \| completion \| 3\d \| 3\d \| 3\d \|", card)
    assert "Known limits" in card and "It is small (" in card
    assert "were not compared with any benchmark's" in card
    assert f"howpublished = {{Hugging Face Hub, /datasets/{REPO}}}" in card
    assert "OWNER/NAME" not in card


def test_a_hostile_model_name_stays_out_of_the_code(tmp_path: Path) -> None:
    from hub.sample_run import MANIFEST

    from butwait.pipelines.card import render_card
    from butwait.pipelines.shards import read_configs

    manifest: dict[str, Any] = {
        **MANIFEST,
        "name": 'x"}\n@misc{evil,',
        "model": {"id": 'a/b"; import os  #', "revision": "`x`"},
    }
    run = write_run(tmp_path / "tiny")
    text = render_card(manifest, {}, read_configs(run / "rows"), "sampling: {n: '`|<b>'}\n")
    code = "".join(blocks(text, "python") + blocks(text, "bibtex"))
    assert "import os" not in code and "@misc{evil" not in code
    assert r"Settings: n \`\|&lt;b&gt;." in text
