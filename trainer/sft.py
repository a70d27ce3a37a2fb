"""Supervised fine-tuning: rows become tokens with our labels, TRL's trainer trains on them.

TRL is given tokens and labels, so its own templates, masks and cuts do not apply; what it does is
the loss (mean over the loss tokens of the whole batch), packing and the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from butwait.schemas.recipe_train import SftRecipe
from butwait.trainer import gate
from butwait.trainer.examples import ChatEncoder
from butwait.trainer.folder import TrainFolder
from butwait.trainer.options import TrainOptions
from butwait.trainer.rows import Rows, read_rows
from butwait.trainer.start import find_end_ids, load_model, load_tokenizer, make_lora

COLUMNS = ("prompt+completion", "messages", "conversations")


@dataclass(frozen=True)
class Prepared:
    """Rows as tokens, and what the gate saw."""

    table: Any
    sizes: Sequence[int]
    """Samples in each row: 1, but for packed rows."""
    rows: Rows
    report: gate.GateReport
    tokenizer: Any


def train_sft(recipe: SftRecipe, options: TrainOptions) -> dict[str, Any]:
    """Train, or go on with an interrupted run.

    Returns:
        The manifest.

    Raises:
        ConfigError: The rows fail the gate, or the folder is another recipe's.
        TrainerError: The run cannot go on; the last whole checkpoint is kept.
    """
    from butwait.trainer.run import Run

    run = Run.open(recipe, options, kind="sft")
    if run.is_finished and not options.check_only:
        return run.manifest
    prepared = prepare(recipe, options, run.folder)
    run.pass_gate(prepared.report, prepared.rows)
    if options.check_only:
        return run.manifest
    trainer, count = _make_trainer(recipe, options, prepared, run)
    return run.train(trainer, prepared.tokenizer, count)


def prepare(recipe: SftRecipe, options: TrainOptions, folder: TrainFolder) -> Prepared:
    """Read the rows, render and check them, pack them where the recipe says so.

    Raises:
        SourceError: No usable rows.
        ConfigError: No chat template, or a batch larger than the dataset.
    """
    tokenizer = load_tokenizer(recipe.model, options.base)
    ends = find_end_ids(recipe.model, options.base, tokenizer)
    rows = read_rows(recipe.data, options.base, COLUMNS)
    encoder = ChatEncoder(tokenizer, ends, recipe.mask)
    table, findings, counts = gate.encode_rows(rows.table, encoder, recipe, folder.examples)
    sizes: Sequence[int] = [1] * len(table)
    n_kept = len(table)
    if recipe.packing and n_kept:
        table, sizes = _pack(table, recipe.max_length)
    what = "packed sequences" if recipe.packing else "rows"
    gate.check_batch_size(recipe.batch_size, len(table), what)
    n_steps = gate.count_steps(recipe, len(table))
    report = gate.GateReport(
        n_rows=len(rows.table),
        n_kept=n_kept,
        n_tokens=counts["tokens"],
        n_loss_tokens=counts["loss"],
        n_straddling=counts["straddling"],
        n_steps=n_steps,
        findings=findings,
        failures=gate.judge(recipe, len(rows.table), n_kept, findings, n_steps),
    )
    return Prepared(table, sizes, rows, report, tokenizer)


def _pack(table: Any, max_length: int) -> tuple[Any, list[int]]:
    """Pack rows into sequences; the columns of ids go, since a sequence holds several rows."""
    from trl import pack_dataset

    ids = table["id"]
    numbered = table.select_columns(["input_ids", "labels"])
    numbered = numbered.add_column("rows", [[i] * len(t) for i, t in enumerate(table["input_ids"])])
    packed = pack_dataset(numbered, max_length, "bfd", {"load_from_cache_file": False})
    sizes = [len(lengths) for lengths in packed["seq_lengths"]]
    names = [", ".join(ids[i] for i in dict.fromkeys(rows)) for rows in packed["rows"]]
    return packed.remove_columns("rows").add_column("id", names), sizes


def _make_trainer(
    recipe: SftRecipe, options: TrainOptions, prepared: Prepared, run: Any
) -> tuple[Any, Callable[[int], int]]:
    from trl import SFTConfig, SFTTrainer

    from butwait.trainer.loop import EpochOrder, Watched, count_samples, name_rows

    order = EpochOrder(len(prepared.table), recipe.seed)

    class Trainer(Watched, SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
            return order

    arguments = SFTConfig(
        **run.arguments,
        max_length=recipe.max_length if recipe.packing else None,
        packing=recipe.packing,
        shuffle_dataset=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    table = prepared.table.add_column("rows", list(range(len(prepared.table))))
    trainer = Trainer(
        model=load_model(recipe.model, options.base),
        args=arguments,
        train_dataset=table,
        processing_class=prepared.tokenizer,
        peft_config=make_lora(recipe.model),
    )
    trainer._signature_columns = ["input_ids", "labels", "seq_lengths", "rows"]
    trainer.data_collator = name_rows(trainer.data_collator)

    def count(step: int) -> int:
        return count_samples(prepared.sizes, order, recipe.batch_size, step)

    trainer.prepare(run.folder, recipe, count)
    return trainer, count
