"""``butwait train dpo``: what of a pair is in the loss, to the character, and TRL's loss on it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from train_sums import POLICY, make_options, pair_rows, train_with_a_kill, write_rows

from butwait.schemas.errors import ConfigError, SourceError
from butwait.schemas.recipe_dpo import DpoRecipe
from butwait.trainer.dpo import collate_pairs, prepare, train_dpo

END = "<|end|>"


def make_recipe(folder: Path, rows: list[dict[str, Any]] | None = None, **more: Any) -> DpoRecipe:
    """A recipe on small sums, from the pocket policy."""
    path = write_rows(folder / "rows.jsonl", pair_rows() if rows is None else rows)
    known: dict[str, Any] = {
        "name": "dpo",
        "model": {"id": POLICY},
        "data": {"path": path},
        "batch_size": 4,
        "report_to": [],
        "optimiser": {"learning_rate": 1e-4, "warmup_steps": 0},
    }
    return DpoRecipe.model_validate({**known, **more})


def prepare_rows(folder: Path, **more: Any) -> Any:
    """The encoded pairs of a recipe."""
    return prepare(make_recipe(folder, **more), make_options(folder), folder / "cache")


def read_learned(prepared: Any) -> list[str]:
    """What is in the loss of each text of the first pair, decoded from the trainer's own batch."""
    batch = collate_pairs([prepared.table[0]], prepared.tokenizer.pad_token_id)
    return [
        prepared.tokenizer.decode(ids[mask == 1])
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def test_the_shared_prefix_is_outside_the_loss_and_the_end_token_inside(tmp_path: Path) -> None:
    prepared = prepare_rows(tmp_path)
    assert read_learned(prepared) == [f"Step 2: 13 + 20 = {n}{END}" for n in (33, 36)]
    batch = collate_pairs([prepared.table[0]], 0)
    whole = prepared.tokenizer.decode(batch["input_ids"][0][batch["attention_mask"][0] == 1])
    assert whole.endswith(f"<|assistant|>Step 1: 10 + 3 = 13\n\nStep 2: 13 + 20 = 33{END}")


def test_without_the_mask_the_whole_turn_is_in_the_loss(tmp_path: Path) -> None:
    prepared = prepare_rows(tmp_path, mask_prefix=False)
    assert read_learned(prepared)[0] == f"Step 1: 10 + 3 = 13\n\nStep 2: 13 + 20 = 33{END}"


def test_rows_of_single_steps_learn_no_end(tmp_path: Path) -> None:
    prepared = prepare_rows(tmp_path, end_of_turn=False)
    assert read_learned(prepared) == ["Step 2: 13 + 20 = 33", "Step 2: 13 + 20 = 36"]
    assert END not in prepared.tokenizer.decode(prepared.table[0]["chosen_ids"][-3:])
    assert prepared.report.failures == ()


def test_rows_of_others_have_plain_texts_and_no_prefix(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i} + 1?", "chosen": "Yes.", "rejected": "No."} for i in range(4)]
    assert read_learned(prepare_rows(tmp_path, rows=rows)) == [f"Yes.{END}", f"No.{END}"]


def test_pairs_that_are_too_long_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = pair_rows()
    rows[3]["rejected"][0]["content"] += " and so on" * 40
    prepared = prepare_rows(tmp_path, rows=rows, max_length=100)
    assert "pair-3" not in prepared.table["id"]
    assert prepared.report.findings["too long"].n_rows == 1
    assert (prepared.report.n_kept, prepared.report.failures) == (11, ())
    with pytest.raises(ConfigError, match="too long: 1 of 12 rows have more than max_length 100"):
        train_dpo(
            make_recipe(tmp_path, rows=rows, max_length=100, max_too_long=0.05),
            make_options(tmp_path),
        )


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, save_every=2, epochs=1, optimiser={"learning_rate": 1e-3})
    finals = train_with_a_kill(train_dpo, recipe, tmp_path)
    one, other = ((final / "model.safetensors").read_bytes() for final in finals)
    assert one == other
    assert one != (Path(POLICY) / "model.safetensors").read_bytes()


