"""A process reward model from labelled steps: transformers' trainer, a loss at the step tokens.

TRL has no trainer of such models any more; the loss is the cross-entropy of two classes at each
labelled token, the mean over those of the whole batch. Left out: other layouts than Qwen's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.schemas.errors import SourceError, TrainerError
from butwait.schemas.recipe_prm import PrmRecipe
from butwait.trainer import gate
from butwait.trainer.options import TrainOptions
from butwait.trainer.rows import Rows, read_rows
from butwait.trainer.start import load_tokenizer
from butwait.trainer.step_examples import (
    CHECKS,
    Solution,
    StepEncoder,
    encode_row,
    is_held_out,
    read_solution,
)


@dataclass(frozen=True)
class Prepared:
    """Rows as tokens with labels, the solutions that are held out, and what the gate saw.

    ``table`` has ``id``, ``input_ids``, ``labels`` and, where tokens weigh unequally, ``weights``.
    """

    table: Any
    tokenizer: Any
    encoder: StepEncoder
    rows: Rows
    report: gate.GateReport
    held_out: Sequence[Solution] = ()


def train_prm(recipe: PrmRecipe, options: TrainOptions) -> dict[str, Any]:
    """Train, or go on with an interrupted run.

    Returns:
        The manifest; ``held_out`` has the numbers of ``measure_held_out`` before and after.

    Raises:
        SourceError: No usable rows.
        ConfigError: The rows fail the gate, or the model is no Qwen2 or Llama.
        TrainerError: The run cannot go on; the last whole checkpoint is kept.
    """
    from butwait.trainer.run import Run

    run = Run.open(recipe, options, kind="prm")
    if run.is_finished and not options.check_only:
        return run.manifest
    return train_prepared(recipe, options, prepare(recipe, options, run.folder.examples), run)


def train_prepared(
    recipe: PrmRecipe, options: TrainOptions, prepared: Prepared, run: Any
) -> dict[str, Any]:
    """Train on rows that are tokens already.

    Args:
        recipe: What to train.
        options: Folders and switches.
        prepared: The tokens.
        run: An open ``Run``.

    Returns:
        The manifest.
    """
    run.pass_gate(prepared.report, prepared.rows)
    if options.check_only:
        return dict(run.manifest)
    trainer, count = _make_trainer(recipe, options, prepared, run)
    if run.folder.find_newest() is None:
        run.note(held_out={"before": _measure(trainer, recipe, prepared)})
    save = _make_save(trainer, recipe, prepared, run)
    return dict(run.train(trainer, prepared.tokenizer, count, save))


def prepare(recipe: PrmRecipe, options: TrainOptions, cache: Path) -> Prepared:
    """Read the rows, hold some questions out, encode and check the others.

    Raises:
        SourceError: No usable rows, or columns of another type.
        ConfigError: No chat template, or a batch larger than the dataset.
    """
    tokenizer = load_step_tokenizer(recipe, options)
    rows = read_rows(recipe.data, options.base, (f"prompt+completions+{recipe.label_source}",))
    _check_types(rows)
    encoder = StepEncoder(tokenizer, recipe)
    training, held_out = _hold_out(rows.table, recipe)
    encoded = gate.map_rows(training, encode_row(encoder, recipe), cache, _describe_columns())
    findings = gate.count_problems(encoded, CHECKS)
    kept = encoded.select([i for i, problems in enumerate(encoded["problems"]) if not problems])
    gate.check_batch_size(recipe.batch_size, len(kept), "rows")
    n_steps = gate.count_steps(recipe, len(kept))
    report = gate.GateReport(
        n_rows=len(training),
        n_kept=len(kept),
        n_tokens=sum(map(len, kept["input_ids"])),
        n_loss_tokens=sum(kept["n_labels"]),
        n_straddling=0,
        n_steps=n_steps,
        findings=findings,
        failures=gate.judge(recipe, len(training), len(kept), findings, n_steps, CHECKS),
    )
    columns = ["id", "input_ids", "labels"]
    return Prepared(
        kept.select_columns(columns), tokenizer, encoder, rows, report, held_out=held_out
    )


def _describe_columns() -> Any:
    """Name the types: without them ``labels`` would keep that of the rows, which is bool."""
    from datasets import Features, List, Value

    return Features(
        {
            "id": Value("string"),
            "input_ids": List(Value("int32")),
            "labels": List(Value("float32")),
            "problems": List(Value("string")),
            "n_labels": Value("int32"),
        }
    )


def load_step_tokenizer(recipe: PrmRecipe, options: TrainOptions) -> Any:
    """Load the tokenizer and give it the step token, where it has none.

    Raises:
        ConfigError: There is none, or it has no chat template.
    """
    tokenizer = load_tokenizer(recipe.model, options.base)
    if recipe.step_token not in tokenizer.get_vocab():
        tokenizer.add_special_tokens(
            {"extra_special_tokens": [recipe.step_token]}, replace_extra_special_tokens=False
        )
    return tokenizer


def _check_types(rows: Rows) -> None:
    """Refuse prompts that are chats: a reward model of this layout reads a problem."""
    kind = getattr(rows.table.features["prompt"], "dtype", None)
    if kind not in ("string", "large_string"):
        raise SourceError(
            f"{rows.origin['from']}: its column 'prompt' holds no plain texts; step rows have the "
            "problem there (configuration step_labels of a run)"
        )


def _hold_out(table: Any, recipe: PrmRecipe) -> tuple[Any, list[Solution]]:
    """Split by question, so that no question is on both sides."""
    groups = table["question_id"] if "question_id" in table.column_names else table["prompt"]
    out = [is_held_out(str(group), recipe.held_out) for group in groups]
    held = []
    for number in (i for i, is_out in enumerate(out) if is_out):
        try:
            solution = read_solution(table[number], number, recipe)
        except (TypeError, ValueError):
            continue  # a row that could not be trained on is not measured on either
        if solution.is_even and solution.steps:
            held.append(solution)
    return table.select([i for i, is_out in enumerate(out) if not is_out]), held


def collate_labelled(examples: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Pad on the right, where nothing is labelled.

    Returns:
        ``input_ids``, ``attention_mask``, ``labels``, and ``weights`` where rows have them; each
        (batch, length).
    """
    import torch

    from butwait.trainer.reward_model import UNLABELLED

    size = len(examples), max(len(example["input_ids"]) for example in examples)
    batch = {
        "input_ids": torch.full(size, pad_id),
        "attention_mask": torch.zeros(size, dtype=torch.long),
        "labels": torch.full(size, UNLABELLED),
    }
    if "weights" in examples[0]:
        batch["weights"] = torch.zeros(size)
    for i, example in enumerate(examples):
        n = len(example["input_ids"])
        batch["attention_mask"][i, :n] = 1
        for name in batch.keys() - {"attention_mask"}:
            batch[name][i, :n] = torch.tensor(example[name])
    return batch


