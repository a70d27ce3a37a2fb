"""The pocket model: a plain ``LlamaForCausalLM`` of about 0.65 M parameters, and its folder.

Head size 32 is one that vLLM's CPU build loads. The folder is an ordinary Hugging Face
checkpoint (bfloat16 weights, tokenizer, chat template) plus ``training.json``, the model's record.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.tokens import CONTEXT

CHECKPOINTS = Path(__file__).parent / "checkpoints"
RECORD = "training.json"


def make_model(tokenizer: Any, seed: int) -> Any:
    """Make the untrained model, float32, with seeded weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def load_checkpoint(folder: Path) -> tuple[Any, Any]:
    """Load model (float32, evaluation mode) and tokenizer from a checkpoint folder."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def save_checkpoint(model: Any, tokenizer: Any, folder: Path, record: dict[str, Any]) -> None:
    """Write weights (bfloat16), tokenizer and the record with the weights' SHA-256.

    The model in memory is rounded to bfloat16 on the way, so that what is measured is what lies on
    disk.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.to(torch.bfloat16).save_pretrained(folder)
    model.to(torch.float32)
    tokenizer.save_pretrained(folder)
    update_record(folder, {**record, "sha256": hash_weights(folder)})


def hash_weights(folder: Path) -> str:
    """Hash ``model.safetensors`` with SHA-256, in hexadecimal."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def read_record(folder: Path) -> dict[str, Any]:
    """Read the checkpoint's record; empty when there is none yet."""
    path = folder / RECORD
    record: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return record


def update_record(folder: Path, entries: dict[str, Any]) -> None:
    """Add entries to the checkpoint's record."""
    text = json.dumps({**read_record(folder), **entries}, indent=1)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
