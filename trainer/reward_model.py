"""The process reward model in Qwen's layout: a trunk, a head, a folder that vLLM serves.

``Qwen2ForProcessRewardModel`` is a Qwen2 trunk (``model.*``) and a head (``score.*``: Linear, ReLU,
Linear to two classes), read at each step's token; class 1 means "right so far". A Llama trunk is a
Qwen2 trunk whose attention biases are zero. The configuration of the folder keeps the
``model_type`` of the model that was started from: with ``qwen2`` transformers 5.19 replaces any
tokenizer by Qwen's own splitting, and vLLM goes by the architecture's name. Left out: other trunks.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import log_softmax
from transformers import AutoConfig, Qwen2Config, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2PreTrainedModel

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_train import StartSpec
from butwait.trainer.start import locate

ARCHITECTURE = "Qwen2ForProcessRewardModel"
N_CLASSES = 2
UNLABELLED = -100.0
"""Label of a token that says nothing."""
TRUNKS = ("qwen2", "llama")
"""Model types whose layers are those of Qwen2."""


class Qwen2ForProcessRewardModel(Qwen2PreTrainedModel):  # type: ignore[misc]
    """Trunk and head; weights have the names that vLLM reads.

    Args:
        config: Of the trunk.
    """

    accepts_loss_kwargs = True  # the loss is divided by the labels of the whole batch

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.model = Qwen2Model(config)
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, N_CLASSES))
        self.post_init()

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        labels: Any = None,
        weights: Any = None,
        num_items_in_batch: Any = None,
    ) -> dict[str, Any]:
        """Score tokens.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length), 1 for tokens, 0 for padding.
            labels: (batch, length), the probability of class 1 in [0, 1], or ``UNLABELLED``; only
                labelled tokens go through the head.
            weights: (batch, length), factors of the loss; default: 1.
            num_items_in_batch: Labels of the whole batch, over all micro-batches.

        Returns:
            ``logits``, (batch, length, 2), or with labels ``loss`` and the labelled tokens'
            ``logits``, (n, 2).
        """
        hidden = self.model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        if labels is None:
            return {"logits": self.score(hidden)}
        labelled = labels != UNLABELLED
        logits = self.score(hidden[labelled])
        right, chances = labels[labelled].float(), log_softmax(logits.float(), -1)
        losses = -(right * chances[:, 1] + (1.0 - right) * chances[:, 0])
        if weights is not None:
            losses = losses * weights[labelled]
        n = num_items_in_batch if num_items_in_batch is not None else labelled.sum()
        return {"loss": losses.sum() / n, "logits": logits}


def make_untrained(config: Any) -> Any:
    """Make a reward model with random weights of a Llama's or Qwen2's configuration."""
    return Qwen2ForProcessRewardModel(_as_qwen2(config))


def load_reward_model(model: StartSpec, base: Path, tokenizer: Any, fallback: int) -> Any:
    """Load a reward model (float32), or make one of a causal model, whose head is then new.

    Args:
        model: A reward model of this layout, or a causal Llama or Qwen2.
        base: Folder that its path is relative to.
        tokenizer: With the step token; the table of embeddings grows to its size.
        fallback: Token whose embedding new tokens copy.

    Returns:
        The model; its ``start_config`` is the configuration for the folder.

    Raises:
        ConfigError: It cannot be loaded, or is neither.
    """
    where = locate(model, base)
    options = {} if model.attention is None else {"attn_implementation": model.attention}
    try:
        start = AutoConfig.from_pretrained(where, revision=model.revision)
        check_trunk(start, where)
        loaded, found = Qwen2ForProcessRewardModel.from_pretrained(
            where,
            revision=model.revision,
            config=_as_qwen2(start),
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError(f"model {where} cannot be loaded: {what}") from error
    new = set(found["missing_keys"])
    if any(not name.startswith("score.") and not name.endswith("_proj.bias") for name in new):
        raise ConfigError(f"model {where} lacks weights of a trunk: {', '.join(sorted(new)[:3])}")
    _grow_table(loaded, len(tokenizer), fallback)
    loaded.start_config = start
    return loaded


def check_trunk(config: Any, where: str) -> None:
    """Refuse a model whose layers the layout does not have.

    Raises:
        ConfigError: Another model type, biases that Qwen2 lacks, or another size of heads.
    """
    if config.model_type not in TRUNKS:
        known = " or ".join(TRUNKS)
        raise ConfigError(
            f"model {where} is a {config.model_type!r}: layout 'qwen' is made of a {known} model"
        )
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    odd = [name for name in ("attention_bias", "mlp_bias") if getattr(config, name, False)]
    if size * config.num_attention_heads != config.hidden_size:
        odd.append(f"head_dim {size}")
    if odd:
        raise ConfigError(f"model {where} has {' and '.join(odd)}, which layout 'qwen' has not")


def _as_qwen2(config: Any) -> Any:
    return Qwen2Config.from_dict({**config.to_dict(), "model_type": "qwen2", "architectures": None})


def _grow_table(model: Any, n_tokens: int, fallback: int) -> None:
    """Give new tokens the embedding of a known one: the mean of all says nothing to the trunk."""
    n_known = model.get_input_embeddings().num_embeddings
    if n_tokens <= n_known:
        return
    model.resize_token_embeddings(n_tokens, mean_resizing=False)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[n_known:] = table[fallback]


def freeze_below(model: Any, n_trained: int | None) -> None:
    """Let the top layers, the last norm and the head learn, and nothing else.

    Args:
        model: Reward model.
        n_trained: Layers from the top; None: everything learns.

    Raises:
        ConfigError: There are not so many layers.
    """
    if n_trained is None:
        return
    n_layers = len(model.model.layers)
    if n_trained > n_layers:
        raise ConfigError(f"trained_layers {n_trained}: the model has {n_layers} layers")
    frozen = ("model.embed", *(f"model.layers.{i}." for i in range(n_layers - n_trained)))
    for name, weight in model.named_parameters():
        weight.requires_grad_(not name.startswith(frozen))


def write_reward_model(weights: dict[str, Any], config: Any, tokenizer: Any, folder: Path) -> None:
    """Write a folder that vLLM serves and ``load_reward_model`` loads.

    Args:
        weights: Of the model, by name; written in the precision of ``config``.
        config: Configuration that was started from.
        tokenizer: With the step token.
        folder: New or empty.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    dtype = config.dtype or torch.float32
    plain = {
        name: weight.detach().to("cpu", dtype).contiguous() for name, weight in weights.items()
    }
    save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})
    described = copy.deepcopy(config)
    described.architectures = [ARCHITECTURE]
    described.num_labels = N_CLASSES
    described.vocab_size = len(plain["model.embed_tokens.weight"])
    described.dtype = dtype
    text = json.dumps(described.to_diff_dict(), indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", "utf-8")
    tokenizer.save_pretrained(folder)


def score_tokens(
    model: Any, encoded: Sequence[Sequence[int]], step_id: int, pad_id: int, batch_rows: int = 64
) -> list[list[float]]:
    """Score texts.

    Args:
        model: Reward model.
        encoded: Token ids of each text.
        step_id: The step token's id.
        pad_id: The padding's.
        batch_rows: Texts at once; shorter ones go first.

    Returns:
        For each text the probability of class 1 at each of its step tokens, in [0, 1].
    """
    device = next(model.parameters()).device
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    scores: list[list[float]] = [[] for _ in encoded]
    for start in range(0, len(order), batch_rows):
        rows = order[start : start + batch_rows]
        width = max(len(encoded[i]) for i in rows)
        ids = torch.full((len(rows), width), pad_id)
        for row, i in enumerate(rows):
            ids[row, : len(encoded[i])] = torch.tensor(encoded[i])
        with torch.inference_mode():  # padding is on the right, where no step token looks
            chances = model(ids.to(device))["logits"].float().softmax(-1)[..., 1].cpu()
        for row, i in enumerate(rows):
            own = chances[row, : len(encoded[i])]
            scores[i] = own[ids[row, : len(encoded[i])] == step_id].tolist()
    return scores
