"""The dataset card: metadata that loaders accept, text that cannot break out of its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hub.sample_run import MANIFEST, RECIPE, make_text_rows, write_run, write_shards
from hypothesis import given
from hypothesis import strategies as st

from butwait.pipelines.card import render_card
from butwait.pipelines.card_use import name_repo
from butwait.pipelines.front_matter import choose_licence, read_front_matter
from butwait.pipelines.markdown import escape_inline, fence_text, render_table, shorten_row
from butwait.pipelines.shards import read_configs
from butwait.pipelines.stages.card import publishable_recipe
from butwait.schemas.errors import ConfigError


def card_of(run: Path, manifest: dict[str, Any] | None = None, **more: Any) -> str:
    ledger = json.loads((run / "ledger.json").read_text())
    configs = read_configs(run / "rows")
    return render_card(manifest or MANIFEST, ledger, configs, more.pop("recipe", RECIPE), **more)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "tiny")


def test_the_front_matter_names_every_configuration_with_default_first(run: Path) -> None:
    front = read_front_matter(card_of(run))
    assert front["license"] == "apache-2.0"
    assert {"reasoning", "math", "synthetic", "butwait"} <= set(front["tags"])
    assert front["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": "data/default/train-*.parquet"}],
        },
        {
            "config_name": "rl",
            "data_files": [{"split": "train", "path": "data/rl/train-*.parquet"}],
        },
    ]
    infos = {info["config_name"]: info for info in front["dataset_info"]}
    assert infos["default"]["splits"][0]["num_examples"] == 12
    assert [f["name"] for f in infos["rl"]["features"]] == ["id", "problem", "n_samples"]
    sizes = sum(p.stat().st_size for p in (run / "rows" / "default").glob("*.parquet"))
    assert infos["default"]["download_size"] == sizes


def test_the_first_configuration_is_the_default_where_none_has_that_name(tmp_path: Path) -> None:
    write_shards(tmp_path / "rows" / "stitch", make_text_rows(3), 1)
    front = read_front_matter(render_card(MANIFEST, {}, read_configs(tmp_path / "rows"), RECIPE))
    assert front["configs"][0]["default"] is True


def test_the_hub_library_reads_the_same_front_matter(run: Path) -> None:
    from huggingface_hub import DatasetCard

    card = card_of(run)
    data = DatasetCard(card, ignore_metadata_errors=False).data.to_dict()
    assert data["configs"] == read_front_matter(card)["configs"]
    assert data["dataset_info"] == read_front_matter(card)["dataset_info"]


def test_a_hostile_name_cannot_add_metadata_or_markup(run: Path) -> None:
    name = "x\n---\nlicense: mit\n<script>|`"
    card = card_of(run, {**MANIFEST, "name": name})
    front = read_front_matter(card)
    assert front["license"] == "apache-2.0"
    assert front["pretty_name"] == "x --- license: mit <script>|`"
    assert "<script>" not in card.split("\n---\n", 1)[1].split("```")[0]


def test_model_text_stays_inside_its_code_block(run: Path) -> None:
    body = card_of(run).split("\n---\n", 1)[1]
    outside, fence = [], ""
    for line in body.splitlines():
        mark = re.match(r"(`{3,})", line)
        if fence:
            fence = "" if line == fence else fence
        elif mark:
            fence = mark[1]
        else:
            outside.append(line)
    assert fence == ""
    assert not any("script" in line for line in outside)
    assert "\u202e" not in body
    assert "\\u202e" in body


def test_the_body_tells_the_ledger_the_columns_and_the_verifier(run: Path) -> None:
    card = card_of(run)
    assert "| correct | 17 |" in card
    assert "| too\\_long | 1 |" in card and "### rows: default" in card
    assert "| total | 20 |" in card
    assert "version v7" in card
    assert "someone/model (revision abc123)" in card
    assert "| messages | list of struct of role, content | the whole conversation |" in card
    assert "a sampled solution whose final answer was verified as correct" in card
    assert "| pyarrow |" in card
    assert MANIFEST["created"] not in card


def test_a_build_from_recordings_names_no_model(run: Path) -> None:
    assert "no model was called" in card_of(run, {**MANIFEST, "model": None})


def test_what_derives_from_r1_is_declared(run: Path) -> None:
    assert "Nothing here is declared" in card_of(run)
    limo = {"name": "limo", "licence": "apache-2.0", "revision": None, "r1_derived": True}
    card = card_of(run, {**MANIFEST, "sources": [*MANIFEST["sources"], limo]})
    assert "Derived from outputs of DeepSeek-R1: limo." in card
    assert "| limo | apache-2.0 | not pinned | yes |" in card


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["apache-2.0", "Apache-2.0"], {"license": "apache-2.0"}),
        (["mit", "apache-2.0"], {"license": "other", "license_name": "mixed-see-sources"}),
        (["mit", None], {"license": "other", "license_name": "mixed-see-sources"}),
        ([], {"license": "unknown"}),
        (["Own Terms 2"], {"license": "other", "license_name": "own-terms-2"}),
        (["???"], {"license": "other", "license_name": "unlisted"}),
    ],
)
def test_licences_of_the_sources_decide_the_datasets(
    licences: list[str | None], expected: dict[str, str]
) -> None:
    assert choose_licence(licences) == expected


def test_the_repository_is_named_in_every_snippet(run: Path) -> None:
    card = card_of(run)
    assert card.count("OWNER/NAME") == 5
    assert name_repo(card, "alice/tiny") == card_of(run, repo_id="alice/tiny")


def test_long_values_are_cut_for_display_and_said_to_be(run: Path) -> None:
    rows = make_text_rows(3)
    rows[0]["messages"][1]["content"] = "y" * 5000
    write_shards(run / "rows" / "default", rows, 1)
    card = card_of(run)
    assert "… [5000 characters in all]" in card
    assert "Long values are cut here" in card
    assert "y" * 1000 not in card


def test_a_configuration_without_rows_is_told_but_not_published(tmp_path: Path) -> None:
    card = card_of(write_run(tmp_path / "tiny", n_question_rows=0))
    assert "No row was made for this configuration" in card
    front = read_front_matter(card)
    assert [config["config_name"] for config in front["configs"]] == ["default"]
    assert [info["config_name"] for info in front["dataset_info"]] == ["default"]
    assert 'load_dataset("OWNER/NAME", "rl"' not in card


@given(st.text())
def test_a_fence_is_never_closed_by_its_text(text: str) -> None:
    block = fence_text(text, "json").split("\n")
    assert block[-1].strip("`") == ""
    assert all(len(r) < len(block[-1]) for r in re.findall(r"`+", "\n".join(block[1:-1])))


@given(st.text())
def test_a_cell_stays_one_cell(text: str) -> None:
    row = render_table(["a", "b"], [(text, "end")]).split("\n")
    assert len(row) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row[2])) == 3
    assert "<" not in escape_inline(text)


@given(st.dictionaries(st.text(), st.lists(st.text(max_size=30)), max_size=4))
def test_a_row_that_is_not_cut_is_shown_whole(row: dict[str, list[str]]) -> None:
    text, is_cut = shorten_row(row, 20)
    if not is_cut:
        assert json.loads(text) == row


def write_an_empty_group(folder: Path) -> None:
    path = folder / "train-00000-of-00002.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "train-00001-of-00002.parquet").unlink(), "1 of 2 shards of train"),
        (lambda f: (f / "stray.parquet").write_bytes(b""), "a file 'stray.parquet'"),
        (lambda f: (f / "train-00000-of-00002.parquet").write_bytes(b"no"), "cannot be read"),
        (lambda f: [p.unlink() for p in f.iterdir()], "no shard"),
        (write_an_empty_group, "has a row group without rows"),
    ],
)
def test_shards_that_are_not_whole_are_refused(run: Path, spoil: Any, message: str) -> None:
    spoil(run / "rows" / "default")
    with pytest.raises(ConfigError, match=message):
        read_configs(run / "rows")


def test_the_recipe_in_the_card_is_the_recipe(run: Path) -> None:
    recipe = "name: t\nrows: {default: {transform: verified, note: '```'}}\n"
    blocks = re.findall(r"^(`{3,})yaml\n(.*?)\n\1$", card_of(run, recipe=recipe), re.S | re.M)
    assert yaml.safe_load(blocks[-1][1]) == yaml.safe_load(recipe)


def test_no_server_address_environment_or_machine_path_gets_into_the_card() -> None:
    server = {"url": "http://10.1.2.3:8000", "env": {"HF_TOKEN": "hf_secret"}, "args": ["--key=x"]}
    recipe = {
        "name": "t",
        "sources": [
            {"path": "/srv/private/q.jsonl"},
            {"hub": "hf://datasets/a/b@main/x.jsonl", "revision": None},
            {"hub": "a/c", "revision": None},
        ],
        "server": server,
        "prm": {
            "server": server,
            "weak_server": server,
            "model": {"id": "/srv/private/checkpoints/prm"},
            "weak": {"id": "a/weak"},
        },
    }
    revisions = ("sha256:1", "f" * 40, "e" * 40)
    manifest = {"sources": [{"revision": revision} for revision in revisions]}
    text = publishable_recipe(yaml.safe_dump(recipe), manifest)
    assert not any(word in text for word in ("10.1.2.3", "hf_secret", "--key", "/srv"))
    told = yaml.safe_load(text)
    assert [s.get("path") or s["hub"] for s in told["sources"]] == [
        "q.jsonl",
        f"hf://datasets/a/b@{'f' * 40}/x.jsonl",
        "a/c",
    ]
    assert [s.get("revision") for s in told["sources"]] == [None, None, "e" * 40]
    assert told["prm"] == {"model": {"id": "checkpoints/prm"}, "weak": {"id": "a/weak"}}
