"""Arms side by side: who is compared with whom, and what may be said of it.

An arm is compared with the base under the arm's own prompt and method (a search without one of the
base's: with the base's samples). What cannot be compared is refused with the reason: an incomplete
arm, other problems, other sampling parameters, another prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from butwait.evals.arm_score import ArmScore, score_arm
from butwait.evals.cells import ArmCells, read_arms
from butwait.evals.paired import Difference, holm, paired_difference, verdict
from butwait.evals.refusals import (
    refuse_incomplete,
    refuse_other_parameters,
    refuse_other_problems,
    refuse_twice,
)
from butwait.evals.selection import BestOfM, best_of_m
from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_cell import PLAIN
from butwait.schemas.eval_run import ArmRecord

_SEED = 0  # of the sign patterns: the same cells print the same p-values


@dataclass(frozen=True)
class Row:
    """One arm of the table, with its difference to the base; None for the base itself."""

    score: ArmScore
    run: str
    """Run folder's name."""
    base: ArmRecord | None
    """Who it is compared with."""
    difference: Difference | None = None
    """Of expected@1."""
    difference_at_k: Difference | None = None
    """Of pass@k; None where either has none."""
    p_holm: float | None = None
    """Of ``difference``, Holm's correction over the arms of its benchmark."""
    is_other_prompt: bool = False
    """Whether the base was asked with another prompt (allowed by request only)."""

    @property
    def finding(self) -> str:
        """``better``, ``worse``, ``no difference shown``; empty for the base."""
        if self.difference is None or self.p_holm is None:
            return ""
        return verdict(self.difference, self.p_holm)


@dataclass(frozen=True)
class Selection:
    """The best of an arm's checkpoints, and what the best of as many would print by chance."""

    benchmark: str
    arm: str
    prompt: str
    method: str
    m: int
    best: str
    score: float
    by_chance: BestOfM
    p_value: float
    """Chance that the best of m runs without any effect prints this or more."""


@dataclass(frozen=True)
class Table:
    """All arms of some runs, benchmark by benchmark."""

    rows: tuple[Row, ...]
    selections: tuple[Selection, ...]


def compare_runs(
    runs: Sequence[Path],
    *,
    base: str | None = None,
    k: int | None = None,
    across_prompts: bool = False,
) -> Table:
    """Compare all arms of some evaluation runs.

    Args:
        runs: Run folders.
        base: Name of the base model; None: the first model of the first run.
        k: Of pass@k; None: 8, or the smallest n.
        across_prompts: Compare arms with a base of another prompt where there is none of their own,
            and mark them.

    Raises:
        ConfigError: Something that cannot be compared, with the reason and the way out.
    """
    found = [(run.name, cells) for run in runs for cells in read_arms(run)]
    refuse_incomplete(found)
    refuse_twice(found)
    name = base if base is not None else next(c.record.model for _, c in found if c.record.is_base)
    if name not in {cells.record.model for _, cells in found}:
        known = ", ".join(dict.fromkeys(cells.record.model for _, cells in found))
        raise ConfigError(f"base {name!r} is in none of the runs; their models are {known}")
    rows: list[Row] = []
    selections: list[Selection] = []
    for benchmark in dict.fromkeys(cells.record.benchmark for _, cells in found):
        members = [(run, cells) for run, cells in found if cells.record.benchmark == benchmark]
        refuse_other_problems(members)
        of_one = _compare(members, name, k, across_prompts)
        rows += of_one
        selections += _select(of_one)
    return Table(tuple(rows), tuple(selections))


def _compare(
    members: list[tuple[str, ArmCells]], base: str, k: int | None, across_prompts: bool
) -> list[Row]:
    scored = [(run, score_arm(cells, k)) for run, cells in members]
    bases = [score for _, score in scored if score.record.model == base]
    rows = [_row(run, score, bases, across_prompts) for run, score in scored]
    compared = [row for row in rows if row.difference is not None]
    adjusted = holm([row.difference.p_value for row in compared if row.difference is not None])
    by_row = {id(row): p for row, p in zip(compared, adjusted, strict=True)}
    return [replace(row, p_holm=by_row.get(id(row))) for row in rows]


def _row(run: str, score: ArmScore, bases: list[ArmScore], across_prompts: bool) -> Row:
    against = _find_base(score, bases, across_prompts)
    if against is None:
        return Row(score, run, None)
    rng = np.random.default_rng(_SEED)
    both = score.passed, against.passed
    at_k = None
    if both[0] is not None and both[1] is not None and score.k == against.k:
        at_k = paired_difference(both[0], both[1], rng)
    return Row(
        score,
        run,
        against.record,
        difference=paired_difference(score.shares, against.shares, rng),
        difference_at_k=at_k,
        is_other_prompt=score.record.prompt != against.record.prompt,
    )


def _find_base(score: ArmScore, bases: list[ArmScore], across_prompts: bool) -> ArmScore | None:
    """Find who an arm is compared with; None where it is the base, or the base was not there.

    Raises:
        ConfigError: There is nobody it may be compared with.
    """
    record = score.record
    if score in bases and record.method == PLAIN:
        return None
    others = [b for b in bases if b is not score]
    same = [b for b in others if across_prompts or b.record.prompt == record.prompt]
    # Its own prompt first, then its own method; a search falls back to the base's samples.
    same.sort(key=lambda b: (b.record.prompt != record.prompt, b.record.method != record.method))
    own = [b for b in same if b.record.method in (record.method, PLAIN)]
    if own:
        if (own[0].record.method, own[0].record.prompt) == (record.method, record.prompt):
            refuse_other_parameters(record, own[0].record)
        return own[0]
    if not bases or score in bases:
        return None  # a benchmark, or a search, that the base has no samples of
    asked = ", ".join(dict.fromkeys(b.record.prompt for b in bases))
    raise ConfigError(
        f"{record.benchmark}: {record.model} was asked with prompt {record.prompt!r}, the base "
        f"{bases[0].record.model} with {asked}; evaluate the base with {record.prompt!r} too, or "
        "give --across-prompts to compare them all the same"
    )


def _select(rows: list[Row]) -> list[Selection]:
    """Find the best among the checkpoints of each arm, where there are several."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        record = row.score.record
        if record.arm != "-" and row.difference is not None:
            groups.setdefault((record.arm, record.prompt, record.method), []).append(row)
    found = []
    for (arm, prompt, method), members in groups.items():
        best = max(members, key=lambda row: row.score.expected_at_1.value)
        rates = _base_rates(best, rows)
        if len(members) < 2 or rates is None:
            continue
        record = best.score.record
        chance = best_of_m(rates, record.n_samples, len(members))
        value = best.score.expected_at_1.value
        found.append(
            Selection(
                benchmark=record.benchmark,
                arm=arm,
                prompt=prompt,
                method=method,
                m=len(members),
                best=record.model if record.checkpoint == "-" else record.checkpoint,
                score=value,
                by_chance=chance,
                p_value=chance.p_value(value),
            )
        )
    return found


def _base_rates(best: Row, rows: list[Row]) -> NDArray[np.float64] | None:
    """The base's rates by problem: what every checkpoint has if none has any effect."""
    return next((row.score.shares for row in rows if row.score.record is best.base), None)
