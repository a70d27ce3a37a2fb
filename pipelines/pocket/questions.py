"""The pocket questions: three splits in the NuminaMath-CoT columns, and the command that writes
them.

Columns are ``source, problem, solution, messages``; the solution ends in one ``\\boxed{}`` with a
whole number. A problem's split follows from its signature alone (see ``problems``), so no seed and
no count can bring a signature into two splits, and inside a split each signature stands once.

    python -m butwait.pipelines.pocket.questions --out pipelines/pocket/data
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from butwait.pipelines.pocket.problems import Problem, draw_problem

DATA_DIR = Path(__file__).parent / "data"
SPLIT_SIZES = {"train": 400, "validation": 100, "test": 300}
SEED = 0


def write_solution(problem: Problem) -> str:
    """Write the full solution: numbered steps, blank lines between them, the boxed answer."""
    lines = [f"Step {i}: {step.text}" for i, step in enumerate(problem.steps, 1)]
    return "\n\n".join([*lines, f"Answer: \\boxed{{{problem.answer}}}"])


def write_row(problem: Problem) -> dict[str, Any]:
    """Lay a problem out in the NuminaMath-CoT columns."""
    solution = write_solution(problem)
    return {
        "source": f"pocket_{problem.family}",
        "problem": problem.text,
        "solution": solution,
        "messages": [
            {"role": "user", "content": problem.text},
            {"role": "assistant", "content": solution},
        ],
    }


def draw_split(split: str, seed: int) -> Iterator[Problem]:
    """Draw the problems of one split, endlessly, each signature once.

    Args:
        split: ``train``, ``validation`` or ``test``.
        seed: Any integer; each split has its own stream.
    """
    rng = random.Random(f"{seed}/{split}")
    seen: set[str] = set()
    while True:
        problem = draw_problem(rng)
        if problem.split == split and problem.signature not in seen:
            seen.add(problem.signature)
            yield problem


def write_splits(out: Path, seed: int, sizes: dict[str, int]) -> None:
    """Write ``<split>.jsonl`` for each split, UTF-8, one row a line, byte for byte repeatable."""
    out.mkdir(parents=True, exist_ok=True)
    for split, size in sizes.items():
        rows = (write_row(problem) for problem in islice(draw_split(split, seed), size))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{split}.jsonl").write_text(lines, encoding="utf-8", newline="\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the question splits that the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for <split>.jsonl")
    parser.add_argument("--seed", type=int, default=SEED)
    for split, size in SPLIT_SIZES.items():
        parser.add_argument(f"--n-{split}", type=int, default=size, help="questions in the split")
    flags = parser.parse_args(argv)
    sizes = {split: int(getattr(flags, f"n_{split}")) for split in SPLIT_SIZES}
    write_splits(flags.out, flags.seed, sizes)


if __name__ == "__main__":
    main()
