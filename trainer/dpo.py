"""Direct preference optimisation: pairs become tokens with labels, TRL's trainer does the rest.

Both texts of a pair are rendered and labelled as chats of ``butwait train sft`` are, so the prefix
that they share stays outside the loss to the character. TRL is given tokens and labels; what it
does is the loss against the model that was started from, and the loop. Left out: cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.schemas.recipe_dpo import DpoRecipe
from butwait.trainer import gate
from butwait.trainer.examples import IGNORED, ChatEncoder, Example, name_row, read_chat
from butwait.trainer.options import TrainOptions
from butwait.trainer.rows import Rows, read_rows
from butwait.trainer.start import find_end_ids, load_model, load_tokenizer, make_lora

COLUMNS = ("prompt+chosen+rejected",)
SIDES = ("chosen", "rejected")
CHECKS = {
    "not rendered": "a side is no chat of roles and texts, or the chat template refuses it, or "
    "does not render it turn by turn",
    "thought lost": "a text does not stand whole in the rendered chat",
    "no end token": "no end token is in the loss: the model would not learn to stop",
    "fully masked": "no token of a text is in the loss",
    "no difference": "chosen and rejected are the same tokens",
    "too long": "more tokens than max_length",
}
"""What is checked of every pair, and what it means."""


@dataclass(frozen=True)
class Prepared:
    """Pairs as tokens, and what the gate saw."""

    table: Any
    rows: Rows
    report: gate.GateReport
    tokenizer: Any


def train_dpo(recipe: DpoRecipe, options: TrainOptions) -> dict[str, Any]:
    """Train, or go on with an interrupted run.

    Returns:
        The manifest.

    Raises:
        SourceError: No usable rows.
        ConfigError: The pairs fail the gate, or the folder is another recipe's.
        TrainerError: The run cannot go on; the last whole checkpoint is kept.
    """
    from butwait.trainer.run import Run

    run = Run.open(recipe, options, kind="dpo")
    if run.is_finished and not options.check_only:
        return run.manifest
    prepared = prepare(recipe, options, run.folder.examples)
    run.pass_gate(prepared.report, prepared.rows)
    if options.check_only:
        return run.manifest
    trainer, count = _make_trainer(recipe, options, prepared, run)
    return run.train(trainer, prepared.tokenizer, count)


def prepare(recipe: DpoRecipe, options: TrainOptions, cache: Path) -> Prepared:
    """Read the pairs, render and check them.

    Raises:
        SourceError: No usable rows.
        ConfigError: No chat template, or a batch larger than the dataset.
    """
    tokenizer = load_tokenizer(recipe.model, options.base)
    encoder = PairEncoder(tokenizer, find_end_ids(recipe.model, options.base, tokenizer), recipe)
    rows = read_rows(recipe.data, options.base, COLUMNS)
    encoded = gate.map_rows(rows.table, encoder.encode, cache)
    findings = gate.count_problems(encoded, CHECKS)
    kept = encoded.select([i for i, usable in enumerate(encoded["usable"]) if usable])
    gate.check_batch_size(recipe.batch_size, len(kept), "pairs")
    n_steps = gate.count_steps(recipe, len(kept))
    report = gate.GateReport(
        n_rows=len(rows.table),
        n_kept=len(kept),
        n_tokens=sum(kept["n_tokens"]),
        n_loss_tokens=sum(kept["n_loss"]),
        n_straddling=sum(kept["n_straddling"]),
        n_steps=n_steps,
        findings=findings,
        failures=gate.judge(recipe, len(rows.table), len(kept), findings, n_steps, CHECKS),
    )
    columns = ["id", *(f"{side}_{what}" for side in SIDES for what in ("ids", "labels"))]
    return Prepared(kept.select_columns(columns), rows, report, tokenizer)


class PairEncoder:
    """Renders and tokenizes pairs for one model.

    Args:
        tokenizer: A fast transformers tokenizer with a chat template.
        end_ids: Tokens that end an assistant turn.
        recipe: What is masked, and the longest pair.
    """

    def __init__(self, tokenizer: Any, end_ids: set[int], recipe: DpoRecipe) -> None:
        self._chats = ChatEncoder(tokenizer, end_ids, mask="prefix")
        self._end_ids = end_ids
        self._recipe = recipe

    def encode(self, row: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Encode one pair and say what is wrong with it.

        Returns:
            ``chosen_ids``, ``chosen_labels`` and the same of ``rejected`` (label: the token, or
            ``IGNORED``), with ``id``, ``problems``, ``usable`` and counts.
        """
        name = name_row(row, number)
        try:
            better, worse = (self._encode_side(row, number, side) for side in SIDES)
        except (KeyError, TypeError, ValueError, OverflowError):
            return _describe(name, Example([], [], False, False, 0), None, ["not rendered"])
        problems = self._find_problems(better, worse)
        return _describe(name, better, worse, problems)

    def _encode_side(self, row: Mapping[str, Any], number: int, side: str) -> Example:
        n = int(row.get("prefix_characters") or 0) if self._recipe.mask_prefix else 0
        spans = [{"start": 0, "end": n, "role": "prefix"}] if n else []
        chat = {"id": row.get("id"), "prompt": row["prompt"], "completion": row[side]}
        example = self._chats.encode(read_chat({**chat, "spans": spans}, number))
        return example if self._recipe.end_of_turn else self._cut_end(example)

    def _cut_end(self, example: Example) -> Example:
        """Leave off the end of the turn: the text stops after a step, the solution does not."""
        last = max((i for i, x in enumerate(example.labels) if x in self._end_ids), default=None)
        n = len(example.labels) if last is None else last
        return Example(
            example.input_ids[:n],
            example.labels[:n],
            example.has_thought,
            False,
            example.n_straddling,
        )

    def _find_problems(self, better: Example, worse: Example) -> list[str]:
        both = (better, worse)
        found = {
            "thought lost": not all(example.has_thought for example in both),
            "no end token": self._recipe.end_of_turn and not all(e.has_end for e in both),
            "fully masked": any(example.n_loss == 0 for example in both),
            "no difference": better.input_ids == worse.input_ids,
            "too long": max(len(e.input_ids) for e in both) > self._recipe.max_length,
        }
        return [name for name, is_so in found.items() if is_so]


