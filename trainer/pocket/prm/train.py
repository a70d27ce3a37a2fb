"""Train the pocket process reward model on labelled samples, one CPU thread, counted in steps.

The training is ``butwait train prm``'s, on rows that carry a label at every token of a solution:
cross-entropy of "right so far" at the tags, and as much again at all other tokens together. What
``grow`` takes over or sets (embeddings, trunk, the comparing layer) stays as it is: trained along
at ordinary rates, the comparison was gone after fifty steps and did not come back.

    python -m butwait.trainer.pocket.prm.train trainer/pocket/checkpoints/scorer \\
        --policy trainer/pocket/checkpoints/policy --samples build/pocket/prm/samples.jsonl \\
        --questions pipelines/pocket/data/validation.jsonl \\
        --work build/pocket/prm --out trainer/pocket/checkpoints/prm
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from butwait.schemas.recipe_prm import PrmRecipe
from butwait.schemas.recipe_train import DataSpec, OptimiserSpec, StartSpec
from butwait.trainer import gate
from butwait.trainer.options import TrainOptions
from butwait.trainer.pocket.model import hash_weights, read_record, update_record
from butwait.trainer.pocket.prm.examples import (
    IGNORED,
    LabelledExample,
    encode_solution,
    read_solutions,
)
from butwait.trainer.pocket.prm.grow import grow_scorer
from butwait.trainer.pocket.prm.labels import GAP, label_paragraphs
from butwait.trainer.pocket.prm.measure import Sampled, sample_solutions
from butwait.trainer.pocket.prm.model import TAG, save_prm
from butwait.trainer.pocket.tokens import CONTEXT, SYSTEM
from butwait.trainer.prm import Prepared, train_prepared
from butwait.trainer.rows import Rows
from butwait.trainer.step_examples import Solution, StepEncoder

KEPT = (
    "chat_template.jinja",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""What the checkpoint takes from the final folder."""


@dataclass(frozen=True)
class Plan:
    """How the reward model is trained; the rate falls linearly to zero after a short rise."""

    n_new_layers: int = 2
    n_steps: int = 1_200
    batch_size: int = 32
    n_warmup: int = 40
    learning_rate: float = 2e-3
    token_weight: float = 1.0


def draw_examples(tokenizer: Any, samples: Path, n: int, seed: int) -> list[LabelledExample]:
    """Encode ``n`` solutions in seeded order; a file with fewer is gone through again."""
    rng = random.Random(seed)
    pairs = list(read_solutions(samples, seed))
    examples: list[LabelledExample] = []
    while len(examples) < n:
        chosen = rng.sample(pairs, min(len(pairs), n - len(examples)))
        examples += [encode_solution(tokenizer, record, text, rng) for record, text in chosen]
    return examples


def make_table(examples: Sequence[LabelledExample], tag_id: int, token_weight: float) -> Any:
    """Make the trainer's rows: all tags together weigh 1, all other tokens ``token_weight``."""
    from datasets import Dataset

    n_tags = sum(token == tag_id for example in examples for token in example.ids)
    n_all = sum(label != IGNORED for example in examples for label in example.labels)
    at_tag, elsewhere = n_all / n_tags, token_weight * n_all / (n_all - n_tags)
    return Dataset.from_dict(
        {
            "id": [f"example {i}" for i in range(len(examples))],
            "input_ids": [example.ids for example in examples],
            "labels": [[float(label) for label in example.labels] for example in examples],
            "weights": [[at_tag if t == tag_id else elsewhere for t in e.ids] for e in examples],
        }
    )


def read_held_out(samples: Sequence[Sampled]) -> list[Solution]:
    """Label samples of held-out questions, paragraph by paragraph."""
    return [
        Solution(
            id=f"{i}-{k}",
            question_id=str(i),
            problem=sampled.problem,
            steps=tuple(paragraph for paragraph in text.split(GAP) if paragraph),
            labels=tuple(map(float, label_paragraphs(text, sampled.reference))),
            separator=GAP,
        )
        for i, sampled in enumerate(samples)
        for k, text in enumerate(sampled.texts)
        if text.strip()
    ]


