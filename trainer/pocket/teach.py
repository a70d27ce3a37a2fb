"""A short fine-tuning that must make the policy doubt aloud: the check before a checkpoint ships.

The policy's own samples on training questions become traces: a wrong attempt, "Hold on! I made a
mistake. Let me try again." and a right attempt, or a right attempt cut before its answer, "But
wait, let me check." and the right attempt again. A small supervised run follows, wrong attempts
outside the loss. Then the held-out questions tell how often the phrases are said, whether they are
said whole, and what became of the accuracy. It writes no checkpoint; its numbers go to the record.

    python -m butwait.trainer.pocket.teach trainer/pocket/checkpoints/policy \\
        --train pipelines/pocket/data/train.jsonl --test pipelines/pocket/data/test.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.examples import draw_batches, encode_record, pad_batch
from butwait.trainer.pocket.measure import (
    read_boxed,
    read_questions,
    sample_questions,
    score_samples,
)
from butwait.trainer.pocket.model import load_checkpoint, update_record
from butwait.trainer.pocket.tokens import SYSTEM
from butwait.trainer.pocket.train import compute_loss

RETRY = "Hold on! I made a mistake. Let me try again."
CHECK = "But wait, let me check."
STARTS = re.compile(r"Hold|[Ww]ait")
WHOLE = re.compile(
    r"(^|\n\n)(Hold on! I made a mistake\.( Let me try again\.)?|But wait, let me check)"
)
N_SAMPLES, TEMPERATURE = 8, 0.8
LEARNING_RATE, BATCH_SIZE, N_EPOCHS = 3e-4, 32, 2


def write_traces(
    problem: str, gold: str, texts: Sequence[str], rng: random.Random
) -> list[dict[str, Any]]:
    """Write at most one trace of each kind from a question's samples.

    Returns:
        Corpus records; empty when no full right attempt was sampled.
    """
    right = sorted({t for t in texts if read_boxed(t) == gold and t.startswith("Step 1:")})
    wrong = sorted({t for t in texts if read_boxed(t) != gold})
    right = [t for t in right if not STARTS.search(t)]
    if not right:
        return []
    good = rng.choice(right)
    thought = good.rpartition("\n\nAnswer:")[0]
    spans = [[[thought, True], [f"\n\n{CHECK}\n\n{good}", True]]]
    if wrong:
        spans.append([[rng.choice(wrong), False], [f"\n\n{RETRY}\n\n{good}", True]])
    return [{"system": SYSTEM, "user": problem, "spans": one} for one in spans]


def tune(model: Any, tokenizer: Any, records: Sequence[dict[str, Any]], seed: int) -> int:
    """Fine-tune in place with AdamW and a linearly falling rate; give the number of steps."""
    import torch

    examples = [encode_record(tokenizer, record) for record in records]
    batches = [
        batch
        for epoch in range(N_EPOCHS)
        for batch in draw_batches(_shuffle(examples, seed + epoch), BATCH_SIZE, seed + epoch)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    model.train()
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / len(batches))
        optimizer.zero_grad(set_to_none=True)
        compute_loss(model, *pad_batch(batch, tokenizer.pad_token_id)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    return len(batches)


def _shuffle(examples: Sequence[Any], seed: int) -> list[Any]:
    return random.Random(seed).sample(examples, len(examples))


def describe_doubt(texts: Sequence[Sequence[str]], golds: Sequence[str]) -> dict[str, Any]:
    """Shares in per cent: samples that say a phrase, phrases said whole, right when said or not."""
    flat = [(t, read_boxed(t) == g) for group, g in zip(texts, golds, strict=True) for t in group]
    said = [right for text, right in flat if STARTS.search(text)]
    unsaid = [right for text, right in flat if not STARTS.search(text)]
    n_whole = sum(bool(WHOLE.search(text)) for text, _ in flat if STARTS.search(text))
    return {
        **score_samples(texts, golds),
        "says_a_phrase": _per_cent(len(said), len(flat)),
        "said_whole": _per_cent(n_whole, len(said)),
        "right_when_said": _per_cent(sum(said), len(said)),
        "right_when_not": _per_cent(sum(unsaid), len(unsaid)),
    }


def _per_cent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def check_teaching(folder: Path, train: Path, test: Path, seed: int) -> dict[str, Any]:
    """Sample, build traces, fine-tune, and measure before and after on the held-out questions."""
    import torch

    torch.set_num_threads(1)
    start_s = time.process_time()
    model, tokenizer = load_checkpoint(folder)
    rng = random.Random(seed)
    problems, golds = zip(*read_questions(train), strict=True)
    sampled = sample_questions(model, tokenizer, problems, N_SAMPLES, TEMPERATURE, seed)
    records = [
        record
        for problem, gold, texts in zip(problems, golds, sampled, strict=True)
        for record in write_traces(problem, gold, texts, rng)
    ]
    test_problems, test_golds = zip(*read_questions(test), strict=True)
    before = sample_questions(model, tokenizer, test_problems, N_SAMPLES, TEMPERATURE, seed + 1)
    n_steps = tune(model, tokenizer, records, seed)
    after = sample_questions(model, tokenizer, test_problems, N_SAMPLES, TEMPERATURE, seed + 1)
    return {
        "n_traces": len(records),
        "n_steps": n_steps,
        "learning_rate": LEARNING_RATE,
        "before": describe_doubt(before, test_golds),
        "after": describe_doubt(after, test_golds),
        "cpu_s": round(time.process_time() - start_s, 1),
        "examples_after": [group[0] for group in after[:12]],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the check, print it and write it into the checkpoint's record."""
    parser = argparse.ArgumentParser(description="Check that a pocket policy can learn to doubt.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--train", type=Path, required=True, help="questions to sample traces on")
    parser.add_argument("--test", type=Path, required=True, help="held-out questions")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(argv)
    taught = check_teaching(flags.checkpoint, flags.train, flags.test, flags.seed)
    update_record(flags.checkpoint, {"taught_to_doubt": taught})
    print(json.dumps(taught, indent=1))


if __name__ == "__main__":
    main()
