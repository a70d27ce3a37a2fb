"""What the process reward model learns from: the policy's own solutions of many problems.

Every problem gets one of the usual system lines and a few samples; most at the temperature that a
search uses, the rest hotter, for errors that are rarer. The reference solution goes along, because
the labels follow from it.

    python -m butwait.trainer.pocket.prm.samples trainer/pocket/checkpoints/policy \\
        --questions build/pocket/prm/train.jsonl --out build/pocket/prm/samples.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.examples import render_prompt
from butwait.trainer.pocket.measure import MAX_TOKENS
from butwait.trainer.pocket.model import load_checkpoint
from butwait.trainer.pocket.sample import sample_texts
from butwait.trainer.pocket.tokens import SYSTEM

QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
SYSTEM_SHARES: dict[str | None, float] = {QWEN_SYSTEM: 0.4, SYSTEM: 0.35, None: 0.25}
TEMPERATURES = (0.8, 0.8, 0.8, 1.0)  # one sample a problem each
BLOCK_PROBLEMS = 2_000


def sample_block(
    model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], seed: int
) -> list[dict[str, Any]]:
    """Sample every problem once for each of ``TEMPERATURES``.

    Args:
        rows: Questions in the NuminaMath-CoT columns.
        seed: Seeds the system lines and all draws.

    Returns:
        Records with ``system`` (a line or null), ``problem``, ``solution`` (the reference) and
        ``texts`` (the samples).
    """
    rng = random.Random(seed)
    systems = rng.choices(list(SYSTEM_SHARES), list(SYSTEM_SHARES.values()), k=len(rows))
    prompts = [
        render_prompt(tokenizer, row["problem"], system)
        for row, system in zip(rows, systems, strict=True)
    ]
    columns = []
    for temperature in sorted(set(TEMPERATURES)):
        n = TEMPERATURES.count(temperature)
        repeated = [prompt for prompt in prompts for _ in range(n)]
        texts = sample_texts(model, tokenizer, repeated, temperature, MAX_TOKENS, seed)
        columns.append([texts[i : i + n] for i in range(0, len(texts), n)])
    return [
        {"system": system, "problem": row["problem"], "solution": row["solution"], "texts": texts}
        for row, system, *groups in zip(rows, systems, *columns, strict=True)
        for texts in [[text for group in groups for text in group]]
    ]


def write_samples(checkpoint: Path, questions: Path, out: Path, seed: int) -> None:
    """Sample all questions of a file, block by block, into a JSON Lines file."""
    import torch

    torch.set_num_threads(1)
    model, tokenizer = load_checkpoint(checkpoint)
    out.parent.mkdir(parents=True, exist_ok=True)
    with questions.open(encoding="utf-8") as lines, out.open("w", encoding="utf-8") as file:
        block = 0
        while rows := [json.loads(line) for line in islice(lines, BLOCK_PROBLEMS)]:
            for record in sample_block(model, tokenizer, rows, 1_000 * seed + block):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            block += 1
            print(f"{block * BLOCK_PROBLEMS} problems sampled", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Sample the questions that the command line names."""
    parser = argparse.ArgumentParser(description="Sample solutions to train a reward model on.")
    parser.add_argument("checkpoint", type=Path, help="the policy that is going to be scored")
    parser.add_argument("--questions", type=Path, required=True, help="JSON Lines of questions")
    parser.add_argument("--out", type=Path, required=True, help="JSON Lines file to write")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args(argv)
    write_samples(flags.checkpoint, flags.questions, flags.out, flags.seed)


if __name__ == "__main__":
    main()
