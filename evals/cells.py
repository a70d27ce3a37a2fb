"""The stored cells of an evaluation, as arrays of K problems by n samples.

Reads parquet files and the manifest: no model, no verifier. What the manifest asks for and no file
holds is missing, whatever the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_run import ArmRecord, BenchmarkRecord, EvalManifest


class Outcome(IntEnum):
    """What became of one cell; all but ``CORRECT`` count as wrong."""

    MISSING = 0
    """No cell: not sampled yet, or the server failed."""
    ERRORED = 1
    """The request was refused for its own sake (the prompt does not fit)."""
    TRUNCATED = 2
    UNGRADABLE = 3
    """The gold answer cannot be read, or the verifier timed out or failed."""
    WRONG = 4
    """Incorrect, no answer, or several answers."""
    CORRECT = 5


_BY_VERDICT = {
    "correct": Outcome.CORRECT,
    "truncated": Outcome.TRUNCATED,
    "gold_unusable": Outcome.UNGRADABLE,
    "timeout": Outcome.UNGRADABLE,
    "error": Outcome.UNGRADABLE,
}
_COLUMNS = [
    "problem_id", "sample_index", "prompt", "method", "parameters", "verdict", "failure",
    "answer_class", "prm_score", "n_tokens", "n_spent", "n_transitions", "n_backtracks",
    "first_verdict", "any_right",
]  # fmt: skip
NO_CLASS = -1


@dataclass(frozen=True)
class ArmCells:
    """One arm's cells; every array has the shape (K, n)."""

    record: ArmRecord
    benchmark: BenchmarkRecord
    problems: tuple[str, ...]
    """K ids, in the benchmark's order."""
    outcomes: NDArray[np.int8]
    """`Outcome` of each cell."""
    classes: NDArray[np.int32]
    """Class of equal answers within the problem; -1 for no answer."""
    prm: NDArray[np.float64]
    """Reward of each text, NaN where it was not scored."""
    n_tokens: NDArray[np.int64]
    n_spent: NDArray[np.int64]
    n_transitions: NDArray[np.int64]
    n_backtracks: NDArray[np.int64]
    first: NDArray[np.int8]
    """Whether the text was right before its first transition: 1, 0, or -1 for not told."""
    any_right: NDArray[np.int8]
    """Whether a search holds a right solution: 1, 0, or -1 for samples."""

    @property
    def n_missing(self) -> int:
        """Cells that do not exist."""
        return int((self.outcomes == Outcome.MISSING).sum())

    @property
    def is_silent(self) -> bool:
        """Whether the model returned nothing at all: no text has more than its end token."""
        exists = self.outcomes > Outcome.ERRORED
        is_short = bool(exists.any()) and int(self.n_tokens[exists].max()) <= 1
        return is_short and not bool((self.outcomes == Outcome.CORRECT).any())

    @property
    def touched(self) -> NDArray[np.bool_]:
        """Problems that were found among training questions, shape (K,)."""
        return np.array([problem in self.benchmark.touched for problem in self.problems])


def read_manifest(run: Path) -> EvalManifest:
    """Read the manifest of an evaluation run.

    Raises:
        ConfigError: The folder is no evaluation run.
    """
    path = run / "manifest.json"
    try:
        return EvalManifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{run} is no evaluation run: it has no manifest.json; make one with "
            "`butwait eval RECIPE`"
        ) from error
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(
            f"{run} is no evaluation run: its manifest is of another kind (a build's scores are "
            "printed by `butwait score`)"
        ) from error


def is_evaluation(run: Path) -> bool:
    """Whether a folder is an evaluation run."""
    try:
        read_manifest(run)
    except ConfigError:
        return False
    return True


def read_arms(run: Path) -> list[ArmCells]:
    """Read all arms of an evaluation run.

    Raises:
        ConfigError: No evaluation run, or cells that do not belong together.
    """
    manifest = read_manifest(run)
    benchmarks = {benchmark.name: benchmark for benchmark in manifest.benchmarks}
    problems = {name: _read_ids(run / b.file) for name, b in benchmarks.items()}
    return [
        read_arm(run, arm, benchmarks[arm.benchmark], problems[arm.benchmark])
        for arm in manifest.arms
    ]


def read_arm(
    run: Path, record: ArmRecord, benchmark: BenchmarkRecord, problems: tuple[str, ...]
) -> ArmCells:
    """Read one arm.

    Raises:
        ConfigError: A cell stands twice, is of no known problem, or of another prompt or method.
    """
    if len(problems) != record.n_problems:
        raise ConfigError(
            f"{run / benchmark.file} holds {len(problems)} problems, the manifest says "
            f"{record.n_problems}: the score would have another denominator"
        )
    cells = _empty(record, benchmark, problems)
    path = run / record.file
    if path.is_file():
        places = {problem: place for place, problem in enumerate(problems)}
        for row in pq.read_table(path, columns=_COLUMNS).to_pylist():
            _put(cells, places, row, path)
    return cells


def _read_ids(path: Path) -> tuple[str, ...]:
    try:
        table = pq.read_table(path, columns=["id"])
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return tuple(str(i) for i in table["id"].to_pylist())


def _empty(record: ArmRecord, benchmark: BenchmarkRecord, problems: tuple[str, ...]) -> ArmCells:
    shape = (record.n_problems, record.n_samples)
    return ArmCells(
        record=record,
        benchmark=benchmark,
        problems=problems,
        outcomes=np.full(shape, Outcome.MISSING, dtype=np.int8),
        classes=np.full(shape, NO_CLASS, dtype=np.int32),
        prm=np.full(shape, np.nan),
        n_tokens=np.zeros(shape, dtype=np.int64),
        n_spent=np.zeros(shape, dtype=np.int64),
        n_transitions=np.zeros(shape, dtype=np.int64),
        n_backtracks=np.zeros(shape, dtype=np.int64),
        first=np.full(shape, -1, dtype=np.int8),
        any_right=np.full(shape, -1, dtype=np.int8),
    )


def _put(cells: ArmCells, places: dict[str, int], row: dict[str, Any], path: Path) -> None:
    """Put one row in its place.

    Raises:
        ConfigError: It has none, or somebody is there.
    """
    record = cells.record
    for name in ("prompt", "method", "parameters"):
        if row[name] != getattr(record, name):
            raise ConfigError(
                f"{path} mixes rows of {name} {row[name]!r} and {getattr(record, name)!r}: scores "
                "over both mean nothing; run the evaluation again"
            )
    at = places.get(row["problem_id"], -1), int(row["sample_index"])
    if at[0] < 0 or not 0 <= at[1] < record.n_samples:
        raise ConfigError(
            f"{path}: sample {at[1]} of problem {row['problem_id']} is not among the "
            f"{record.n_problems} x {record.n_samples} cells of the manifest"
        )
    if cells.outcomes[at] != Outcome.MISSING:
        raise ConfigError(f"{path}: sample {at[1]} of {row['problem_id']} stands twice")
    failed = row["failure"] is not None
    verdict = _BY_VERDICT.get(row["verdict"], Outcome.WRONG)
    cells.outcomes[at] = Outcome.ERRORED if failed else verdict
    cells.classes[at] = NO_CLASS if row["answer_class"] is None else row["answer_class"]
    cells.prm[at] = np.nan if row["prm_score"] is None else row["prm_score"]
    for name in ("n_tokens", "n_spent", "n_transitions", "n_backtracks"):
        getattr(cells, name)[at] = row[name]
    if row["first_verdict"] is not None:
        cells.first[at] = row["first_verdict"] == "correct"
    if row["any_right"] is not None:
        cells.any_right[at] = row["any_right"]
