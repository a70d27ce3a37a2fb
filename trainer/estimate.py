"""Memory and time of a run, estimated before the model loads.

Memory: weights, gradients and AdamW's two moments in float32, and activations by the rule of about
34 bytes a token, layer and hidden unit in 16-bit (arXiv 2205.05198, without attention scores),
twice that in float32. Time: 6 floating-point operations a parameter and token, at a third of what a
large matrix product reaches here just now. Both are orders of magnitude, not promises.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from butwait.schemas.recipe_train import TrainRecipe
from butwait.trainer.start import locate

SHARE = 1 / 3
"""Of the speed of a matrix product that training reaches."""


def describe_estimate(recipe: TrainRecipe, base: Path, n_tokens: int, n_rows: int) -> list[str]:
    """Say what a run will take.

    Args:
        recipe: Model, batch and epochs.
        base: Folder that relative paths are relative to.
        n_tokens: Tokens of all rows.
        n_rows: Rows.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(locate(recipe.model, base), revision=recipe.model.revision)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    n_parameters = sum(parameter.numel() for parameter in empty.parameters())
    memory = estimate_memory(recipe, config, n_parameters, n_tokens / max(n_rows, 1))
    n_epochs = recipe.epochs
    if recipe.max_steps is not None:
        n_epochs = recipe.max_steps * recipe.rows_a_step / max(n_rows, 1)
    seconds = 6 * n_parameters * n_tokens * n_epochs / (measure_speed() * SHARE)
    shown = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return [
        f"model    {n_parameters / 1e6:,.1f} M parameters",
        f"estimate about {memory / 2**30:.1f} GiB a process (unsharded) and {shown} on one device",
    ]


def estimate_memory(
    recipe: TrainRecipe, config: Any, n_parameters: int, mean_tokens: float
) -> float:
    """Estimate the bytes of weights, gradients, optimiser and activations.

    Args:
        recipe: Adapters, micro-batch and checkpointing.
        config: The model's.
        n_parameters: All of them.
        mean_tokens: Tokens a row.
    """
    text = config.get_text_config()
    trained = n_parameters if recipe.model.lora is None else 0.02 * n_parameters
    layers = 1 if recipe.model.gradient_checkpointing else text.num_hidden_layers
    tokens = recipe.micro_batch_size * mean_tokens
    activations = 68 * tokens * layers * text.hidden_size
    return float(4 * n_parameters + 12 * trained + activations)


def measure_speed() -> float:
    """Measure the floating-point operations a second of a matrix product."""
    on_gpu = torch.cuda.is_available()
    n = 4096 if on_gpu else 512
    dtype = torch.bfloat16 if on_gpu else torch.float32
    one = torch.ones(n, n, device="cuda" if on_gpu else "cpu", dtype=dtype)
    spent: list[float] = []
    for _ in range(4):  # the first one warms up
        start_s = time.perf_counter()
        (one @ one)[0, 0].item()
        spent.append(time.perf_counter() - start_s)
    return 2 * n**3 / min(spent[1:])
