"""The trainability gate: every row rendered and looked at before the model loads.

A template that drops the thought, an end token outside the loss or a row without any loss trains a
model wrongly and says nothing. The gate counts each such row by its reason; any of them stops the
run, unless it is forced. Over-long rows stop it from a share on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from accelerate import PartialState

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_train import SftRecipe, TrainRecipe
from butwait.trainer.examples import IGNORED, ChatEncoder, name_row, read_chat

CHECKS = {
    "not rendered": "it is no chat of roles and texts, or the chat template refuses it, or does "
    "not render it turn by turn",
    "thought lost": "the assistant's text does not stand whole in the rendered chat",
    "no end token": "no end token is in the loss: the model would not learn to stop",
    "fully masked": "no token is in the loss",
    "too long": "more tokens than max_length",
}
"""What is checked of every row, and what it means."""
N_SHOWN = 3
"""Rows that are named for each check."""


class LengthLimits(Protocol):
    """The part of a recipe that over-long rows are judged by."""

    @property
    def max_length(self) -> int:
        """Tokens of a row."""

    @property
    def too_long(self) -> str:
        """What becomes of longer rows."""

    @property
    def max_too_long(self) -> float:
        """Share of over-long rows that is let pass."""


@dataclass
class Finding:
    """What one check found."""

    n_rows: int = 0
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GateReport:
    """What the gate saw.

    ``n_steps`` is the number of optimiser steps that the rows allow.
    """

    n_rows: int
    n_kept: int
    n_tokens: int
    n_loss_tokens: int
    n_straddling: int
    n_steps: int
    findings: dict[str, Finding]
    failures: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values, for the manifest."""
        return {
            "rows": self.n_rows,
            "kept": self.n_kept,
            "tokens": self.n_tokens,
            "loss_tokens": self.n_loss_tokens,
            "straddling_tokens": self.n_straddling,
            "steps": self.n_steps,
            "findings": {name: found.n_rows for name, found in self.findings.items()},
            "failures": list(self.failures),
        }


def encode_rows(
    table: Any, encoder: ChatEncoder, recipe: SftRecipe, cache: Path
) -> tuple[Any, dict[str, Finding], dict[str, int]]:
    """Encode all rows; those that cannot be trained on are left out and counted.

    Args:
        table: ``datasets.Dataset`` of chats.
        encoder: Of the target model.
        recipe: ``max_length`` and ``too_long``.
        cache: Folder for the encoded rows.

    Returns:
        Encoded rows (``input_ids``, ``labels``), findings by check, and token counts.
    """
    encoded = map_rows(table, _encode_one(encoder, recipe), cache)
    findings = count_problems(encoded, CHECKS)
    kept = [i for i, usable in enumerate(encoded["usable"]) if usable]
    rows = encoded.select(kept)
    counts = {
        "tokens": sum(rows["n_tokens"]),
        "loss": sum(rows["n_loss"]),
        "straddling": sum(rows["n_straddling"]),
    }
    return rows.select_columns(["input_ids", "labels", "id"]), findings, counts


def map_rows(
    table: Any,
    encode: Callable[[Mapping[str, Any], int], dict[str, Any]],
    cache: Path,
    features: Any = None,
) -> Any:
    """Encode all rows into a table on disk; their own columns go.

    Args:
        table: ``datasets.Dataset``.
        encode: From a row and its number to the columns of the new one.
        cache: Folder for the encoded rows.
        features: Types of the new columns; without them a column that has an old one's name keeps
            the old one's type.
    """
    cache.mkdir(parents=True, exist_ok=True)
    state = PartialState()
    with state.main_process_first():  # the others read what the first has written
        return table.map(
            encode,
            with_indices=True,
            remove_columns=table.column_names,
            features=features,
            cache_file_name=str(cache / "encoded.arrow"),
            load_from_cache_file=not state.is_main_process,
            desc="Rendering rows",
        )


def count_steps(recipe: TrainRecipe, n_rows: int) -> int:
    """Count the optimiser steps of a run as transformers does: an epoch's last may be smaller."""
    if recipe.max_steps is not None:
        return recipe.max_steps if n_rows else 0
    return math.ceil(recipe.epochs * math.ceil(n_rows / recipe.batch_size))


def check_batch_size(batch_size: int, n: int, what: str) -> None:
    """Refuse a batch that is larger than the dataset.

    Raises:
        ConfigError: With the largest batch that there can be.
    """
    if 0 < n < batch_size:
        raise ConfigError(
            f"batch_size {batch_size} is larger than the dataset: {n} {what} are left to train "
            f"on; set batch_size to at most {n}"
        )