def _make_trainer(
    recipe: PrmRecipe, options: TrainOptions, prepared: Prepared, run: Any
) -> tuple[Any, Callable[[int], int]]:
    import torch
    from transformers import Trainer, TrainingArguments

    from butwait.trainer.loop import EpochOrder, Watched, count_samples, name_rows
    from butwait.trainer.reward_model import freeze_below, load_reward_model

    torch.manual_seed(recipe.seed)  # of a new head
    tokenizer, order = prepared.tokenizer, EpochOrder(len(prepared.table), recipe.seed)
    ends = tokenizer(recipe.separator, add_special_tokens=False)["input_ids"]
    fallback = ends[-1] if ends else tokenizer.eos_token_id
    model = load_reward_model(recipe.model, options.base, tokenizer, fallback)
    freeze_below(model, recipe.trained_layers)

    class PrmTrainer(Watched, Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
            return order

    trainer = PrmTrainer(
        model=model,
        args=TrainingArguments(**run.arguments, remove_unused_columns=False),
        train_dataset=prepared.table.add_column("rows", list(range(len(prepared.table)))),
        data_collator=name_rows(lambda rows: collate_labelled(rows, tokenizer.pad_token_id)),
    )

    def count(step: int) -> int:
        return count_samples([1] * len(prepared.table), order, recipe.batch_size, step)

    trainer.prepare(run.folder, recipe, count)
    return trainer, count


def _measure(trainer: Any, recipe: PrmRecipe, prepared: Prepared) -> dict[str, Any]:
    from butwait.trainer.held_out import measure_held_out
    from butwait.trainer.reward_model import score_tokens

    model = trainer.accelerator.unwrap_model(trainer.model)
    was_training = model.training
    model.eval()
    measured = measure_held_out(
        lambda ids: score_tokens(
            model, ids, prepared.encoder.step_id, prepared.tokenizer.pad_token_id
        ),
        prepared.encoder,
        prepared.held_out,
        recipe.max_length,
    )
    model.train(was_training)
    return measured


def _make_save(trainer: Any, recipe: PrmRecipe, prepared: Prepared, run: Any) -> Callable[[], None]:
    """Make the end of a run: the folder that vLLM serves, and what it is worth."""
    from butwait.trainer.folder import remove
    from butwait.trainer.held_out import describe_held_out, list_evaluation
    from butwait.trainer.reward_model import Qwen2ForProcessRewardModel, write_reward_model

    folder = run.folder

    def save() -> None:
        trained, whole = (folder.root / "final.tmp" / name for name in ("trained", "whole"))
        measured = _measure(trainer, recipe, prepared)
        for line in describe_held_out(measured):
            run.say(line)
        known = run.manifest.get("held_out", {})
        run.note(held_out={**known, "after": measured})
        try:
            remove(trained.parent)
            start_config = trainer.accelerator.unwrap_model(trainer.model).start_config
            trainer.save_model(str(trained))
            if trainer.args.should_save:
                weights = Qwen2ForProcessRewardModel.from_pretrained(trained).state_dict()
                write_reward_model(weights, start_config, prepared.tokenizer, whole)
                remove(folder.final)
                whole.replace(folder.final)
                remove(trained.parent)
                text = json.dumps(list_evaluation(measured), indent=1)
                folder.write(folder.root / "evaluation.json", text + "\n")
        except (OSError, RuntimeError) as error:
            raise TrainerError(f"{folder.final} cannot be written: {error}") from error
        trainer.accelerator.wait_for_everyone()

    return save
