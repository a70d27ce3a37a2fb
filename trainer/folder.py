"""The folder of a training run.

    recipe.yaml      the effective recipe, defaults filled in
    manifest.json    versions, data with revisions, what the gate found, how the run ended
    metrics.jsonl    one line a logged step
    rollouts.jsonl   some rollouts of each step (GRPO)
    checkpoints/     samples_N: everything that a resume needs
    final/           model, tokenizer and chat template, as transformers and vLLM load them
    curves/          the metrics as pictures
    tensorboard/     the metrics as TensorBoard reads them
    examples/        the rows as tokens and labels

Whatever is there under its own name is whole: it was written elsewhere and renamed.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

from butwait.schemas.errors import ConfigError, TrainerError

CHECKPOINT = re.compile(r"samples_(\d+)")


class TrainFolder:
    """Paths of a run and how they are written.

    Args:
        root: The run's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe = root / "recipe.yaml"
        self.manifest = root / "manifest.json"
        self.metrics = root / "metrics.jsonl"
        self.rollouts = root / "rollouts.jsonl"
        self.checkpoints = root / "checkpoints"
        self.final = root / "final"
        self.curves = root / "curves"
        self.tensorboard = root / "tensorboard"
        self.examples = root / "examples"

    def open(self, recipe: str, *, fresh: bool) -> bool:
        """Begin or continue a run.

        Args:
            recipe: The effective recipe as YAML.
            fresh: Remove what an earlier run left.

        Returns:
            Whether an earlier run goes on.

        Raises:
            ConfigError: The folder is another recipe's, or not a training run's.
            TrainerError: It cannot be written.
        """
        try:
            if fresh and self.root.exists():
                self._check_is_ours()
                shutil.rmtree(self.root)
            self.root.mkdir(parents=True, exist_ok=True)
            if not self.recipe.exists():
                if any(self.root.iterdir()):
                    self._check_is_ours()
                self.write(self.recipe, recipe)
                return False
            known = self.recipe.read_text("utf-8")
        except OSError as error:
            raise TrainerError(f"run folder {self.root} cannot be written: {error}") from error
        if known != recipe and not self.metrics.exists():
            self.write(self.recipe, recipe)  # nothing was trained yet
        elif known != recipe:
            raise ConfigError(
                f"{self.root} was begun with another recipe ({_first_difference(known, recipe)}): "
                "choose another name, or begin anew with --fresh"
            )
        return True

    def _check_is_ours(self) -> None:
        if not self.recipe.exists() or (self.root / "ledger.json").exists():
            raise ConfigError(
                f"{self.root} is not the folder of a training run: choose another name"
            )

    def find_checkpoints(self) -> list[Path]:
        """Return whole checkpoints, the newest last."""
        if not self.checkpoints.is_dir():
            return []
        found = [(CHECKPOINT.fullmatch(path.name), path) for path in self.checkpoints.iterdir()]
        return [path for _, path in sorted((int(m[1]), path) for m, path in found if m)]

    def find_newest(self) -> Path | None:
        """Return the newest whole checkpoint."""
        return next(reversed(self.find_checkpoints()), None)

    def keep_checkpoint(self, step: int, n_samples: int, n_kept: int | None) -> None:
        """Give a finished checkpoint its name, and remove the oldest beyond ``n_kept``."""
        target = self.checkpoints / f"samples_{n_samples}"
        remove(target)
        (self.checkpoints / f"checkpoint-{step}").rename(target)
        if n_kept is not None:
            for old in self.find_checkpoints()[:-n_kept]:
                remove(old)

    def remove_halves(self) -> None:
        """Remove what an interrupted save left."""
        for path in self.checkpoints.glob("checkpoint-*"):
            remove(path)
        remove(self.root / "final.tmp")

    def add_metrics(self, line: dict[str, Any]) -> None:
        """Append one line of metrics."""
        self.add_lines(self.metrics, [line])

    @staticmethod
    def add_lines(path: Path, lines: list[dict[str, Any]]) -> None:
        """Append lines of JSON to a file."""
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(dump(line) + "\n" for line in lines))

    def cut_metrics(self, step: int) -> None:
        """Keep metrics and rollouts up to a step: what came after it is trained once more."""
        for path in (self.metrics, self.rollouts):
            if path.exists() or path == self.metrics:
                kept = [line for line in _read_lines(path) if line["step"] <= step]
                self.write(path, "".join(dump(line) + "\n" for line in kept))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return all lines of metrics; one that a kill cut off is left out."""
        return _read_lines(self.metrics)

    def read_manifest(self) -> dict[str, Any]:
        """Return the manifest; empty where there is none yet."""
        if not self.manifest.exists():
            return {}
        known: dict[str, Any] = json.loads(self.manifest.read_text("utf-8"))
        return known

    def update_manifest(self, **values: Any) -> dict[str, Any]:
        """Add values to the manifest."""
        known = self.read_manifest() | values
        self.write(self.manifest, json.dumps(known, indent=1, default=str) + "\n")
        return known

    def write(self, path: Path, text: str) -> None:
        """Write a file by temporary name and rename.

        Raises:
            TrainerError: The disk is full, or the folder cannot be written.
        """
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, "utf-8")
            temporary.replace(path)
        except OSError as error:
            raise TrainerError(f"{path} cannot be written: {error}") from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def _first_difference(known: str, wanted: str) -> str:
    for old, new in zip(known.splitlines(), wanted.splitlines(), strict=False):
        if old != new:
            return f"{old.strip()!r} there, {new.strip()!r} now"
    return "one is longer"


def remove(path: Path) -> None:
    """Remove a file or folder that may not be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def dump(line: dict[str, Any]) -> str:
    """Write a line of JSON; numbers that are none become null."""
    plain = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()
    }
    return json.dumps(plain, default=str)
