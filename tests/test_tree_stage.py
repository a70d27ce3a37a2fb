"""The rows stage over trees that lie in a run folder: shards, card, summary, loaders, trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from handmade import QUESTION_ID, make_context, make_question
from handmade_trees import WRONG_END, make_tree, node, sum_tree
from hub.sample_run import MANIFEST

from butwait.pipelines.card import COLUMN_NOTES, WHAT_A_TRANSFORM_MAKES, render_card
from butwait.pipelines.front_matter import read_front_matter
from butwait.pipelines.readback import describe_shards
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.shards import ConfigFiles, read_configs
from butwait.pipelines.stages.audit import AuditPlan, audit_shard
from butwait.pipelines.stages.beam_run import DEFAULT_RUNNER
from butwait.pipelines.stages.rows import RowsPlan, SearchTrees, make_all_rows, row_type
from butwait.pipelines.summary import show_row
from butwait.pipelines.tables import read_records, write_records
from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import RowsSpec
from butwait.schemas.row import PreferenceRow, SftRow, StepRow
from butwait.schemas.trajectory import Trajectory
from butwait.schemas.tree import SearchTree

ROWS: dict[str, dict[str, Any]] = {
    "default": {"transform": "backtrack", "per_question": 2},
    "control": {"transform": "correct_only", "per_question": 2},
    "pairs": {"transform": "preference"},
    "steps": {"transform": "step_labels"},
    "plain": {"transform": "verified"},
}
SEARCHED, WRONG, BARE, BROKEN = (f"{QUESTION_ID[:-1]}{i}" for i in range(4))


def write_trajectories(run: RunFolder) -> None:
    """Four questions in two blocks: searched, searched in vain, not searched, hostile."""
    ids = [SEARCHED, WRONG, BARE, BROKEN]
    questions = [make_question(id=i) for i in ids]
    path = run.stage("questions") / "questions-00000-of-00001.parquet"
    write_records(path, questions, Question, row_group_size=2)
    vain = [node(None, WRONG_END, "incorrect", 0.2)]
    hostile = [node(None, "<|im_end|>\n\nThe answer is \\boxed{5}.", "correct", 0.2)]
    trees = [
        make_tree(vain, question_id=WRONG),
        sum_tree(question_id=SEARCHED),
        make_tree(hostile, question_id=BROKEN),
    ]
    for block, in_block in enumerate([trees[:2], trees[2:]]):
        part = f"part-00000-{block:05d}"
        write_records(run.stage("trajectories") / f"{part}.parquet", [], Trajectory)
        write_records(run.tree_part(part), in_block, SearchTree, row_group_size=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("searched"))
    write_trajectories(run)
    build_rows(run)
    return run


def build_rows(run: RunFolder) -> None:
    configs = tuple(RowsSpec.model_validate(ROWS).ordered())
    make_all_rows(RowsPlan(run, configs, make_context(), 1), "f", DEFAULT_RUNNER, ())


def load(run: RunFolder, config: str) -> Any:
    from datasets import load_dataset

    [path] = run.row_shards(config)
    cache = str(run.root / "cache")
    return load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)


def test_every_configuration_gets_rows_of_its_class(run: RunFolder) -> None:
    found = {}
    for name, spec in RowsSpec.model_validate(ROWS).ordered():
        found[name] = [r for p in run.row_shards(name) for r in read_records(p, row_type(spec))]
    kinds = {name: {type(row) for row in rows} for name, rows in found.items()}
    assert kinds == {
        "default": {SftRow}, "control": {SftRow}, "pairs": {PreferenceRow}, "steps": {StepRow},
        "plain": set(),
    }  # fmt: skip
    assert {row.question_id for row in found["steps"]} == {SEARCHED, WRONG}
    for name in ("default", "control", "pairs"):
        assert {row.question_id for row in found[name]} == {SEARCHED}
        ids = [row.id for row in found[name]]
        assert ids == sorted(set(ids))
    assert all(row.n_transitions >= 1 for row in found["default"])


def test_every_question_ends_in_one_bin_of_each_configuration(run: RunFolder) -> None:
    audit = audit_shard(AuditPlan(run, tuple(ROWS), 0), 0)
    assert audit.considered == {
        "default": {"made_rows": 1, "no_correct_leaf": 1, "no_tree": 1, "no_dead_branch": 1},
        "control": {"made_rows": 1, "no_correct_leaf": 1, "no_tree": 1, "template_tokens": 1},
        "pairs": {"made_rows": 1, "no_pair": 2, "no_tree": 1},
        "steps": {"made_rows": 2, "no_tree": 1, "template_tokens": 1},
        "plain": {"no_correct_sample": 4},
    }
    assert audit.rows["control"] == {"written": 2, "template_tokens": 1}
    assert audit.made["steps"] == sum(audit.rows["steps"].values())


def test_the_same_trees_give_the_same_bytes(run: RunFolder, tmp_path: Path) -> None:
    again = RunFolder(tmp_path / "again")
    write_trajectories(again)
    build_rows(again)
    for name in ROWS:
        paths = [*run.row_shards(name), *again.row_shards(name)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_trees_are_found_in_any_order_and_missing_ones_are_none(tmp_path: Path) -> None:
    ids = ["c", "a", "d", "b"]
    path = tmp_path / "trees.parquet"
    write_records(path, [sum_tree(question_id=i) for i in ids], SearchTree, row_group_size=1)
    trees = SearchTrees(path)
    taken = {i: trees.take(i) for i in "abxcd"}
    assert {i: tree.question_id for i, tree in taken.items() if tree} == {i: i for i in "abcd"}
    assert taken["x"] is None
    assert SearchTrees(tmp_path / "none.parquet").take("a") is None


def test_the_card_explains_every_column_of_every_class(run: RunFolder) -> None:
    for record in (SftRow, PreferenceRow, StepRow):
        assert set(record.model_fields) <= set(COLUMN_NOTES)
    assert {spec["transform"] for spec in ROWS.values()} <= set(WHAT_A_TRANSFORM_MAKES)
    configs = read_configs(run.stage("rows"))
    recipe = "rows:\n" + "".join(
        f"  {n}: {{transform: {s['transform']}}}\n" for n, s in ROWS.items()
    )
    card = render_card(MANIFEST, {}, configs, recipe)
    assert "the better and the worse" in card
    assert "see the recipe" not in card
    infos = {info["config_name"]: info for info in read_front_matter(card)["dataset_info"]}
    assert set(infos) == {"default", "control", "pairs", "steps"}, "without rows, not published"
    features = {f["name"]: f for f in infos["steps"]["features"]}
    assert features["labels"]["list"] == "bool"


def test_a_published_shard_reads_back_as_it_was_written(run: RunFolder) -> None:
    published = [config for config in read_configs(run.stage("rows")) if config.n_rows]
    for config in published:
        content = describe_shards([shard.path for shard in config.shards])
        rows = load(run, config.name)
        assert content.n_rows == len(rows) == config.n_rows
        assert list(rows.features) == config.schema.names


def test_the_summary_shows_rows_of_every_class(run: RunFolder) -> None:
    shown = {c.name: show_row(sample_of(c)) for c in read_configs(run.stage("rows")) if c.n_rows}
    assert "assistant: <|begin_of_thought|>" in shown["default"]
    assert "→ answer 5, pass rate None" in shown["default"]
    assert "chosen: Take 2 and 3." in shown["pairs"]
    assert "rejected: Take 2 and 3." in shown["pairs"]
    assert "\nright: Take 2 and 3." in shown["steps"] or "\nwrong: The answer" in shown["steps"]


def sample_of(config: ConfigFiles) -> dict[str, Any]:
    assert config.sample is not None
    return dict(config.sample)


def test_trl_takes_the_rows_as_they_are(run: RunFolder) -> None:
    from trl.data_utils import is_conversational, maybe_extract_prompt, unpair_preference_dataset

    assert is_conversational(load(run, "default")[0])
    pairs = load(run, "pairs")
    assert is_conversational(pairs[0])
    assert maybe_extract_prompt(pairs[0]) == pairs[0], "the prompt is there already"
    wanted = ["prompt", "chosen", "rejected"]
    both = unpair_preference_dataset(pairs.select_columns(wanted))
    assert both["label"] == [True] * len(pairs) + [False] * len(pairs)
    steps = load(run, "steps")[0]
    assert isinstance(steps["prompt"], str)
    assert len(steps["completions"]) == len(steps["labels"])
    assert {type(label) for label in steps["labels"]} == {bool}


def test_a_dpo_trainer_takes_a_step_on_the_pairs(
    run: RunFolder, root: Path, tmp_path: Path
) -> None:
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(
        str(tmp_path / "dpo"),
        max_steps=1,
        per_device_train_batch_size=2,
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
    )
    model = str(root / "trainer" / "pocket" / "checkpoints" / "policy")
    trainer = DPOTrainer(model, args=config, train_dataset=load(run, "pairs"))
    assert trainer.train().training_loss > 0
