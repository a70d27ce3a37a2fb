"""The pocket process reward model's folder, and scores of it.

The layout is that of ``butwait train prm``: the scorer's trunk, more layers, and Qwen's two-label
head. Layers are added because the trunk's last layer holds the prediction of the next token:
whether what was written is what was expected can only be seen higher up. A step ends in the token
``<extra_0>``; its label 1 means "right so far".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from butwait.schemas.recipe_train import StartSpec
from butwait.trainer.pocket.model import hash_weights, update_record
from butwait.trainer.pocket.prm.labels import GAP

TAG = "<extra_0>"


def load_prm(folder: Path) -> tuple[Any, Any]:
    """Load reward model (float32, evaluation mode) and tokenizer from a checkpoint folder."""
    from transformers import AutoTokenizer

    from butwait.trainer.reward_model import load_reward_model

    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = StartSpec(id=str(folder.resolve()))
    blank_id = tokenizer(GAP, add_special_tokens=False)["input_ids"][-1]
    return load_reward_model(start, folder, tokenizer, blank_id).eval(), tokenizer


def save_prm(prm: Any, config: Any, tokenizer: Any, folder: Path, record: dict[str, Any]) -> None:
    """Write weights (bfloat16), configuration, tokenizer and the record with the SHA-256."""
    from butwait.trainer.reward_model import write_reward_model

    write_reward_model(prm.state_dict(), config, tokenizer, folder)
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


def score_texts(prm: Any, tokenizer: Any, texts: Sequence[str]) -> list[list[float]]:
    """Score rendered chats.

    Returns:
        For each text the probability "right so far" at each of its tags.
    """
    from butwait.trainer.reward_model import score_tokens

    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    tag_id = tokenizer.convert_tokens_to_ids(TAG)
    return score_tokens(prm, encoded, tag_id, tokenizer.pad_token_id, batch_rows=128)
