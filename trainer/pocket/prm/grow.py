"""Grow the Llama scorer into a process reward model that can compare before it has learned.

A step is wrong where what was written is not what was to be expected. The trunk knows what is to be
expected next, in its last layer, and by then has forgotten what was written: the token's embedding
is 400 times smaller than what the layers add to it. A head on the trunk, or plain layers above it,
therefore rank hardly better than chance. So the network is widened and layers are added:

- 32 more dimensions, one more head. No layer of the trunk reads or writes them. They carry a code
  of the token itself, one-hot for the tokens that solutions are made of.
- The first new layer fetches the trunk's logits from the token before (a head that looks there by
  biases and rotary positions alone) and marks what comes after the assistant's role token (another
  head). Its MLP adds up by how much other digits or operations were likelier than the written one:
  the *surprise*; and the same with a margin.
- The second new layer looks for the greatest surprise so far. Everything else in it, and all of
  any further layer, starts as the identity; what follows from a surprise (a correction takes it
  back, a box outweighs it) is learned there.

What the trunk adds to the stream is divided by ``SHRINK`` (norms do not see it), so that new layers
with ordinary weights are heard. Departs from the usual growth by identity layers alone, which was
tried first: after 400 steps it ranked full solutions at 57 %, hardly better than chance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from butwait.trainer.pocket.model import load_checkpoint
from butwait.trainer.pocket.prm.model import TAG

CODE = 32  # dimensions of the token code, and the size of a head
SHRINK = 32.0
WRITTEN = [*"0123456789", "Ġ+Ġ", "Ġ-Ġ", "Ġ*Ġ", "Ġ/Ġ", "Ġ=Ġ", "StepĠ", ":Ġ", "Answer", "ĊĊ", "}"]
CODED = [*WRITTEN, TAG, "<|assistant|>"]
COMPARED = (range(10), range(10, 14))  # places in WRITTEN: digits, operations
N_WRITTEN = len(WRITTEN)
# Places among the 32 dimensions: the last two codes, marks the new layers write, all other tokens.
ASSISTANT, FLAG, SURPRISE, NEAR, WORST, WORST_NEAR, OTHER = 21, 22, 23, 24, 25, 26, 31

CODE_LENGTH = 0.5  # less than the embedding's 1.5, which it stands beside in the first norm
CODE_GAIN = 800.0
SHARPNESS = 9.0  # of the look at the token before
FETCH_GAIN = 6.0
STILL = 15  # the rotary pair that hardly turns: what is compared there has no position
FLAG_GAIN = 6.0
SHARP_GAIN, FORBID, MARGIN = 8.0, 160.0, 12.0
SURPRISE_GAIN = 0.1
WORST_GAIN = 4.0
LOUD, QUIET = 5.0, 0.2  # norm weights above the first new layer: what is fetched drowns the rest


def grow_scorer(folder: Path, n_new_layers: int, seed: int) -> tuple[Any, Any, Any]:
    """Make the untrained reward model from a Llama checkpoint.

    Returns:
        The reward model (float32), its configuration for the folder, and the tokenizer with
        ``TAG``.
    """
    import torch

    from butwait.trainer.reward_model import make_untrained

    llama, tokenizer = load_checkpoint(folder)
    tokenizer.add_special_tokens(
        {"extra_special_tokens": [TAG]}, replace_extra_special_tokens=False
    )
    torch.manual_seed(seed)
    config = _make_config(llama.config, len(tokenizer), n_new_layers)
    prm = make_untrained(config)
    for layer in (prm.score[0], prm.score[2]):
        layer.reset_parameters()  # transformers' are smaller than a head of this width wants
    blank_id = tokenizer.convert_tokens_to_ids("ĊĊ")
    code_ids = tokenizer.convert_tokens_to_ids(CODED)
    with torch.no_grad():
        _copy_trunk(prm.model, llama.model, code_ids, blank_id)
        _set_comparison(prm, llama, code_ids)
    return prm, config, tokenizer


def _copy_trunk(model: Any, old: Any, code_ids: list[int], blank_id: int) -> None:
    """Copy embeddings and layers; silence what was not copied."""
    width = old.config.hidden_size
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.zero_()
    _widen_table(model, old, code_ids, blank_id)
    for layer, narrow in zip(model.layers, old.layers, strict=False):
        _widen_layer(layer, narrow, width)
    _keep_first_norm(model, old, code_ids, width)
    for layer in model.layers[len(old.layers) :]:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()


def _set_comparison(prm: Any, llama: Any, code_ids: list[int]) -> None:
    """Set the first new layer, two heads of the second, and two units of the head."""
    width = llama.config.hidden_size
    first, second, *further = prm.model.layers[llama.config.num_hidden_layers :]
    _fetch_logits(first, llama, code_ids, width)
    _flag_answer(first, width)
    _compare(first, width)
    norms = [prm.model.norm]
    for layer in (second, *further):
        norms += [layer.input_layernorm, layer.post_attention_layernorm]
    for norm in norms:
        norm.weight.fill_(LOUD)
        norm.weight[:N_WRITTEN] = QUIET
    _find_worst(second.self_attn, 0, width + SURPRISE, width + WORST)
    _find_worst(second.self_attn, 1, width + NEAR, width + WORST_NEAR)
    _judge_worst(prm.score, width)


def _make_config(llama: Any, n_tokens: int, n_new_layers: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=n_tokens,
        hidden_size=llama.hidden_size + CODE,
        intermediate_size=llama.intermediate_size,
        num_hidden_layers=llama.num_hidden_layers + n_new_layers,
        num_attention_heads=llama.num_attention_heads + 1,
        num_key_value_heads=llama.num_key_value_heads + 1,
        max_position_embeddings=llama.max_position_embeddings,
        rms_norm_eps=llama.rms_norm_eps / SHRINK**2,
        rope_parameters=llama.rope_parameters,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=llama.eos_token_id,
        pad_token_id=llama.pad_token_id,
        dtype="bfloat16",
    )


def _widen_table(model: Any, old: Any, code_ids: list[int], blank_id: int) -> None:
    """Copy the embeddings and set the codes; the tag, which is last, copies the blank line."""
    import torch

    table = old.embed_tokens.weight
    rows = torch.cat([table, table[blank_id : blank_id + 1]])
    codes = torch.zeros(len(rows), CODE)
    codes[:, OTHER] = 1.0
    codes[code_ids] = torch.eye(CODE)[: len(code_ids)]
    model.embed_tokens.weight.copy_(torch.cat([rows, CODE_LENGTH * codes], 1) / SHRINK)


def _widen_layer(layer: Any, old: Any, width: int) -> None:
    """Copy a trunk layer into the first dimensions; the rest reads and writes nothing."""
    gain = (width / (width + CODE)) ** 0.5
    targets = dict(layer.named_parameters())
    for name, weight in old.named_parameters():
        target = targets[name]
        if weight.ndim == 1:
            target[:width] = weight * gain
            continue
        target.zero_()
        shrink = SHRINK if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
        target[: weight.shape[0], : weight.shape[1]] = weight / shrink


def _keep_first_norm(model: Any, old: Any, code_ids: list[int], width: int) -> None:
    """Set the very first norm exactly: there the code is as long as the embedding."""
    wide = model.embed_tokens.weight[code_ids]
    gain = (wide.pow(2).mean(1) / wide[:, :width].pow(2).mean(1)).sqrt().mean()
    model.layers[0].input_layernorm.weight[:width] = old.layers[0].input_layernorm.weight * gain


def _fetch_logits(layer: Any, llama: Any, code_ids: list[int], width: int) -> None:
    """Set the added head: look one token back, fetch the logits of ``WRITTEN`` from there."""
    import torch

    attention = layer.self_attn
    gain = (width / (width + CODE)) ** 0.5
    layer.input_layernorm.weight[:width] = llama.model.norm.weight * gain
    layer.input_layernorm.weight[width:] = CODE_GAIN / 4
    turns = llama.model.rotary_emb.inv_freq
    head = slice(width, width + CODE)
    for proj in (attention.q_proj, attention.k_proj, attention.v_proj):
        proj.weight[head] = 0.0
    attention.q_proj.bias[head] = SHARPNESS * torch.cat([turns.cos(), -turns.sin()])
    attention.k_proj.bias[head] = SHARPNESS * torch.cat([torch.ones(16), torch.zeros(16)])
    table = llama.model.embed_tokens.weight[code_ids[:N_WRITTEN]]
    attention.v_proj.weight[width : width + N_WRITTEN, :width] = table - table.mean(0)
    fetched = attention.v_proj.weight.new_ones(N_WRITTEN).diag()
    attention.o_proj.weight[:N_WRITTEN, width : width + N_WRITTEN] = FETCH_GAIN * fetched


def _flag_answer(layer: Any, width: int) -> None:
    """Set the first head: find the assistant's role token; before it there is nothing to find."""
    attention = layer.self_attn
    for proj in (attention.q_proj, attention.k_proj, attention.v_proj):
        proj.weight[:CODE] = 0.0
    attention.q_proj.bias[STILL] = 20.0
    attention.k_proj.weight[STILL, width + ASSISTANT] = 20.0
    attention.v_proj.weight[0, width + ASSISTANT] = 1.0
    attention.o_proj.weight[width + FLAG, 0] = FLAG_GAIN


