"""Small reward models with random weights, in the layouts of the real ones, for real servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STEP_TOKEN = "<extra_0>"
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}


def make_process_reward_model(source: Path, folder: Path) -> None:
    """Write a ``Qwen2ForProcessRewardModel`` with the tokenizer of ``source`` and a step token."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoTokenizer, Qwen2Config, Qwen2Model

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"additional_special_tokens": [STEP_TOKEN]}, False)
    config = Qwen2Config(vocab_size=len(tokenizer), tie_word_embeddings=False, **SIZES)
    model = Qwen2Model(config)
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    size = SIZES["hidden_size"]
    for name, shape in {"0": (size, size), "2": (2, size)}.items():
        weights[f"score.{name}.weight"] = torch.randn(shape) * 0.1
        weights[f"score.{name}.bias"] = torch.zeros(shape[0])
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    save_file(
        {name: value.to(torch.bfloat16) for name, value in weights.items()},
        folder / "model.safetensors",
    )
    described = {**config.to_dict(), "architectures": ["Qwen2ForProcessRewardModel"]}
    described |= {"dtype": "bfloat16", "num_labels": 2}
    (folder / "config.json").write_text(json.dumps(described), "utf-8")


def make_outcome_reward_model(source: Path, folder: Path) -> None:
    """Write a ``LlamaForSequenceClassification`` of one label with the tokenizer of ``source``."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(source)
    config = LlamaConfig(
        vocab_size=len(tokenizer), num_labels=1, pad_token_id=tokenizer.pad_token_id, **SIZES
    )
    model = LlamaForSequenceClassification(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_process_reward_model(folder: Path) -> Any:
    """Return a function from token ids to the probability of class 1 at each of them."""
    import torch
    from safetensors.torch import load_file
    from transformers import Qwen2Config, Qwen2Model

    weights = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    model = Qwen2Model(Qwen2Config.from_pretrained(folder)).float().eval()
    model.load_state_dict(
        {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}
    )

    def judge(ids: list[int]) -> list[float]:
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state[0]
            hidden = torch.relu(hidden @ weights["score.0.weight"].T + weights["score.0.bias"])
            logits = hidden @ weights["score.2.weight"].T + weights["score.2.bias"]
            found: list[float] = logits.softmax(-1)[:, 1].tolist()
            return found

    return judge
