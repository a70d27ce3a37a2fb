"""The lab's table: every arm's scores, intervals and paired differences to the base.

Scores of an arm with several seeds are means over its seeds, problem by problem; intervals are over
the choice of problems (and, in the differences, the samples), so they hold for these seeds. The
seeds' own scores stand beside them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.lab.arms import ARMS, BASE, Arm
from benchmarks.lab.plan import Lab
from butwait.evals.intervals import logit_interval
from butwait.evals.metrics import problem_scores
from butwait.evals.paired import Difference, holm, paired_difference, verdict
from butwait.evals.score import read_samples
from butwait.evals.statistics import Estimate
from butwait.schemas.recipe_grpo import GrpoRecipe
from butwait.schemas.recipe_train import SftRecipe, TrainRecipe
from butwait.trainer.card import write_card
from butwait.trainer.folder import TrainFolder

_SEED = 0  # of the sign patterns: the same examinations print the same p-values


@dataclass(frozen=True)
class Line:
    """One arm's figures; scores are fractions."""

    arm: Arm
    checkpoint: str
    n_seeds: int
    expected_at_1: Estimate
    pass_at_8: Estimate
    by_seed: tuple[float, ...]
    """expected@1 of each seed."""
    mean_tokens: float
    n_rows: int | None
    """Rows that were trained on (GRPO: questions)."""
    difference: Difference | None
    """expected@1 less the base's; None for the base itself."""
    difference_at_8: Difference | None
    p_holm: float | None = None
    """Of ``difference``, Holm's correction over all arms."""

    @property
    def finding(self) -> str:
        """``better``, ``worse`` or ``no difference shown``; empty for the base."""
        if self.difference is None or self.p_holm is None:
            return ""
        return verdict(self.difference, self.p_holm)


def make_table(lab: Lab) -> list[Line]:
    """Read all examinations and compare each arm with the base."""
    base = [_scores(lab, BASE, seed) for seed in BASE.seeds]
    lines = [_make_line(lab, arm, base) for arm in ARMS]
    compared = [line for line in lines if line.difference is not None]
    adjusted = holm([line.difference.p_value for line in compared if line.difference is not None])
    by_name = {line.arm.name: p for line, p in zip(compared, adjusted, strict=True)}
    return [_with_p(line, by_name.get(line.arm.name)) for line in lines]


def _with_p(line: Line, p_holm: float | None) -> Line:
    return Line(**{**line.__dict__, "p_holm": p_holm})


Scores = tuple[list[str], NDArray[np.float64], NDArray[np.float64], float]


def _scores(lab: Lab, arm: Arm, seed: int) -> Scores:
    """Return problems, share right and pass@8 by problem, and the mean length."""
    samples = read_samples(lab.exam(arm, seed))
    shares = problem_scores(samples.n_correct, samples.n)
    passed = problem_scores(samples.n_correct, samples.n, k=8)
    return samples.problems, shares, passed, samples.mean_tokens


def _make_line(lab: Lab, arm: Arm, base: list[Scores]) -> Line:
    found = [_scores(lab, arm, seed) for seed in arm.seeds]
    problems = base[0][0]
    assert all(scores[0] == problems for scores in found), "other questions"
    share, passed = (np.mean([scores[k] for scores in found], axis=0) for k in (1, 2))
    rng = np.random.default_rng(_SEED)
    differences: list[Difference | None] = [None, None]
    if arm is not BASE:
        against = (np.mean([scores[k] for scores in base], axis=0) for k in (1, 2))
        mine = (share, passed)
        differences = [paired_difference(a, b, rng) for a, b in zip(mine, against, strict=True)]
    checkpoint, n_rows = _describe_model(lab, arm)
    return Line(
        arm=arm,
        checkpoint=checkpoint,
        n_seeds=len(found),
        expected_at_1=logit_interval(share),
        pass_at_8=logit_interval(passed),
        by_seed=tuple(float(scores[1].mean()) for scores in found),
        mean_tokens=float(np.mean([scores[3] for scores in found])),
        n_rows=n_rows,
        difference=differences[0],
        difference_at_8=differences[1],
    )


