"""The pocket process reward model: the scorer's trunk, more layers, and Qwen's two-label head.

The layout is ``Qwen2ForProcessRewardModel``, which vLLM's pooling runner serves: ``model.*`` is a
Qwen2 trunk and ``score`` is Linear, ReLU, Linear. A Llama trunk is a Qwen2 trunk whose biases are
zero. Layers are added above it because the trunk's last layer holds the prediction of the next
token: whether what was written is what was expected can only be seen higher up. The new layers
begin as the identity. A step ends in the token ``<extra_0>``; its label 1 means "right so far".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.model import hash_weights, update_record

TAG = "<extra_0>"
ARCHITECTURE = "Qwen2ForProcessRewardModel"
WEIGHTS = "model.safetensors"
N_LABELS = 2


def make_module(config: Any) -> Any:
    """Make trunk and head; their weights have the names that vLLM reads."""
    from torch import nn
    from transformers import Qwen2Config, Qwen2Model

    trunk = Qwen2Config.from_dict({**config.to_dict(), "model_type": "qwen2"})
    width = config.hidden_size
    score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, N_LABELS))
    return nn.ModuleDict({"model": Qwen2Model(trunk), "score": score})


def load_prm(folder: Path) -> tuple[Any, Any]:
    """Load reward model (float32, evaluation mode) and tokenizer from a checkpoint folder."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoTokenizer

    prm = make_module(AutoConfig.from_pretrained(folder))
    prm.load_state_dict(load_file(folder / WEIGHTS))
    return prm.float().eval(), AutoTokenizer.from_pretrained(folder)


def save_prm(prm: Any, config: Any, tokenizer: Any, folder: Path, record: dict[str, Any]) -> None:
    """Write weights (bfloat16), configuration, tokenizer and the record with the SHA-256."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: w.to(torch.bfloat16).contiguous() for name, w in prm.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.dumps(config.to_diff_dict(), indent=2, sort_keys=True)
    (folder / "config.json").write_text(config + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
    update_record(folder, {**record, "sha256": hash_weights(folder)})


def render_scored(tokenizer: Any, problem: str, steps: Sequence[str], system: str | None) -> str:
    """Render a chat whose answer is ``steps``, each ended by the tag (Qwen's layout).

    A step may hold blank lines: a whole prefix can be scored as one step.
    """
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": problem})
    messages.append({"role": "assistant", "content": "".join(step + TAG for step in steps)})
    text: str = tokenizer.apply_chat_template(messages, tokenize=False)
    return text


def score_texts(
    prm: Any, tokenizer: Any, texts: Sequence[str], batch_rows: int = 128
) -> list[list[float]]:
    """Score rendered chats.

    Returns:
        For each text the probability "right so far" at each of its tags.
    """
    import torch

    tag_id = tokenizer.convert_tokens_to_ids(TAG)
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    scores: list[list[float]] = [[] for _ in texts]
    for start in range(0, len(order), batch_rows):
        rows = order[start : start + batch_rows]
        width = max(len(encoded[i]) for i in rows)
        padding = tokenizer.pad_token_id
        ids = torch.tensor([encoded[i] + [padding] * (width - len(encoded[i])) for i in rows])
        with torch.inference_mode():
            hidden = prm["model"](input_ids=ids, use_cache=False).last_hidden_state
            chances = torch.softmax(prm["score"](hidden).float(), -1)[..., 1]
        for i, row, tagged in zip(rows, chances, ids == tag_id, strict=True):
            scores[i] = row[tagged].tolist()
    return scores