def _describe(
    name: str, better: Example, worse: Example | None, problems: list[str]
) -> dict[str, Any]:
    worse = worse or better
    useless = {"not rendered", "fully masked", "no difference", "too long"}
    return {
        "id": name,
        "chosen_ids": better.input_ids,
        "chosen_labels": better.labels,
        "rejected_ids": worse.input_ids,
        "rejected_labels": worse.labels,
        "problems": problems,
        "usable": not useless & set(problems),
        "n_tokens": len(better.input_ids) + len(worse.input_ids),
        "n_loss": better.n_loss + worse.n_loss,
        "n_straddling": better.n_straddling + worse.n_straddling,
    }


def collate_pairs(examples: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Pad on the right, as TRL's trainer reads pairs: first all chosen, then all rejected.

    Returns:
        ``input_ids``, ``attention_mask`` and ``completion_mask`` (1 in the loss), each
        (2 * pairs, length).
    """
    import torch

    texts = [(e[f"{side}_ids"], e[f"{side}_labels"]) for side in SIDES for e in examples]
    size = len(texts), max(len(ids) for ids, _ in texts)
    ids = torch.full(size, pad_id)
    seen, learned = torch.zeros(size, dtype=torch.long), torch.zeros(size, dtype=torch.long)
    for i, (tokens, labels) in enumerate(texts):
        n = len(tokens)
        ids[i, :n] = torch.tensor(tokens)
        seen[i, :n] = 1
        learned[i, :n] = (torch.tensor(labels) != IGNORED).long()
    return {"input_ids": ids, "attention_mask": seen, "completion_mask": learned}


def _make_arguments(recipe: DpoRecipe, run: Any) -> Any:
    from trl import DPOConfig

    return DPOConfig(
        **run.arguments,
        max_length=None,
        beta=recipe.beta,
        loss_type=[recipe.loss_type],
        label_smoothing=recipe.label_smoothing,
        remove_unused_columns=False,
    )


def _make_trainer(
    recipe: DpoRecipe, options: TrainOptions, prepared: Prepared, run: Any
) -> tuple[Any, Callable[[int], int]]:
    from trl import DPOTrainer

    from butwait.trainer.loop import EpochOrder, Watched, count_samples, name_rows

    order = EpochOrder(len(prepared.table), recipe.seed)
    pad_id = prepared.tokenizer.pad_token_id

    class Trainer(Watched, DPOTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
            return order

        def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
            return dataset  # tokens already

    lora = make_lora(recipe.model)
    model = load_model(recipe.model, options.base)
    # TRL would load the reference by its path, and so without the recipe's revision.
    reference = load_model(recipe.model, options.base) if lora is None else None
    trainer = Trainer(
        model=model,
        ref_model=reference,
        args=_make_arguments(recipe, run),
        train_dataset=prepared.table.add_column("rows", list(range(len(prepared.table)))),
        processing_class=prepared.tokenizer,
        data_collator=name_rows(lambda pairs: collate_pairs(pairs, pad_id)),
        peft_config=lora,
    )

    def count(step: int) -> int:
        return count_samples([1] * len(prepared.table), order, recipe.batch_size, step)

    trainer.prepare(run.folder, recipe, count)
    return trainer, count
