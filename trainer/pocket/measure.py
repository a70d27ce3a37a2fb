"""Measure a pocket checkpoint on questions it has not seen: expected@1, pass@n, majority@n, greedy.

An answer counts when the integer in the last ``\\boxed{}`` is the gold one as a string; pocket
answers need no more. Intervals are 95 % bootstrap intervals over the questions (they cover the
choice of questions, not the training seed).

    python -m butwait.trainer.pocket.measure trainer/pocket/checkpoints/policy \\
        --questions pipelines/pocket/data/test.jsonl
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.examples import render_prompt
from butwait.trainer.pocket.model import load_checkpoint, update_record
from butwait.trainer.pocket.sample import sample_texts
from butwait.trainer.pocket.tokens import SYSTEM
from butwait.trainer.ranking import bootstrap_mean

MAX_TOKENS = 160
_BOXED = re.compile(r"\\boxed\{(\d{1,9})\}")
NO_ANSWER = ""


def read_boxed(text: str) -> str:
    """Read the integer in the last box; ``NO_ANSWER`` when there is none."""
    found = _BOXED.findall(text)
    return found[-1] if found else NO_ANSWER


def read_questions(path: Path) -> list[tuple[str, str]]:
    """Read (problem, gold answer) pairs from rows in the NuminaMath-CoT columns."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [(row["problem"], read_boxed(row["solution"])) for row in rows]


def sample_questions(
    model: Any,
    tokenizer: Any,
    problems: Sequence[str],
    n: int,
    temperature: float,
    seed: int,
    system: str | None = SYSTEM,
) -> list[list[str]]:
    """Sample ``n`` solutions of every problem; one list of texts a problem."""
    prompts = [render_prompt(tokenizer, problem, system) for problem in problems for _ in range(n)]
    texts = sample_texts(model, tokenizer, prompts, temperature, MAX_TOKENS, seed)
    return [texts[i : i + n] for i in range(0, len(texts), n)]


def score_samples(texts: Sequence[Sequence[str]], golds: Sequence[str]) -> dict[str, Any]:
    """Score samples grouped by question.

    Returns:
        ``expected@1``, ``pass@n`` and ``majority@n`` in per cent with intervals.
    """
    answers = [[read_boxed(text) for text in group] for group in texts]
    right = [[a == gold for a in group] for group, gold in zip(answers, golds, strict=True)]
    votes = [Counter(a for a in group if a != NO_ANSWER).most_common(1) for group in answers]
    majority = [bool(v) and v[0][0] == gold for v, gold in zip(votes, golds, strict=True)]
    n = len(texts[0])
    return {
        "expected@1": bootstrap_mean([sum(group) / n for group in right]),
        f"pass@{n}": bootstrap_mean([float(any(group)) for group in right]),
        f"majority@{n}": bootstrap_mean([float(won) for won in majority]),
    }


def measure_checkpoint(folder: Path, questions: Path, n: int, temperature: float) -> dict[str, Any]:
    """Measure samples and the greedy solution under the model's own system line."""
    import torch

    torch.set_num_threads(1)
    start_s = time.process_time()
    model, tokenizer = load_checkpoint(folder)
    pairs = read_questions(questions)
    problems, golds = [p for p, _ in pairs], [g for _, g in pairs]
    sampled = sample_questions(model, tokenizer, problems, n, temperature, seed=0)
    greedy = sample_questions(model, tokenizer, problems, 1, 0.0, seed=0)
    return {
        "questions": questions.name,
        "n_questions": len(problems),
        "n": n,
        "temperature": temperature,
        "system": SYSTEM,
        **score_samples(sampled, golds),
        "greedy": score_samples(greedy, golds)["expected@1"],
        "cpu_s": round(time.process_time() - start_s, 1),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one checkpoint, print the numbers and write them into its record."""
    parser = argparse.ArgumentParser(description="Measure a pocket checkpoint.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--questions", type=Path, required=True, help="JSON Lines of a split")
    parser.add_argument("--n", type=int, default=8, help="samples a question")
    parser.add_argument("--temperature", type=float, default=0.8)
    flags = parser.parse_args(argv)
    measured = measure_checkpoint(flags.checkpoint, flags.questions, flags.n, flags.temperature)
    update_record(flags.checkpoint, {"measured": measured})
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