def _describe_model(lab: Lab, arm: Arm) -> tuple[str, int | None]:
    """Return the checkpoint's name and the rows that it was trained on."""
    if arm.kind == "base":
        return "-", None
    folder = lab.model(arm, arm.seeds[0]).parent
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return f"samples_{manifest['samples']}", manifest["gate"]["kept"]


def compare_with_start(lab: Lab, best: str) -> Difference:
    """Return what GRPO added to the supervised arm that it went on from."""
    arms = {arm.name: arm for arm in ARMS}
    after, before = arms["grpo-best"], arms[best]
    shares = [
        np.mean([_scores(lab, arm, seed)[1] for seed in arm.seeds], axis=0)
        for arm in (after, before)
    ]
    return paired_difference(shares[0], shares[1], np.random.default_rng(_SEED))


def to_records(lines: list[Line]) -> list[dict[str, Any]]:
    """Return the table as records; scores are fractions."""
    return [
        {
            "arm": line.arm.name,
            "model": "pocket policy",
            "dataset": line.arm.dataset,
            "checkpoint": line.checkpoint,
            "seeds": line.n_seeds,
            "rows": line.n_rows,
            "expected_at_1": asdict(line.expected_at_1),
            "pass_at_8": asdict(line.pass_at_8),
            "expected_at_1_by_seed": line.by_seed,
            "mean_tokens": line.mean_tokens,
            "difference_to_base": asdict(line.difference) if line.difference else None,
            "difference_to_base_at_8": asdict(line.difference_at_8)
            if line.difference_at_8
            else None,
            "p_holm": line.p_holm,
            "finding": line.finding,
            "note": line.arm.note,
        }
        for line in lines
    ]


def to_markdown(lines: list[Line], best: str) -> str:
    """Return the table in the original's shape, with intervals and differences."""
    rows = [
        "| model | dataset | checkpoint | expected@1 | pass@8 | less base, @1 | Holm p | | seeds "
        "| less base, @8 | tokens | rows | note |",
        "|" + " --- |" * 13,
    ]
    for line in lines:
        seeds = ", ".join(f"{100 * value:.1f}" for value in line.by_seed)
        note = line.arm.note + (f" ({best})" if line.arm.start == "best" else "")
        p = (
            ""
            if line.p_holm is None
            else f"{line.p_holm:.3f}"
            if line.p_holm >= 1e-3
            else "< 0.001"
        )
        cells = [
            "pocket", line.arm.dataset, line.checkpoint, line.expected_at_1, line.pass_at_8,
            line.difference or "", p, line.finding, seeds, line.difference_at_8 or "",
            f"{line.mean_tokens:.0f}", line.n_rows or "", note,
        ]  # fmt: skip
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows)


def write_evaluations(lab: Lab, lines: list[Line]) -> None:
    """Put each arm's figures beside its models, and into their cards."""
    for line in lines:
        if line.arm.kind == "base":
            continue
        named = {"expected@1, 300 pocket questions x 8, %": line.expected_at_1,
                 "pass@8, the same, %": line.pass_at_8}  # fmt: skip
        records = [
            {"name": name, **{k: round(100 * v, 1) for k, v in asdict(estimate).items()}}
            for name, estimate in named.items()
        ]
        for seed in line.arm.seeds:
            folder: Path = lab.model(line.arm, seed).parent
            (folder / "evaluation.json").write_text(json.dumps(records, indent=1), "utf-8")
            _write_card(TrainFolder(folder), SftRecipe if line.arm.kind == "sft" else GrpoRecipe)


def _write_card(folder: TrainFolder, kind: type[TrainRecipe]) -> None:
    recipe = kind.model_validate(yaml.safe_load(folder.recipe.read_text("utf-8")))
    write_card(folder, recipe, json.loads(folder.manifest.read_text("utf-8")))
