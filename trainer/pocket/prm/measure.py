"""Measure a process reward model where it counts: right over wrong *inside one problem*.

A model that only knows which problems are hard looks good across problems and is useless to a
search. So the first number is P(score(right) > score(wrong)) over pairs of samples of the same
problem (ties count half), averaged over problems, with a 95 % bootstrap interval over problems.
It is given for all samples and for those in the full step-by-step manner, because shortcuts are
easy to tell; then for begun solutions: accuracy and AUC over steps, and whether right beginnings
rank above wrong ones of equally many steps.

    python -m butwait.trainer.pocket.prm.measure trainer/pocket/checkpoints/prm \\
        --policy trainer/pocket/checkpoints/policy --questions pipelines/pocket/data/test.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.measure import read_boxed, sample_questions
from butwait.trainer.pocket.model import load_checkpoint, update_record
from butwait.trainer.pocket.prm.labels import GAP, is_full_manner, label_paragraphs
from butwait.trainer.pocket.prm.model import load_prm, render_scored, score_texts
from butwait.trainer.pocket.prm.samples import QWEN_SYSTEM
from butwait.trainer.pocket.tokens import SYSTEM
from butwait.trainer.ranking import Judged, bootstrap_mean, rank_pairs, rank_within


@dataclass(frozen=True)
class Sampled:
    """A problem, its reference solution and samples of it."""

    problem: str
    reference: str
    texts: list[str]

    @property
    def right(self) -> list[bool]:
        """Of each sample, whether its box holds the reference's answer."""
        return [read_boxed(text) == read_boxed(self.reference) for text in self.texts]

    @property
    def full(self) -> list[bool]:
        """Of each sample, whether it writes all steps."""
        return [is_full_manner(text, self.reference) for text in self.texts]


def sample_solutions(
    policy: Path, questions: Path, n: int, temperature: float, seed: int
) -> list[Sampled]:
    """Sample ``n`` solutions of every question under the pocket's own system line."""
    model, tokenizer = load_checkpoint(policy)
    rows = [json.loads(line) for line in questions.read_text("utf-8").splitlines()]
    problems = [row["problem"] for row in rows]
    groups = sample_questions(model, tokenizer, problems, n, temperature, seed)
    return [
        Sampled(row["problem"], row["solution"], texts)
        for row, texts in zip(rows, groups, strict=True)
    ]


def score_solutions(
    prm: Any, tokenizer: Any, samples: Sequence[Sampled], system: str | None, tagged: bool
) -> list[list[list[float]]]:
    """Score every sample; tagged at every paragraph, or whole with one tag at its end."""
    texts = [
        render_scored(
            tokenizer, s.problem, [p for p in t.split(GAP) if p] if tagged else [t], system
        )
        for s in samples
        for t in s.texts
    ]
    scores = iter(score_texts(prm, tokenizer, texts))
    return [[next(scores) for _ in s.texts] for s in samples]


def _rank_whole(
    samples: Sequence[Sampled], scored: Sequence[Sequence[Sequence[float]]], full_only: bool
) -> dict[str, float]:
    groups = [
        [
            (right, steps[-1])
            for right, full, steps in zip(s.right, s.full, group, strict=True)
            if full or not full_only
        ]
        for s, group in zip(samples, scored, strict=True)
    ]
    return rank_within(groups)


def measure_prefixes(prm: Any, tokenizer: Any, samples: Sequence[Sampled]) -> dict[str, Any]:
    """Score each distinct beginning (all paragraphs up to some step) as one step.

    Returns:
        ``step_accuracy`` at 0.5 and ``auc`` in per cent over all beginnings, and ``ranking``
        among the beginnings of one problem that hold equally many paragraphs.
    """
    keyed: dict[tuple[int, int, str], bool] = {}
    for i, s in enumerate(samples):
        for text in s.texts:
            paragraphs = [p for p in text.split(GAP) if p]
            for n, label in enumerate(label_paragraphs(text, s.reference), 1):
                keyed.setdefault((i, n, GAP.join(paragraphs[:n])), label)
    texts = [render_scored(tokenizer, samples[i].problem, [t], SYSTEM) for i, _, t in keyed]
    scores = [steps[-1] for steps in score_texts(prm, tokenizer, texts)]
    judged = list(zip(keyed.values(), scores, strict=True))
    groups: dict[tuple[int, int], list[Judged]] = defaultdict(list)
    for (i, n, _), one in zip(keyed, judged, strict=True):
        groups[i, n].append(one)
    accuracy = sum(label == (score > 0.5) for label, score in judged) / len(judged)
    return {
        "n_prefixes": len(judged),
        "share_right": round(100 * sum(keyed.values()) / len(judged), 1),
        "step_accuracy": round(100 * accuracy, 1),
        "auc": round(100 * (rank_pairs(judged) or 0.0), 1),
        "ranking": rank_within(groups.values()),
    }


def measure_prm(folder: Path, policy: Path, questions: Path, n: int, temperature: float) -> Any:
    """Measure a reward model on fresh samples of held-out questions."""
    import torch

    torch.set_num_threads(1)
    start_s = time.process_time()
    prm, tokenizer = load_prm(folder)
    samples = sample_solutions(policy, questions, n, temperature, seed=0)
    whole, tagged, other = (
        score_solutions(prm, tokenizer, samples, system, tagged)
        for system, tagged in ((SYSTEM, False), (SYSTEM, True), (QWEN_SYSTEM, False))
    )
    best = [
        float(max(zip(group, s.right, strict=True), key=lambda one: one[0][-1])[1])
        for s, group in zip(samples, whole, strict=True)
    ]
    return {
        "questions": questions.name,
        "n_questions": len(samples),
        "n": n,
        "temperature": temperature,
        "system": SYSTEM,
        "ranking": _rank_whole(samples, whole, full_only=False),
        "ranking_full_manner": _rank_whole(samples, whole, full_only=True),
        "ranking_tagged": _rank_whole(samples, tagged, full_only=False),
        "ranking_qwen_system": _rank_whole(samples, other, full_only=False),
        "prefixes": measure_prefixes(prm, tokenizer, samples),
        "expected@1": bootstrap_mean([sum(s.right) / n for s in samples]),
        f"best_of_{n}": bootstrap_mean(best),
        f"pass@{n}": bootstrap_mean([float(any(s.right)) for s in samples]),
        "cpu_s": round(time.process_time() - start_s, 1),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one reward model, print the numbers and write them into its record."""
    parser = argparse.ArgumentParser(description="Measure a pocket process reward model.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--policy", type=Path, required=True, help="checkpoint to sample from")
    parser.add_argument("--questions", type=Path, required=True, help="JSON Lines of a split")
    parser.add_argument("--n", type=int, default=16, help="samples a question")
    parser.add_argument("--temperature", type=float, default=0.8)
    flags = parser.parse_args(argv)
    measured = measure_prm(
        flags.checkpoint, flags.policy, flags.questions, flags.n, flags.temperature
    )
    update_record(flags.checkpoint, {"measured": measured})
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
