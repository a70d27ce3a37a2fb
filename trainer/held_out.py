"""What a process reward model is worth on questions that it was not trained on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from butwait.trainer.ranking import Judged, bootstrap_mean, rank_pairs, rank_within
from butwait.trainer.step_examples import Solution, StepEncoder

Score = Callable[[Sequence[Sequence[int]]], list[list[float]]]
"""From token ids of texts to a score at each of their step tokens."""
TITLES = {
    "ranking": "right over wrong solutions of one question, a token after each step",
    "ranking_joined": "the same, each solution as one step",
    "ranking_steps": "right over wrong steps of one question, equally many steps in",
    "step_accuracy": "steps on the right side of 0.5, mean over questions",
}
"""The numbers, in per cent, and what they mean."""


def measure_held_out(
    score: Score, encoder: StepEncoder, solutions: Sequence[Solution], max_length: int
) -> dict[str, Any]:
    """Score solutions and their steps; equal texts of a question count once.

    Args:
        score: The model.
        encoder: Its tokenizer.
        solutions: Rows of held-out questions; a label of 0.5 or more is "right".
        max_length: Longer ones are left out.

    Returns:
        For each of ``TITLES`` mean, interval and number of questions (``n_groups``), and
        ``n_solutions``, ``n_questions``.
    """
    solutions = _drop_repeats(solutions)
    tagged = [encoder.encode(s.problem, s.steps) for s in solutions]
    joined = [encoder.encode(s.problem, [s.separator.join(s.steps)]) for s in solutions]
    kept = [
        i
        for i, (one, other) in enumerate(zip(tagged, joined, strict=True))
        if max(len(one), len(other)) <= max_length
        and encoder.count_steps(one) == len(solutions[i].steps)
    ]
    solutions = [solutions[i] for i in kept]
    by_step = score([tagged[i] for i in kept])
    whole = score([joined[i] for i in kept])
    ends = [scores[-1:] for scores in by_step]
    return {
        "n_questions": len({s.question_id for s in solutions}),
        "n_solutions": len(solutions),
        "ranking": rank_within(_group_ends(solutions, ends)),
        "ranking_joined": rank_within(_group_ends(solutions, whole)),
        **_measure_steps(solutions, by_step),
    }


def _drop_repeats(solutions: Sequence[Solution]) -> list[Solution]:
    return list({(s.question_id, s.steps): s for s in solutions}.values())


def _group_ends(
    solutions: Sequence[Solution], ends: Sequence[Sequence[float]]
) -> list[list[Judged]]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for solution, (score,) in zip(solutions, ends, strict=True):
        label = solution.labels[-1]
        if label is not None:
            groups[solution.question_id].append((label >= 0.5, score))
    return list(groups.values())


def _measure_steps(
    solutions: Sequence[Solution], by_step: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Judge each distinct beginning once."""
    beginnings: dict[tuple[str, tuple[str, ...]], Judged] = {}
    for solution, scores in zip(solutions, by_step, strict=True):
        for n, (label, score) in enumerate(zip(solution.labels, scores, strict=True), 1):
            if label is not None:
                key = solution.question_id, solution.steps[:n]
                beginnings[key] = label >= 0.5, score
    alike: dict[tuple[str, int], list[Judged]] = defaultdict(list)
    right: dict[str, list[float]] = defaultdict(list)
    for (question, steps), (label, score) in beginnings.items():
        alike[question, len(steps)].append((label, score))
        right[question].append(float(label == (score > 0.5)))
    ranked: dict[str, list[float]] = defaultdict(list)
    for (question, _), group in alike.items():
        if (share := rank_pairs(group)) is not None:
            ranked[question].append(share)
    return {"ranking_steps": _average(ranked), "step_accuracy": _average(right)}


def _average(shares: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Average each question's shares, then over questions."""
    means = [math.fsum(own) / len(own) for own in shares.values()]
    return {**bootstrap_mean(means), "n_groups": len(means)} if means else {"n_groups": 0}


def list_evaluation(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """List the numbers as the model card shows them."""
    return [
        {
            "name": f"held-out: {title} (%, {found['n_groups']} questions)",
            "value": found["mean"],
            "low": found["low"],
            "high": found["high"],
        }
        for name, title in TITLES.items()
        if (found := measured[name])["n_groups"]
    ]


def describe_held_out(measured: dict[str, Any]) -> list[str]:
    """Write the numbers as lines for people."""
    n = measured["n_questions"]
    if not n:
        return ["held out  no question: nothing is said about how well it ranks"]
    lines = [f"held out  {measured['n_solutions']} solutions of {n} questions"]
    for name in TITLES:
        found = measured[name]
        shown = "no question has both right and wrong ones"
        if found["n_groups"]:
            shown = f"{found['mean']} % [{found['low']}, {found['high']}] ({found['n_groups']})"
        lines.append(f"  {name:<15} {shown}")
    return lines