def make_recipe(grown: Path, samples: Path, plan: Plan, seed: int) -> PrmRecipe:
    """Write the plan as the trainer's recipe."""
    return PrmRecipe(
        name="prm",
        seed=seed,
        model=StartSpec(id=str(grown.resolve())),
        data=DataSpec(path=str(samples)),
        system=SYSTEM,
        step_token=TAG,
        trained_layers=plan.n_new_layers - 1,
        max_length=CONTEXT,
        batch_size=plan.batch_size,
        micro_batch_size=plan.batch_size,
        max_steps=plan.n_steps,
        log_every=50,
        report_to=(),
        optimiser=OptimiserSpec(
            learning_rate=plan.learning_rate, schedule="linear", warmup_steps=plan.n_warmup
        ),
    )


def train_pocket(
    scorer: Path, policy: Path, samples: Path, questions: Path, work: Path, plan: Plan, seed: int
) -> tuple[Path, dict[str, Any]]:
    """Grow the scorer and train it.

    Returns:
        The final folder and the checkpoint's record.
    """
    import torch

    from butwait.trainer.run import Run

    torch.set_num_threads(1)
    prm, config, tokenizer = grow_scorer(scorer, plan.n_new_layers, seed)
    save_prm(prm, config, tokenizer, work / "grown", {"stage": "grown", "seed": seed})
    tag_id = tokenizer.convert_tokens_to_ids(TAG)
    examples = draw_examples(tokenizer, samples, plan.n_steps * plan.batch_size, seed)
    table = make_table(examples, tag_id, plan.token_weight)
    recipe = make_recipe(work / "grown", samples, plan, seed)
    prepared = Prepared(
        table=table,
        tokenizer=tokenizer,
        encoder=StepEncoder(tokenizer, recipe),
        rows=Rows(table, {"from": str(samples), "revision": read_record(policy)["sha256"]}, {}),
        report=_count(examples, plan),
        held_out=read_held_out(sample_solutions(policy, questions, 8, 0.8, seed)),
    )
    text = recipe.model_dump_json(indent=1)
    options = TrainOptions(base=work, out=work, recipe_text=text, say=print, fresh=True)
    run = Run.open(recipe, options, kind="prm")
    manifest = train_prepared(recipe, options, prepared, run)
    record = {
        **_describe(scorer, policy, plan, seed, manifest),
        "n_parameters": sum(weight.numel() for weight in prm.parameters()),
        "step_tag_id": tag_id,
        "curve": run.folder.read_metrics(),
    }
    return run.folder.final, record


def _describe(
    scorer: Path, policy: Path, plan: Plan, seed: int, manifest: dict[str, Any]
) -> dict[str, Any]:
    """Describe a finished run for the checkpoint's record."""
    return {
        "stage": "prm",
        "seed": seed,
        "started_from": read_record(scorer)["sha256"],
        "samples_from": read_record(policy)["sha256"],
        "step_tag": TAG,
        "versions": {name: manifest["versions"][name] for name in ("torch", "transformers")},
        "cpu_s": round(time.process_time(), 1),
        "plan": asdict(plan),
        "held_out": manifest["held_out"],
    }


def _count(examples: Sequence[LabelledExample], plan: Plan) -> gate.GateReport:
    n_labels = sum(label != IGNORED for example in examples for label in example.labels)
    n_tokens = sum(len(example.ids) for example in examples)
    n = len(examples)
    return gate.GateReport(n, n, n_tokens, n_labels, 0, plan.n_steps, {}, ())


def main(argv: Sequence[str] | None = None) -> None:
    """Train with the plan's numbers or those that the command line gives."""
    from butwait.trainer.quiet import quiet_libraries

    parser = argparse.ArgumentParser(description="Train the pocket process reward model.")
    parser.add_argument("scorer", type=Path, help="Llama checkpoint whose trunk is grown")
    parser.add_argument("--policy", type=Path, required=True, help="sampled for the held-out part")
    parser.add_argument("--samples", type=Path, required=True, help="JSON Lines of samples")
    parser.add_argument("--questions", type=Path, required=True, help="validation split")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--seed", type=int, default=0)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    flags = vars(parser.parse_args(argv))
    plan = Plan(**{name: flags.pop(name) for name in asdict(Plan())})
    out = flags.pop("out")
    quiet_libraries()
    final, record = train_pocket(**flags, plan=plan)
    out.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        (out / name).write_bytes((final / name).read_bytes())
    update_record(out, {**record, "sha256": hash_weights(out)})


if __name__ == "__main__":
    main()