def test_the_loss_is_that_of_the_paper_on_the_learned_tokens_alone(tmp_path: Path) -> None:
    import torch
    from transformers import LlamaForCausalLM

    # A schedule of two steps: the second batch's loss is that of the weights after the first one.
    recipe = make_recipe(tmp_path, max_steps=2, save_every=1, batch_size=12)
    train_dpo(recipe, make_options(tmp_path))
    lines = read_metrics(tmp_path / "dpo")
    assert lines[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    start = LlamaForCausalLM.from_pretrained(POLICY, dtype=torch.float32)
    prepared = prepare(recipe, make_options(tmp_path), tmp_path / "cache")
    batch = collate_pairs(prepared.table, prepared.tokenizer.pad_token_id)

    def read(model: Any) -> Any:
        with torch.no_grad():
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        found = logits[:, :-1].log_softmax(-1).gather(2, batch["input_ids"][:, 1:, None])[..., 0]
        return (found * batch["completion_mask"][:, 1:]).sum(1).chunk(2)

    after_one = tmp_path / "dpo" / "checkpoints" / "samples_12"
    policy = LlamaForCausalLM.from_pretrained(after_one, dtype=torch.float32)
    (better, worse), (better_0, worse_0) = read(policy), read(start)
    margins = 0.1 * (better - better_0 - worse + worse_0)
    expected = -torch.nn.functional.logsigmoid(margins).mean()
    assert lines[1]["loss"] == pytest.approx(float(expected), abs=1e-5)
    assert lines[1]["rewards/margins"] == pytest.approx(float(margins.mean()), abs=1e-5)
    assert float(margins.abs().mean()) > 1e-4


def test_adapters_are_merged_into_the_final_folder_and_kept_beside_it(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    recipe = make_recipe(tmp_path, model={"id": POLICY, "lora": {"r": 4}}, max_steps=2)
    train_dpo(recipe, make_options(tmp_path))
    final = tmp_path / "dpo" / "final"
    assert (final / "adapter" / "adapter_config.json").is_file()
    assert AutoModelForCausalLM.from_pretrained(final).num_parameters() < 700_000
    assert "DPO" in (final / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda row: row.pop("rejected"), SourceError, "needed: prompt and chosen and rejected"),
        (lambda row: row.update(rejected=row["chosen"]), ConfigError, "no difference: 12 of 12"),
        (lambda row: row["chosen"][0].update(role="tool"), ConfigError, "12 of 12 rows"),
        (
            lambda row: row.update(prefix_characters=500),
            ConfigError,
            "fully masked: 12 of 12 rows (no token of a text is in the loss)",
        ),
    ],
)
def test_rows_of_another_kind_are_refused_in_one_line(
    tmp_path: Path, spoil: Any, error: Any, said: str
) -> None:
    rows = pair_rows()
    for row in rows:
        spoil(row)
    with pytest.raises(error) as caught:
        train_dpo(make_recipe(tmp_path, rows=rows), make_options(tmp_path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_rows_no_template_and_a_batch_beyond_the_rows_are_refused_in_one_line(
    tmp_path: Path,
) -> None:
    import shutil

    with pytest.raises(SourceError):
        train_dpo(make_recipe(tmp_path, rows=[]), make_options(tmp_path / "a"))
    with pytest.raises(ConfigError, match="batch_size 64 is larger than the dataset: 12 pairs"):
        train_dpo(make_recipe(tmp_path, batch_size=64), make_options(tmp_path / "b"))
    bare = tmp_path / "bare"
    shutil.copytree(POLICY, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template"):
        train_dpo(make_recipe(tmp_path, model={"id": str(bare)}), make_options(tmp_path / "c"))
    with pytest.raises(ValueError, match="label_smoothing"):
        make_recipe(tmp_path, label_smoothing=0.1)
