"""A batched sampler for tiny models on one CPU thread.

Rows that have ended leave the batch, and their cache with them; that is about half again as fast as
``generate``. Left out: anything but temperature sampling and greedy decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BATCH_ROWS = 256


def sample_texts(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    temperature: float,
    max_tokens: int,
    seed: int,
) -> list[str]:
    """Continue every prompt once.

    Args:
        prompts: Rendered prompts, one text each; repeat a prompt to sample it several times.
        temperature: 0 for greedy.
        max_tokens: New tokens at most.
        seed: Seeds all draws.

    Returns:
        Continuations in the order of the prompts, without the end token.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    encoded = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), BATCH_ROWS):
        rows = order[start : start + BATCH_ROWS]
        with torch.inference_mode():
            tokens = _continue_batch(
                model, tokenizer, [encoded[i] for i in rows], temperature, max_tokens, generator
            )
        for i, ids in zip(rows, tokens, strict=True):
            texts[i] = tokenizer.decode(ids)
    return texts


def _continue_batch(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    temperature: float,
    max_tokens: int,
    generator: Any,
) -> list[list[int]]:
    import torch
    from transformers import DynamicCache

    width = max(map(len, prompts))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    written: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for _ in range(max_tokens):
        output = model(
            ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            logits_to_keep=1,
        )
        chosen = _choose_tokens(output.logits[:, -1], temperature, generator)
        keep = (chosen != tokenizer.eos_token_id).nonzero().flatten()
        if len(keep) == 0:
            break
        if len(keep) < len(alive):
            cache.batch_select_indices(keep)
            alive = [alive[i] for i in keep.tolist()]
            mask, positions, chosen = mask[keep], positions[keep], chosen[keep]
        for row, token in zip(alive, chosen.tolist(), strict=True):
            written[row].append(token)
        ids = chosen[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
        positions = positions[:, -1:] + 1
    return written


def _choose_tokens(logits: Any, temperature: float, generator: Any) -> Any:
    import torch

    if temperature == 0:
        return logits.argmax(-1)
    chances = torch.softmax(logits / temperature, -1)
    return torch.multinomial(chances, 1, generator=generator).flatten()
