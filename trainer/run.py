"""One training run from its folder's opening to its final model: what all trainers go through."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from accelerate import PartialState

from butwait.schemas.errors import ConfigError, TrainerError
from butwait.schemas.recipe_train import TrainRecipe
from butwait.trainer.card import write_card
from butwait.trainer.curves import draw_curves
from butwait.trainer.estimate import describe_estimate
from butwait.trainer.folder import TrainFolder, remove
from butwait.trainer.gate import GateReport, describe, stop_on_failures
from butwait.trainer.loop import share_arguments
from butwait.trainer.options import TrainOptions
from butwait.trainer.progress import MetricsFile
from butwait.trainer.rows import Rows
from butwait.trainer.start import describe_versions, save_final


class Run:
    """A run that has been opened.

    Args:
        recipe: What to train.
        options: What the command line adds.
        kind: ``sft``, ``grpo``, ``dpo`` or ``prm``.
        goes_on: Whether an earlier run is continued.
    """

    def __init__(
        self, recipe: TrainRecipe, options: TrainOptions, kind: str, folder: TrainFolder
    ) -> None:
        self.recipe = recipe
        self.options = options
        self.kind = kind
        self.folder = folder
        self._state = PartialState()
        self.manifest = folder.read_manifest()

    @classmethod
    def open(cls, recipe: TrainRecipe, options: TrainOptions, kind: str) -> Run:
        """Open the folder; whole checkpoints of an earlier run are gone on with.

        Raises:
            ConfigError: The folder is another recipe's.
            TrainerError: It cannot be written.
        """
        _check_reporters(recipe)
        folder = TrainFolder(options.out / recipe.name)
        state = PartialState()
        if state.is_main_process:
            folder.open(options.recipe_text, fresh=options.fresh)
            folder.remove_halves()
        state.wait_for_everyone()
        run = cls(recipe, options, kind, folder)
        if run.is_finished:
            run.say(f"{folder.root} is finished: {folder.final} (--fresh begins anew)")
        return run

    @property
    def is_finished(self) -> bool:
        """Whether the final model is there."""
        return self.folder.final.is_dir() and self.manifest.get("status") == "finished"

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that all trainers share."""
        return share_arguments(self.recipe, self.folder, self._state.num_processes)

    def say(self, line: str) -> None:
        """Print a line, once for all processes."""
        if self._state.is_main_process:
            self.options.say(line)

    def note(self, **values: Any) -> None:
        """Write values into the manifest."""
        if self._state.is_main_process:
            self.manifest = self.folder.update_manifest(**values)

    def pass_gate(self, report: GateReport, rows: Rows) -> None:
        """Say and keep what the gate saw, stop where it failed, and say what the run will take.

        Raises:
            ConfigError: A check failed and the run is not forced.
        """
        for line in describe(report):
            self.say(line)
        self.note(data=rows.origin, dropped=rows.dropped, gate=report.to_json())
        stop_on_failures(report, force=self.options.force)
        if not self.options.check_only:
            self.say_estimate(report.n_tokens, report.n_kept)

    def say_estimate(self, n_tokens: int, n_rows: int) -> None:
        """Say how much memory and time the run will take, before the model loads."""
        for line in describe_estimate(self.recipe, self.options.base, n_tokens, n_rows):
            self.say(line)

    def train(
        self,
        trainer: Any,
        tokenizer: Any,
        count: Callable[[int], int],
        save: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Train to the end, save, draw and describe.

        Args:
            trainer: A ``Watched`` trainer.
            tokenizer: Saved along.
            count: Samples seen after some steps.
            save: Writes the final folder instead of ``save_final``.

        Returns:
            The manifest.

        Raises:
            TrainerError: The run cannot go on; the last whole checkpoint is kept.
        """
        start_s = time.monotonic()
        self._report_to(trainer, count)
        result = self._loop(trainer)
        if save is None:
            save_final(trainer, tokenizer, self.recipe.model, self.options.base, self.folder)
        else:
            save()
        n_steps = trainer.state.global_step
        self.note(
            steps=n_steps,
            samples=count(n_steps),
            train_s=round(time.monotonic() - start_s, 1),
            loop_s=result.metrics.get("train_runtime"),
        )
        if self._state.is_main_process:
            draw_curves(self.folder)
            write_card(self.folder, self.recipe, self.manifest)
            remove(self.folder.examples)
        self.note(status="finished")
        self.say(f"{self.folder.final}: {n_steps} steps, {count(n_steps)} samples")
        return self.manifest

    def _loop(self, trainer: Any) -> Any:
        """Train from the newest checkpoint, or from the beginning."""
        start = self.folder.find_newest()
        if start is not None:
            self.say(f"going on from {start.name}")
        self.note(
            status="running",
            kind=self.kind,
            versions=dict(describe_versions()),
            model={"id": self.recipe.model.id, "revision": self.recipe.model.revision},
            n_processes=self._state.num_processes,
            device=str(trainer.args.device),
        )
        try:
            return trainer.train(resume_from_checkpoint=str(start) if start else None)
        except torch.OutOfMemoryError as error:
            raise TrainerError(
                f"out of memory: {' '.join(str(error).split())[:160]}; try a smaller "
                "micro_batch_size, model.gradient_checkpointing or model.lora"
            ) from error

    def _report_to(self, trainer: Any, count: Callable[[int], int]) -> None:
        """Give the metrics to the run's own file and to whoever the recipe names."""
        from transformers import PrinterCallback
        from transformers.integrations import TensorBoardCallback

        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(MetricsFile(self.folder, self.say, count))
        if "tensorboard" in self.recipe.report_to:
            board = TensorBoardCallback()
            board.logging_dir = str(self.folder.tensorboard)
            trainer.add_callback(board)


def _check_reporters(recipe: TrainRecipe) -> None:
    """Refuse a reporter that is not there, before hours of work.

    Raises:
        ConfigError: It is not installed.
    """
    for name in recipe.report_to:
        if find_spec(name) is None:
            raise ConfigError(
                f"report_to: {name} is not installed; pip install {name}, or report_to: []"
            )
