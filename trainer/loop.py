"""What every kind of training shares: arguments, the order of the rows, checkpoints, a watch.

The loops are those of TRL and transformers. Added here: checkpoints that are named by the samples
seen and appear by a rename, so that one that is there is whole; an order of the rows that depends
on seed and epoch alone; a stop at the first loss that is not a number, which names step and rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from butwait.schemas.errors import TrainerError
from butwait.schemas.recipe_train import TrainRecipe
from butwait.trainer.folder import TrainFolder

N_ROWS_NAMED = 8
"""Rows that an error names at most."""


def share_arguments(recipe: TrainRecipe, folder: TrainFolder, n_processes: int) -> dict[str, Any]:
    """Return the arguments that all trainers are given.

    Raises:
        TrainerError: The batch cannot be divided over processes and micro-batches.
    """
    micro, n_micro = divide_batch(recipe, n_processes)
    optimiser = recipe.optimiser
    on_gpu = torch.cuda.is_available()
    wanted = recipe.model.precision
    can_bf16 = on_gpu and torch.cuda.is_bf16_supported()
    return {
        "output_dir": str(folder.checkpoints),
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "learning_rate": optimiser.learning_rate,
        "lr_scheduler_type": optimiser.schedule,
        "warmup_steps": optimiser.warmup_steps,
        "adam_beta1": optimiser.betas[0],
        "adam_beta2": optimiser.betas[1],
        "weight_decay": optimiser.weight_decay,
        "max_grad_norm": optimiser.max_grad_norm,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": n_micro,
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "save_strategy": "steps" if recipe.save_every else "no",
        "save_steps": recipe.save_every or 1,
        "logging_steps": recipe.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        # TensorBoard's callback is the run's own: transformers' would write beside checkpoints.
        "report_to": [name for name in recipe.report_to if name != "tensorboard"],
        "gradient_checkpointing": recipe.model.gradient_checkpointing,
        "use_cpu": not on_gpu,
        "bf16": wanted == "bfloat16" or (wanted == "auto" and can_bf16),
        "disable_tqdm": True,
        "dataloader_pin_memory": on_gpu,
    }


def divide_batch(recipe: TrainRecipe, n_processes: int) -> tuple[int, int]:
    """Divide a step's rows over processes and micro-batches of at most ``micro_batch_size``.

    Returns:
        Rows a micro-batch, and micro-batches a process and step.

    Raises:
        TrainerError: The rows cannot be divided over the processes.
    """
    per_process, rest = divmod(recipe.rows_a_step, n_processes)
    if rest:
        raise TrainerError(
            f"{recipe.rows_a_step} rows a step (batch_size {recipe.batch_size}) cannot be divided "
            f"over {n_processes} processes"
        )
    micro = min(recipe.micro_batch_size, per_process)
    while per_process % micro:
        micro -= 1
    return micro, per_process // micro


class EpochOrder(torch.utils.data.Sampler):  # type: ignore[misc]
    """A permutation of the rows for each epoch, from seed and epoch alone.

    Args:
        n: Rows.
        seed: The recipe's.
    """

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from self.permute(self._epoch).tolist()

    def __len__(self) -> int:
        return self._n

    def permute(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the epoch's order of the rows."""
        return np.random.default_rng([self._seed, epoch]).permutation(self._n)


def count_samples(sizes: Sequence[int], order: EpochOrder, batch_size: int, step: int) -> int:
    """Count the samples that have been seen after some optimiser steps.

    Args:
        sizes: Samples in each row (1, but for packed rows).
        order: The rows' order.
        batch_size: Rows an optimiser step; an epoch's last step may have fewer.
        step: Optimiser steps done.
    """
    n_a_epoch = math.ceil(len(sizes) / batch_size)
    epochs, rest = divmod(step, n_a_epoch)
    seen = order.permute(epochs)[: rest * batch_size] if rest else ()
    return epochs * sum(sizes) + sum(int(sizes[i]) for i in seen)


class Watched:
    """Mixed into a trainer, before it: checkpoints by samples, row order, a watch over the loss.

    ``prepare`` must be called before ``train``.
    """

    def prepare(
        self, folder: TrainFolder, recipe: TrainRecipe, count: Callable[[int], int]
    ) -> None:
        """Tell where checkpoints go and how samples are counted from steps."""
        self._folder = folder
        self._keep = recipe.keep_checkpoints
        self._count = count

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: the run's own is written at the end."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save under a temporary name, then rename: a checkpoint that is there is whole."""
        step = self.state.global_step  # type: ignore[attr-defined]
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            self.accelerator.wait_for_everyone()  # type: ignore[attr-defined]
            if self.args.should_save:  # type: ignore[attr-defined]
                self._folder.keep_checkpoint(step, self._count(step), self._keep)
        except (OSError, RuntimeError) as error:  # safetensors and torch raise either
            if not _is_about_disk(error):
                raise
            newest = self._folder.find_newest()
            kept = f"{newest.name} is whole" if newest else "there was none before it"
            raise TrainerError(
                f"step {step}: the checkpoint cannot be written to {self._folder.checkpoints} "
                f"({error}); {kept}: free some space, and the same command goes on"
            ) from error

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the loss; one that is not finite ends the run.

        Raises:
            TrainerError: With step and rows.
        """
        rows = inputs.pop("rows", None) if isinstance(inputs, dict) else None
        result = super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]
        loss = result[0] if isinstance(result, tuple) else result
        if not bool(torch.isfinite(loss)):
            step = self.state.global_step + 1  # type: ignore[attr-defined]
            raise TrainerError(
                f"the loss is {loss.item()} at step {step}{self._name_rows(rows)}: try a smaller "
                "learning_rate, or look at these rows; the last checkpoint is kept"
            )
        return result

    def _name_rows(self, rows: Any) -> str:
        if rows is None:
            return ""
        names = [self.train_dataset[int(i)]["id"] for i in rows[:N_ROWS_NAMED]]  # type: ignore[attr-defined]
        more = f" and {len(rows) - len(names)} more" if len(rows) > len(names) else ""
        return f" (rows {', '.join(map(str, names))}{more})"


def _is_about_disk(error: Exception) -> bool:
    words = ("No space left", "Read-only file system", "Permission denied", "quota", "I/O error")
    return isinstance(error, OSError) or any(word in str(error) for word in words)


def name_rows(collate: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> Callable[..., Any]:
    """Add the rows' numbers to a batch, so that a bad loss can name its rows."""

    def collate_named(examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(examples)
        batch["rows"] = torch.tensor([example["rows"] for example in examples])
        return batch

    return collate_named