def _compare(layer: Any, width: int) -> None:
    """Set the MLP: a unit for each pair of a written token and a likelier one of its kind."""
    mlp = layer.mlp
    layer.post_attention_layernorm.weight[width:] = CODE_GAIN
    layer.post_attention_layernorm.weight[width + FLAG] = 1.0
    pairs = [(x, i) for kind in COMPARED for x in kind for i in kind if x != i]
    for unit, (x, i) in enumerate([*pairs, *pairs]):
        near = unit >= len(pairs)
        gate, up = mlp.gate_proj.weight[unit], mlp.up_proj.weight[unit]
        gate.zero_()
        up.zero_()
        gate[width : width + len(CODED)] = -FORBID
        gate[width + OTHER] = -FORBID
        gate[width + x] = MARGIN if near else 0.0
        gate[i], gate[x] = SHARP_GAIN, -SHARP_GAIN
        up[width + FLAG] = 1.0
        mlp.down_proj.weight[width + (NEAR if near else SURPRISE), unit] = SURPRISE_GAIN


def _find_worst(attention: Any, head: int, source: int, target: int) -> None:
    """Set a head of the second new layer: attend to the greatest ``source``, copy it."""
    start = head * CODE
    for proj in (attention.q_proj, attention.k_proj, attention.v_proj):
        proj.weight[start : start + CODE] = 0.0
    attention.q_proj.bias[start + STILL] = 8.0
    attention.k_proj.weight[start + STILL, source] = 12.0
    attention.v_proj.weight[start, source] = 1.0
    attention.o_proj.weight[target, start] = WORST_GAIN


def _judge_worst(score: Any, width: int) -> None:
    """Set two units of the head: the greater the worst surprise, the less likely "right"."""
    for unit, source in enumerate((WORST, WORST_NEAR)):
        score[0].weight[unit] = 0.0
        score[0].weight[unit, width + source] = 1.0
        score[0].bias[unit] = 0.0
        score[2].weight[:, unit] = score[2].weight.new_tensor([0.25, -0.25])
