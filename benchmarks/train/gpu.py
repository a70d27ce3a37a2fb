"""Our trainer against TRL on one GPU: a Llama of half a billion random parameters, in turns.

The model is made here. Its end token's row of the output matrix is four times the others', so that
some rollouts end before they are cut. Each side trains in a fresh process with the same watch in
its loop (``watch``): the first step is not counted.

    python -m benchmarks.train.gpu --out build/gpu             # needs a GPU; writes found.json
    python -m benchmarks.train.gpu --page build/gpu/found.json     # into docs/benchmarks.md
    python -m benchmarks.train.gpu --out build/gpu --rehearse      # tiny, on a CPU
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.train import page
from benchmarks.train.jobs import POLICY, Job, write_questions, write_sums
from benchmarks.train.run import KINDS, measure

SETTING = """A Llama of {parameters:,.0f} M random parameters (hidden {hidden_size}, {layers}
layers, {heads} heads, intermediate {intermediate_size}, vocabulary {vocab_size:,} of which the
tokenizer uses 704), stored in bfloat16. On both sides: float32 weights and AdamW states,
computation in bfloat16 (autocast), attention `sdpa`, no gradient checkpointing, a line of metrics
a step, TensorBoard; fresh processes in turns, the loop's time without its first step."""
SFT_SETTING = """{job.batch} rows of about {length:.0f} tokens a step in one batch, {job.steps}
steps."""
GRPO_SETTING = """{job.batch} questions x {job.group} rollouts of at most {job.longest} tokens a
step, {job.micro} at once in the update, one update a step, {job.steps} steps, beta {job.beta}, the
same questions in the same order. transformers samples on both sides: vLLM was not there. A model
of random weights ends few of its rollouts, so most are cut at {job.longest} tokens. Our rewards:
verifier, layout and length; TRL's: the text of the last box."""
NOTE = """"Peak of the tensors" is PyTorch's own count, "peak on the GPU" what NVML says is in use,
cache and context included; "GPU busy" is NVML's share of the time in which any kernel ran, mean of
samples every half second."""


def make_model(folder: Path, tiny: bool) -> dict[str, Any]:
    """Make the model with the pocket policy's tokenizer; what its page says about it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 1024, "intermediate_size": 4608, "vocab_size": 32_768}
    layers, heads = (2, 2) if tiny else (24, 16)
    if tiny:
        sizes = {"hidden_size": 64, "intermediate_size": 128, "vocab_size": 1024}
    config = LlamaConfig(
        **sizes,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[config.eos_token_id] *= 4
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    for path in POLICY.iterdir():
        if path.name.startswith(("tokenizer", "chat_template", "generation_config")):
            shutil.copy(path, folder)
    millions = model.num_parameters() / 1e6
    return {**sizes, "layers": layers, "heads": heads, "parameters": millions}


def list_jobs(folder: Path, steps: tuple[int, int], tiny: bool) -> list[Job]:
    """List the jobs, their rows written."""
    write_sums(folder / "sft.jsonl", 2_000, n_steps=24)
    write_questions(folder / "grpo.jsonl")
    job = Job(
        "sft",
        str(folder / "model"),
        str(folder / "sft.jsonl"),
        steps[0],
        batch=32,
        micro=32,
        learning_rate=1e-5,
        on_gpu=True,
        watch=str(folder / "watch.json"),
    )
    rollouts = replace(
        job,
        kind="grpo",
        rows=str(folder / "grpo.jsonl"),
        steps=steps[1],
        batch=16,
        group=8,
        longest=256,
        learning_rate=1e-6,
    )
    if tiny:
        job = replace(job, batch=4, micro=4)
        rollouts = replace(rollouts, batch=2, group=4, micro=4, longest=16)
    return [job, rollouts]


def describe_machine() -> str:
    """Name the GPU, its driver and the versions."""
    import torch

    if not torch.cuda.is_available():
        return f"no GPU (a rehearsal); {page.describe_machine(os.getloadavg()[0])}"
    import pynvml

    pynvml.nvmlInit()
    driver = pynvml.nvmlSystemGetDriverVersion()
    card = f"one {torch.cuda.get_device_name()}, driver {driver}"
    return f"{card}; {page.describe_machine(os.getloadavg()[0])}"


def run(
    out: Path, kinds: Sequence[str], steps: tuple[int, int], turns: int, tiny: bool
) -> dict[str, Any]:
    """Make the model, measure, and keep what was found after each kind."""
    out.mkdir(parents=True, exist_ok=True)
    work = Path(os.environ.get("TMPDIR", "/tmp")) / "bench-gpu"
    shutil.rmtree(work, ignore_errors=True)
    report: dict[str, Any] = {"machine": describe_machine()}
    report["model"] = make_model(work / "model", tiny)
    report["found"] = []
    for job in list_jobs(work, steps, tiny):
        if job.kind not in kinds:
            continue
        found: page.Turns = {side: [] for side in page.SIDES}
        report["found"].append({"job": asdict(job), "turns": found})
        # A run that is cut off keeps the turns that it had.
        for _ in measure(job, work, turns, found):
            (out / "found.json").write_text(json.dumps(report, indent=1), "utf-8")
    shutil.rmtree(work)
    return report


def describe(report: dict[str, Any]) -> str:
    """Write the section of the page."""
    command = "python -m benchmarks.train.gpu"
    parts = ["### On a GPU", page.describe_run(command, report["machine"])]
    parts.append(SETTING.format(**report["model"]))
    for one in report["found"]:
        job, turns = Job(**one["job"]), one["turns"]
        ours = turns["butwait"]
        length = sum(x["tokens"] for x in ours) / sum(x["steps"] for x in ours) / job.sequences
        setting = SFT_SETTING if job.kind == "sft" else GRPO_SETTING
        parts.append(setting.format(job=job, length=length))
        parts += [page.draw_table(job, turns), page.describe_overhead(job, turns)]
    return "\n\n".join([*parts, *report.get("remarks", []), NOTE])


def main() -> int:
    """Measure and print, or write the page from what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", type=int, default=30, help="of SFT")
    parser.add_argument("--grpo-steps", type=int, default=5)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--rehearse", action="store_true", help="a tiny model, on a CPU")
    parser.add_argument("--page", type=Path, help="write the page from a file of an earlier run")
    options = parser.parse_args()
    if options.page is not None:
        page.write_section("gpu", describe(json.loads(options.page.read_text("utf-8"))))
        return 0
    steps = (options.steps, options.grpo_steps)
    print(describe(run(options.out, options.kinds, steps, options.turns, options.rehearse)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