def count_problems(encoded: Any, checks: Mapping[str, str]) -> dict[str, Finding]:
    """Count the problems of encoded rows (``id``, ``problems``) by check."""
    findings = {name: Finding() for name in checks}
    for name, problems in zip(encoded["id"], encoded["problems"], strict=True):
        for problem in problems:
            finding = findings[problem]
            finding.n_rows += 1
            if len(finding.shown) < N_SHOWN:
                finding.shown.append(name)
    return findings


def _encode_one(
    encoder: ChatEncoder, recipe: SftRecipe
) -> Callable[[Mapping[str, Any], int], dict[str, Any]]:
    def encode(row: Mapping[str, Any], number: int) -> dict[str, Any]:
        name = name_row(row, number)
        try:
            example = encoder.encode(read_chat(row, number))
        except ValueError:
            return _describe(name, [], [], ["not rendered"], 0)
        ids, labels = example.input_ids, example.labels
        problems = []
        if not example.has_thought:
            problems.append("thought lost")
        if not example.has_end:
            problems.append("no end token")
        if len(ids) > recipe.max_length:
            problems.append("too long")
            if recipe.too_long == "cut_end":
                ids, labels = ids[: recipe.max_length], labels[: recipe.max_length]
        if all(label == IGNORED for label in labels):
            problems.append("fully masked")
        described = _describe(name, ids, labels, problems, example.n_straddling)
        if "too long" in problems and recipe.too_long == "drop":
            described["usable"] = False
        return described

    return encode


def _describe(
    name: str, ids: list[int], labels: list[int], problems: list[str], n_straddling: int
) -> dict[str, Any]:
    n_loss = sum(label != IGNORED for label in labels)
    return {
        "id": name,
        "input_ids": ids,
        "labels": labels,
        "problems": problems,
        "usable": n_loss > 0,
        "n_tokens": len(ids),
        "n_loss": n_loss,
        "n_straddling": n_straddling,
    }


def judge(
    recipe: LengthLimits,
    n_rows: int,
    n_kept: int,
    findings: dict[str, Finding],
    n_steps: int,
    checks: Mapping[str, str] = CHECKS,
) -> tuple[str, ...]:
    """Say why these rows should not be trained on; nothing where all is well."""
    failures = [
        f"{name}: {finding.n_rows} of {n_rows} rows ({checks[name]}), e.g. {finding.shown[0]}"
        for name, finding in findings.items()
        if finding.n_rows and name != "too long"
    ]
    n_long = findings["too long"].n_rows
    if n_long > recipe.max_too_long * n_rows:
        failures.append(
            f"too long: {n_long} of {n_rows} rows have more than max_length "
            f"{recipe.max_length} tokens (too_long: {recipe.too_long}); at most "
            f"{recipe.max_too_long:.0%} may"
        )
    if n_kept == 0:
        failures.append("no row is left to train on")
    elif n_steps < 1:
        failures.append("not one optimiser step: more epochs, more rows or a smaller batch_size")
    return tuple(failures)


def describe(report: GateReport) -> list[str]:
    """Write the report as lines of a table."""
    lines = [
        f"rows     {report.n_kept} of {report.n_rows} to train on, {report.n_steps} steps",
        f"tokens   {report.n_tokens}, {report.n_loss_tokens} of them in the loss",
    ]
    if report.n_straddling:
        lines.append(f"         {report.n_straddling} lie across the border of a masked span")
    width = max(map(len, report.findings), default=0)
    for name, finding in report.findings.items():
        shown = f"  e.g. {', '.join(finding.shown)}" if finding.shown else ""
        lines.append(f"  {name:<{width}}  {finding.n_rows:>7}{shown}")
    return lines + [f"FAILS    {failure}" for failure in report.failures]


def stop_on_failures(report: GateReport, *, force: bool) -> None:
    """Refuse to train on rows that failed.

    Raises:
        ConfigError: A check failed and the run is not forced, or nothing is left to train on.
    """
    if not report.failures:
        return
    if force and report.n_kept > 0 and report.n_steps > 0:
        return
    way = "" if report.n_kept == 0 or report.n_steps < 1 else "; --force trains on what is left"
    raise ConfigError(
        f"the rows fail {len(report.failures)} of the gate's checks: "
        f"{'; '.join(report.failures)}{way}"
    )
