"""Pre-train the pocket models, in phases measured in steps, on one CPU thread each.

The *trunk* learns the arithmetic in one manner. From it branch the *policy* (mixed manners, so that
it has something to win later) and the *scorer* (the one manner for longer, so that it knows more).
Two phases, not one: mixed manners from the start starve the arithmetic. Optimiser: Muon on the
matrices of the trunk, AdamW on the rest.

    python -m butwait.trainer.pocket.train trunk --corpus runs/pocket/corpus \\
        --questions pipelines/pocket/data/validation.jsonl --out runs/pocket/trunk
    python -m butwait.trainer.pocket.train policy --corpus runs/pocket/corpus \\
        --questions pipelines/pocket/data/validation.jsonl \\
        --start runs/pocket/trunk --out trainer/pocket/checkpoints/policy
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.examples import (
    draw_batches,
    encode_record,
    pad_batch,
    read_records,
)
from butwait.trainer.pocket.measure import read_questions, sample_questions, score_samples
from butwait.trainer.pocket.model import (
    load_checkpoint,
    make_model,
    read_record,
    save_checkpoint,
)
from butwait.trainer.pocket.tokens import train_tokenizer

BATCH_SIZE = 32
N_TOKENIZER_RECORDS = 4_000


@dataclass(frozen=True)
class Phase:
    """One stretch of training: which records, how many steps, how the learning rate runs.

    ``lr_from`` and ``lr_to`` are factors of the base rates; the rate runs linearly between them
    after ``n_warmup`` rising steps.
    """

    corpus: str
    first_record: int
    n_steps: int
    lr_from: float
    lr_to: float
    n_warmup: int
    lr_muon: float = 0.02
    lr_adamw: float = 3e-3

    def lr_factor(self, step: int) -> float:
        """Factor of the base rates at a step (0-based)."""
        factor = self.lr_from + (self.lr_to - self.lr_from) * step / self.n_steps
        return factor * min(1.0, (step + 1) / self.n_warmup)


N_TRUNK = 1_200
_AFTER_TRUNK = N_TRUNK * BATCH_SIZE
PHASES = {
    "trunk": (Phase("plain.jsonl", 0, N_TRUNK, 1.0, 1.0, 40),),
    "policy": (
        Phase("plain.jsonl", _AFTER_TRUNK, 400, 1.0, 0.3, 10),
        Phase("mixed.jsonl", 0, 250, 0.3, 0.0, 10),
    ),
    "scorer": (Phase("plain.jsonl", _AFTER_TRUNK, 1_200, 1.0, 0.0, 10),),
}


def make_optimizers(model: Any, phase: Phase) -> list[Any]:
    """Make Muon for the matrices inside the layers and AdamW for everything else."""
    import torch

    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if ".layers." in name and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in named.values() if id(p) not in chosen]
    muon = torch.optim.Muon(matrices, lr=phase.lr_muon, weight_decay=0.0, momentum=0.95)
    adamw = torch.optim.AdamW(others, lr=phase.lr_adamw, betas=(0.9, 0.95), weight_decay=0.0)
    return [muon, adamw]


def compute_loss(model: Any, ids: Any, targets: Any) -> Any:
    """Mean cross-entropy over the counted tokens; logits are made for those alone."""
    import torch

    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    counted = targets != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[counted]), targets[counted])


def run_phase(
    model: Any, tokenizer: Any, phase: Phase, corpus: Path, questions: Path, seed: int
) -> list[dict[str, float]]:
    """Train in place.

    Returns:
        The learning curve, a point every 50 steps: mean loss since the last one, CPU seconds so
        far; every 200 steps and at the end also expected@1 on ``questions``.
    """
    import torch

    stop = phase.first_record + phase.n_steps * BATCH_SIZE
    records = read_records(corpus / phase.corpus, phase.first_record, stop)
    examples = [encode_record(tokenizer, record) for record in records]
    optimizers = make_optimizers(model, phase)
    base_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    model.train()
    for step, batch in enumerate(draw_batches(examples, BATCH_SIZE, seed)):
        for optimizer, rate in zip(optimizers, base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * phase.lr_factor(step)
            optimizer.zero_grad(set_to_none=True)
        loss = compute_loss(model, *pad_batch(batch, tokenizer.pad_token_id))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            measured = (step + 1) % 200 == 0 or step + 1 == phase.n_steps
            accuracy = _probe(model, tokenizer, questions) if measured else {}
            curve.append(_mark_curve(step + 1, losses) | accuracy)
            print(curve[-1], flush=True)
    model.eval()
    return curve


def _mark_curve(step: int, losses: list[float]) -> dict[str, float]:
    mean = sum(losses[-50:]) / len(losses[-50:])
    return {"step": step, "loss": round(mean, 4), "cpu_s": round(time.process_time(), 1)}


def _probe(model: Any, tokenizer: Any, questions: Path) -> dict[str, float]:
    """Two samples a question; seeded apart from training, which it leaves as it was."""
    pairs = read_questions(questions)
    model.eval()
    texts = sample_questions(model, tokenizer, [problem for problem, _ in pairs], 2, 0.8, seed=0)
    model.train()
    accuracy = score_samples(texts, [gold for _, gold in pairs])["expected@1"]["mean"]
    return {"validation_expected@1": accuracy}


def train_stage(
    stage: str, corpus: Path, questions: Path, out: Path, start: Path | None, seed: int
) -> None:
    """Train one stage from nothing (the trunk) or from another checkpoint, and save it."""
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    if start is None:
        tokenizer = train_tokenizer(_read_tokenizer_texts(corpus))
        model = make_model(tokenizer, seed)
    else:
        model, tokenizer = load_checkpoint(start)
    phases = [
        asdict(phase) | {"curve": run_phase(model, tokenizer, phase, corpus, questions, seed)}
        for phase in PHASES[stage]
    ]
    record = {
        "stage": stage,
        "seed": seed,
        "batch_size": BATCH_SIZE,
        "started_from": read_record(start) if start is not None else None,
        "n_parameters": model.num_parameters(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "cpu_s": round(time.process_time(), 1),
        "phases": phases,
    }
    save_checkpoint(model, tokenizer, out, record)


def _read_tokenizer_texts(corpus: Path) -> list[str]:
    records = read_records(corpus / "mixed.jsonl", 0, N_TOKENIZER_RECORDS)
    texts = [text for r in records for text in (r["system"], r["user"]) if text is not None]
    return texts + ["".join(text for text, _ in r["spans"]) for r in records]


def main(argv: Sequence[str] | None = None) -> None:
    """Train the stage that the command line names."""
    parser = argparse.ArgumentParser(description="Pre-train one stage of the pocket models.")
    parser.add_argument("stage", choices=list(PHASES))
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the corpus files")
    parser.add_argument("--questions", type=Path, required=True, help="validation split")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from (not for the trunk)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(argv)
    if (flags.start is None) != (flags.stage == "trunk"):
        parser.error("--start names the trunk's checkpoint: the policy and the scorer need it")
    train_stage(flags.stage, flags.corpus, flags.questions, flags.out, flags.start, flags.seed)


if __name__ == "__main__":
    main()
