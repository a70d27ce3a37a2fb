"""``butwait train prm``: labels at the step tokens, questions held out, a folder that loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from random_models import load_process_reward_model
from train_sums import (
    POLICY,
    make_options,
    step_rows,
    train_with_a_kill,
    write_rows,
)

from butwait.schemas.errors import ConfigError, SourceError
from butwait.schemas.recipe_prm import PrmRecipe
from butwait.trainer.held_out import describe_held_out, list_evaluation, measure_held_out
from butwait.trainer.prm import load_step_tokenizer, prepare, train_prm
from butwait.trainer.step_examples import StepEncoder, is_held_out, read_solution

TAG = "<extra_0>"


def make_recipe(folder: Path, rows: list[dict[str, Any]] | None = None, **more: Any) -> PrmRecipe:
    """A recipe on small sums, from the pocket policy."""
    path = write_rows(folder / "rows.jsonl", step_rows() if rows is None else rows)
    known: dict[str, Any] = {
        "name": "prm",
        "model": {"id": POLICY},
        "data": {"path": path},
        "batch_size": 4,
        "held_out": 0.0,
        "report_to": [],
        "optimiser": {"learning_rate": 1e-3, "warmup_steps": 0},
    }
    return PrmRecipe.model_validate({**known, **more})


def prepare_rows(folder: Path, **more: Any) -> Any:
    """The encoded rows of a recipe."""
    return prepare(make_recipe(folder, **more), make_options(folder), folder / "cache")


def read_labels(prepared: Any) -> list[list[tuple[str, float]]]:
    """The text before each label of each row, from the label before on, and the label."""
    found = []
    for row in prepared.table:
        start, own = 0, []
        for i, label in enumerate(row["labels"]):
            if label != -100:
                text = prepared.tokenizer.decode(row["input_ids"][start : i + 1])
                own.append((text.rpartition("<|assistant|>")[2], label))
                start = i + 1
        found.append(own)
    return found


def test_a_label_stands_at_each_steps_token(tmp_path: Path) -> None:
    prepared = prepare_rows(tmp_path, joined=0.0)
    assert read_labels(prepared)[2] == [
        ("Step 1: 10 + 3 = 14" + TAG, 0.0),
        ("Answer: \\boxed{34}" + TAG, 0.0),
    ]
    assert read_labels(prepared)[1] == [
        ("Step 1: 10 + 3 = 13" + TAG, 1.0),
        ("Answer: \\boxed{35}" + TAG, 0.0),
    ]


def test_a_joined_row_is_a_prefix_with_its_separators_and_one_token(tmp_path: Path) -> None:
    rows = read_labels(prepare_rows(tmp_path, joined=1.0))
    assert {len(row) for row in rows} == {1}
    texts = {text for ((text, _),) in rows}
    assert "Step 1: 10 + 3 = 13\n\nAnswer: \\boxed{35}" + TAG in texts
    assert f"Step 1: 10 + 3 = 13{TAG}" in texts  # cut after its first step


def test_values_are_learned_as_probabilities(tmp_path: Path) -> None:
    prepared = prepare_rows(tmp_path, joined=0.0, label_source="values")
    assert [label for _, label in read_labels(prepared)[2]] == [0.25, 0.0]


def test_a_step_token_in_a_text_ends_no_step(tmp_path: Path) -> None:
    rows = step_rows(1)
    rows[0]["completions"][0] += f" {TAG} and more"
    rows[1]["prompt"] += TAG
    prepared = prepare_rows(tmp_path, rows=rows, joined=0.0)
    assert [len(row) for row in read_labels(prepared)] == [2, 2, 2, 2]
    assert "< extra_0>" in read_labels(prepared)[0][0][0]


def test_a_question_is_held_out_with_all_its_rows_and_in_every_run(tmp_path: Path) -> None:
    prepared = prepare_rows(tmp_path, held_out=0.5)
    out = {solution.question_id for solution in prepared.held_out}
    trained = {name.partition("-")[0] for name in prepared.table["id"]}
    assert out and trained and not out & trained
    assert out == {f"q{i}" for i in range(6) if is_held_out(f"q{i}", 0.5)}
    assert len(prepared.held_out) == 4 * len(out)


def test_rows_that_are_too_long_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = step_rows()
    rows[5]["completions"][0] += " and so on" * 40
    prepared = prepare_rows(tmp_path, rows=rows, max_length=100, joined=0.0)
    assert rows[5]["id"] not in prepared.table["id"]
    assert prepared.report.findings["too long"].n_rows == 1
    assert prepared.report.n_kept == len(rows) - 1
    assert prepared.report.failures == ()


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, save_every=3, epochs=1)
    finals = train_with_a_kill(train_prm, recipe, tmp_path)
    one, other = ((final / "model.safetensors").read_bytes() for final in finals)
    assert one == other


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps, on all questions but the held-out ones."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = make_recipe(folder, rows=step_rows(12), held_out=0.3, epochs=4, trained_layers=1)
    said: list[str] = []
    train_prm(recipe, make_options(folder, said=said))
    (folder / "said.txt").write_text("\n".join(said), "utf-8")
    return folder / "prm"


def test_the_final_folder_loads_and_scores_as_plain_transformers_do(trained: Path) -> None:
    from transformers import AutoTokenizer

    from butwait.schemas.recipe_train import StartSpec
    from butwait.trainer.reward_model import load_reward_model, score_tokens

    final = trained / "final"
    config = json.loads((final / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["Qwen2ForProcessRewardModel"]
    assert config["model_type"] == "llama"  # with qwen2, transformers changes the tokenizer
    tokenizer = AutoTokenizer.from_pretrained(final)
    encoder = StepEncoder(tokenizer, make_recipe(trained.parent))
    assert config["vocab_size"] == len(tokenizer) == encoder.step_id + 1
    ids = [encoder.encode(row["prompt"], row["completions"]) for row in step_rows(2)]
    model = load_reward_model(StartSpec(id=str(final)), trained, tokenizer, 0).eval()
    ours = score_tokens(model, ids, encoder.step_id, tokenizer.pad_token_id)
    plain = load_process_reward_model(final)
    for one, scores in zip(ids, ours, strict=True):
        theirs = [s for i, s in zip(one, plain(one), strict=True) if i == encoder.step_id]
        assert scores == pytest.approx(theirs, abs=1e-5)


def test_layers_below_the_trained_ones_stay_and_the_new_token_copies_the_separator(
    trained: Path,
) -> None:
    from safetensors.torch import load_file

    before = load_file(Path(POLICY) / "model.safetensors")
    after = load_file(trained / "final" / "model.safetensors")
    name = "model.layers.{}.mlp.up_proj.weight".format
    assert before[name(1)].equal(after[name(1)])
    assert not before[name(2)].equal(after[name(2)])
    table = after["model.embed_tokens.weight"]
    tokenizer = load_step_tokenizer(make_recipe(trained.parent), make_options(trained))
    assert table[-1].equal(table[tokenizer.encode("\n\n")[-1]])


def test_the_manifest_and_the_card_say_how_it_ranks_inside_held_out_questions(
    trained: Path,
) -> None:
    manifest = json.loads((trained / "manifest.json").read_text("utf-8"))
    after = manifest["held_out"]["after"]
    assert after["n_questions"] == sum(is_held_out(f"q{i}", 0.3) for i in range(12))
    assert after["ranking"]["low"] <= after["ranking"]["mean"] <= after["ranking"]["high"]
    assert manifest["held_out"]["before"]["ranking"]["n_groups"] == after["ranking"]["n_groups"]
    card = (trained / "final" / "README.md").read_text("utf-8")
    assert f"| {after['ranking']['mean']} | [{after['ranking']['low']}" in card
    assert "ranking_steps" in (trained.parent / "said.txt").read_text("utf-8")


def test_the_loss_falls(trained: Path) -> None:
    lines = [json.loads(x) for x in (trained / "metrics.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    third = len(losses) // 3
    assert third >= 3
    assert sum(losses[-third:]) < sum(losses[:third])


def test_smaller_micro_batches_change_nothing_but_rounding(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    weights = []
    for micro in (4, 1):
        folder = tmp_path / str(micro)
        folder.mkdir()
        recipe = make_recipe(folder, rows=step_rows(3), micro_batch_size=micro, max_steps=2)
        train_prm(recipe, make_options(folder))
        weights.append(load_file(folder / "prm" / "final" / "model.safetensors"))
    for name, weight in weights[0].items():
        assert weight.float().allclose(weights[1][name].float(), atol=4e-3), name


def test_a_perfect_judge_ranks_at_100_and_a_blind_one_at_50(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    encoder = StepEncoder(load_step_tokenizer(recipe, make_options(tmp_path)), recipe)
    solutions = [read_solution(row, 0, recipe) for row in step_rows()]
    known = {
        tuple(encoder.encode(s.problem, steps)): labels
        for s in solutions
        for steps, labels in (
            (s.steps, s.labels),
            ((s.separator.join(s.steps),), s.labels[-1:]),
        )
    }
    perfect = measure_held_out(lambda ids: [known[tuple(i)] for i in ids], encoder, solutions, 500)
    assert [perfect[name]["mean"] for name in ("ranking", "ranking_joined")] == [100.0, 100.0]
    assert perfect["step_accuracy"]["mean"] == 100.0
    blind = measure_held_out(
        lambda ids: [[0.4] * encoder.count_steps(i) for i in ids], encoder, solutions, 500
    )
    assert [blind[name]["mean"] for name in ("ranking", "ranking_steps")] == [50.0, 50.0]
    assert blind["step_accuracy"]["mean"] < 100.0
    nothing = measure_held_out(lambda ids: [], encoder, [], 500)
    assert list_evaluation(nothing) == []
    assert "no question" in describe_held_out(nothing)[0]


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda row: row.pop("labels"), SourceError, "needed: prompt and completions and labels"),
        (lambda row: row["labels"].append(True), ConfigError, "uneven: 24 of 24 rows (not one"),
        (lambda row: row.update(labels=[2.0, 0.5]), ConfigError, "bad label: 24 of 24 rows"),
        (lambda row: row.update(labels=[None, None]), ConfigError, "no label: 24 of 24 rows"),
        (
            lambda row: row.update(prompt=[{"role": "user", "content": "x"}]),
            SourceError,
            "holds no plain texts",
        ),
    ],
)
def test_rows_of_another_kind_are_refused_in_one_line(
    tmp_path: Path, spoil: Any, error: Any, said: str
) -> None:
    rows = step_rows()
    for row in rows:
        spoil(row)
    with pytest.raises(error) as caught:
        train_prm(make_recipe(tmp_path, rows=rows), make_options(tmp_path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_rows_or_a_batch_beyond_them_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("", "utf-8")
    with pytest.raises(ConfigError, match="batch_size 64 is larger than the dataset: 24 rows"):
        train_prm(make_recipe(tmp_path, batch_size=64), make_options(tmp_path / "a"))
    with pytest.raises(SourceError):
        train_prm(make_recipe(tmp_path, rows=[]), make_options(tmp_path / "b"))


def test_a_model_of_another_kind_or_without_a_template_is_refused_in_one_line(
    tmp_path: Path,
) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(POLICY, other)
    config = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps({**config, "head_dim": 64}), "utf-8")
    with pytest.raises(ConfigError, match="head_dim 64, which layout 'qwen' has not"):
        train_prm(make_recipe(tmp_path, model={"id": str(other)}), make_options(tmp_path / "a"))
    (other / "config.json").write_text(json.dumps(config), "utf-8")
    (other / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template"):
        train_prm(make_recipe(tmp_path, model={"id": str(other)}), make_options(tmp_path / "b"))
    with pytest.raises(ValueError, match="trained_layers"):
        make_recipe(tmp_path, model={"id": POLICY, "lora": {}})
