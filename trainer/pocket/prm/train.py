"""Train the pocket process reward model on labelled samples, one CPU thread, counted in steps.

The loss is the cross-entropy of "right so far" at the tags plus the same at all other tokens of the
solution. What ``grow`` takes over or sets (embeddings, trunk, the comparing layer) stays as it is:
trained along at ordinary rates, the comparison was gone after fifty steps and did not come back.
Optimiser: Muon on the matrices of the learning layers, AdamW on the rest.

    python -m butwait.trainer.pocket.prm.train trainer/pocket/checkpoints/scorer \\
        --policy trainer/pocket/checkpoints/policy --samples build/pocket/prm/samples.jsonl \\
        --questions pipelines/pocket/data/validation.jsonl \\
        --out trainer/pocket/checkpoints/prm
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.examples import draw_batches
from butwait.trainer.pocket.model import read_record
from butwait.trainer.pocket.prm.examples import (
    IGNORED,
    LabelledExample,
    encode_solution,
    pad_labelled,
    read_solutions,
)
from butwait.trainer.pocket.prm.grow import grow_scorer
from butwait.trainer.pocket.prm.measure import Sampled, measure_ranking, sample_solutions
from butwait.trainer.pocket.prm.model import TAG, save_prm


@dataclass(frozen=True)
class Plan:
    """How the reward model is trained; rates fall linearly to zero after a short rise."""

    n_new_layers: int = 2
    n_steps: int = 1_200
    batch_size: int = 32
    n_warmup: int = 40
    lr_muon: float = 0.005
    lr_adamw: float = 2e-3
    token_weight: float = 1.0

    def lr_factor(self, step: int) -> float:
        """Factor of the base rates at a step (0-based)."""
        return min(1.0, (step + 1) / self.n_warmup) * (1 - step / self.n_steps)


def make_optimizers(prm: Any, plan: Plan) -> list[Any]:
    """Freeze what is set; make Muon for the learning layers' matrices, AdamW for the rest.

    Frozen are the embeddings, the trunk and the first new layer, which compares.
    """
    import torch

    n_frozen = len(prm["model"].layers) - plan.n_new_layers + 1
    frozen = ("model.embed", *(f"model.layers.{i}." for i in range(n_frozen)))
    matrices, others = [], []
    for name, weight in prm.named_parameters():
        if name.startswith(frozen):
            weight.requires_grad_(False)
        elif ".layers." in name and weight.ndim == 2:
            matrices.append(weight)
        else:
            others.append(weight)
    muon = torch.optim.Muon(matrices, lr=plan.lr_muon, weight_decay=0.0, momentum=0.95)
    adamw = torch.optim.AdamW(others, lr=plan.lr_adamw, betas=(0.9, 0.95), weight_decay=0.0)
    return [muon, adamw]


def compute_losses(prm: Any, ids: Any, labels: Any, tag_id: int) -> tuple[Any, Any]:
    """Cross-entropy of the labels at the tags, and at the other judged tokens."""
    from torch.nn.functional import cross_entropy

    hidden = prm["model"](input_ids=ids, use_cache=False).last_hidden_state
    tagged = ids == tag_id
    others = (labels != IGNORED) & ~tagged
    at_tags = cross_entropy(prm["score"](hidden[tagged]), labels[tagged])
    return at_tags, cross_entropy(prm["score"](hidden[others]), labels[others])


def run_training(
    prm: Any,
    tokenizer: Any,
    examples: Sequence[LabelledExample],
    held_out: Sequence[Sampled],
    plan: Plan,
    seed: int,
) -> list[dict[str, float]]:
    """Train in place.

    Returns:
        The learning curve, a point every 50 steps: mean losses since the last one, CPU seconds;
        every 200 steps and at the end also the ranking on ``held_out``.
    """
    tag_id = tokenizer.convert_tokens_to_ids(TAG)
    optimizers = make_optimizers(prm, plan)
    base_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    curve: list[dict[str, float]] = []
    seen: list[tuple[float, float]] = []
    prm.train()
    for step, batch in enumerate(draw_batches(examples, plan.batch_size, seed)):
        for optimizer, rate in zip(optimizers, base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * plan.lr_factor(step)
        ids, labels = pad_labelled(batch, tokenizer.pad_token_id)
        losses = compute_losses(prm, ids, labels, tag_id)
        seen.append(_take_step(prm, optimizers, *losses, plan.token_weight))
        if (step + 1) % 50 == 0:
            curve.append(_mark_curve(step + 1, seen[-50:]))
            if (step + 1) % 200 == 0 or step + 1 == plan.n_steps:
                prm.eval()
                curve[-1] |= measure_ranking(prm, tokenizer, held_out)
                prm.train()
            print(curve[-1], flush=True)
    prm.eval()
    return curve


def _take_step(
    prm: Any, optimizers: Sequence[Any], at_tags: Any, elsewhere: Any, weight: float
) -> tuple[float, float]:
    import torch

    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    (at_tags + weight * elsewhere).backward()
    torch.nn.utils.clip_grad_norm_(prm.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return at_tags.item(), elsewhere.item()


def _mark_curve(step: int, seen: Sequence[Sequence[float]]) -> dict[str, float]:
    means = [round(sum(column) / len(seen), 4) for column in zip(*seen, strict=True)]
    names = ("tag_loss", "token_loss")
    return {"step": step, **dict(zip(names, means, strict=True)), "cpu_s": _cpu_s()}


def _cpu_s() -> float:
    return round(time.process_time(), 1)


def draw_examples(tokenizer: Any, samples: Path, n: int, seed: int) -> list[LabelledExample]:
    """Encode ``n`` solutions in seeded order; a file with fewer is gone through again."""
    rng = random.Random(seed)
    pairs = list(read_solutions(samples, seed))
    examples: list[LabelledExample] = []
    while len(examples) < n:
        chosen = rng.sample(pairs, min(len(pairs), n - len(examples)))
        examples += [encode_solution(tokenizer, record, text, rng) for record, text in chosen]
    return examples


def train_prm(
    scorer: Path, policy: Path, samples: Path, questions: Path, out: Path, plan: Plan, seed: int
) -> None:
    """Grow the scorer, train it, and save the reward model with its record."""
    import torch
    import transformers

    torch.set_num_threads(1)
    prm, config, tokenizer = grow_scorer(scorer, plan.n_new_layers, seed)
    held_out = sample_solutions(policy, questions, 8, 0.8, seed)
    examples = draw_examples(tokenizer, samples, plan.n_steps * plan.batch_size, seed)
    torch.manual_seed(seed)
    curve = run_training(prm, tokenizer, examples, held_out, plan, seed)
    record = {
        "stage": "prm",
        "seed": seed,
        "started_from": read_record(scorer)["sha256"],
        "samples_from": read_record(policy)["sha256"],
        "n_parameters": sum(weight.numel() for weight in prm.parameters()),
        "step_tag": TAG,
        "step_tag_id": tokenizer.convert_tokens_to_ids(TAG),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "cpu_s": _cpu_s(),
        "plan": asdict(plan),
        "curve": curve,
    }
    save_prm(prm, config, tokenizer, out, record)


def main(argv: Sequence[str] | None = None) -> None:
    """Train with the plan's numbers or those that the command line gives."""
    parser = argparse.ArgumentParser(description="Train the pocket process reward model.")
    parser.add_argument("scorer", type=Path, help="Llama checkpoint whose trunk is grown")
    parser.add_argument("--policy", type=Path, required=True, help="sampled for the curve")
    parser.add_argument("--samples", type=Path, required=True, help="JSON Lines of samples")
    parser.add_argument("--questions", type=Path, required=True, help="validation split")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--seed", type=int, default=0)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    flags = vars(parser.parse_args(argv))
    plan = Plan(**{name: flags[name] for name in asdict(Plan())})
    train_prm(
        flags["scorer"],
        flags["policy"],
        flags["samples"],
        flags["questions"],
        flags["out"],
        plan,
        flags["seed"],
    )


if __name__ == "__main__":
    main()
