"""The words of the tables: every figure says what it is and over how many samples."""

from __future__ import annotations

from butwait.evals.arm_score import ArmScore
from butwait.evals.compare import Row, Selection
from butwait.evals.statistics import Estimate


def name_row(row: Row) -> str:
    """Name an arm in one line."""
    record = row.score.record
    parts = [record.model]
    if record.arm != "-":
        parts.append(record.arm)
    if record.checkpoint != "-":
        parts.append(record.checkpoint)
    if row.score.is_search:
        parts.append(record.method)
    return ", ".join(parts)


def name_main(score: ArmScore) -> str:
    """Name what the first score is."""
    n = score.record.n_samples
    if score.is_search:
        repeats = "" if n == 1 else f", mean of {n} searches"
        return f"chosen answer right ({score.record.method}{repeats})"
    return f"expected@1 (mean of n={n})" if n > 1 else "accuracy (one sample, n=1)"


def describe_score(score: ArmScore) -> list[str]:
    """Describe one arm's figures, a line each; what is undefined says so."""
    record = score.record
    lines = [
        f"{record.model} on {record.benchmark}, prompt {record.prompt}: "
        f"{record.n_problems} problems x {record.n_samples}",
        _line(name_main(score), score.expected_at_1, f"{score.n_correct}/{score.n_cells}"),
    ]
    if score.standard_error is not None:
        low, high = 100 * score.bootstrap.low, 100 * score.bootstrap.high
        lines.append(
            f"    clustered standard error {100 * score.standard_error:.1f}, two-level bootstrap "
            f"[{low:.1f}, {high:.1f}]"
        )
    solved = f"{score.n_solved}/{record.n_problems}" if score.k == record.n_samples else ""
    if score.pass_at_k is not None:
        lines.append(_line(f"pass@{score.k} (unbiased)", score.pass_at_k, solved))
    elif not score.is_search:
        lines.append("pass@k: undefined, one sample a problem")
    for name, found in (
        (f"maj@{score.k} (votes merged by equivalence)", score.maj_at_k),
        (f"best@{score.k} by PRM", score.best_at_k),
        ("any solution right", score.any_right),
        (
            f"{name_main(score).partition(' (')[0]} without {score.n_touched} seen in training",
            score.untouched,
        ),
    ):
        if found is not None:
            lines.append(_line(name, found))
    return [*lines, *_describe_training(score), *_describe_cells(score), *_describe_texts(score)]


def _describe_training(score: ArmScore) -> list[str]:
    """Say what is known of problems seen in training, where no score without them says it."""
    if not score.checked_against:
        return ["  seen in training: not searched for (the recipe's models name no trained_on)"]
    searched = ", ".join(score.checked_against)
    if score.untouched is None:
        k = score.record.n_problems
        what = f"all {k} problems" if score.n_touched else "none"
        return [f"  seen in training: {what} found in {searched}"]
    return [f"  seen in training: {score.n_touched} problems found in {searched}"]


def _line(name: str, found: Estimate, counts: str = "") -> str:
    return f"  {name:<44} {found} %" + (f"  ({counts})" if counts else "")


def _describe_cells(score: ArmScore) -> list[str]:
    shown = ", ".join(f"{count} {name}" for name, count in score.outcomes.items() if count)
    lines = [f"  cells: {shown}"]
    done = score.flattered
    if done is not None:
        lines.append(
            f"  completed only: {100 * done.value:.1f} % over {done.n_cells} of {score.n_cells} "
            f"cells, {done.n_problems} of {score.record.n_problems} problems; the strict score "
            "counts the others as wrong"
        )
    if score.n_missing:
        lines.append(
            f"  INCOMPLETE: {score.n_missing} cells are missing; not to be compared; the same "
            "command asks for them"
        )
    if score.is_silent:
        lines.append("  THE MODEL RETURNED NOTHING: all texts are empty; not to be compared")
    return lines


def _describe_texts(score: ArmScore) -> list[str]:
    found = score.behaviour
    if found.mean_tokens is None:
        return []
    spent = ""
    if found.mean_spent is not None and found.mean_spent != found.mean_tokens:
        spent = f", {found.mean_spent:.0f} spent"
    lines = [
        f"  texts: {found.mean_tokens:.0f} tokens{spent}, "
        f"{100 * (found.truncated or 0):.1f} % truncated, "
        f"{found.transitions:.2f} transitions and {found.backtracks:.2f} backtracks each"
    ]
    if sum(found.flows.values()):
        shown = ", ".join(f"{n} {k.replace('_', '→')}" for k, n in found.flows.items())
        lines.append(f"  first answer before a transition → final answer: {shown}")
    return lines


def describe_selection(found: Selection) -> str:
    """Say what a best checkpoint is worth."""
    chance = found.by_chance
    return (
        f"{found.benchmark}: the best of {found.m} checkpoints of {found.arm} is {found.best} with "
        f"{100 * found.score:.1f}; without any effect the best of {found.m} prints "
        f"{100 * chance.mean:.1f} [{100 * chance.low:.1f}, {100 * chance.high:.1f}], and this or "
        f"more with a chance of {found.p_value:.2f}"
    )
