"""The pocket tokenizer: byte-level BPE with every digit alone, and its chat template.

Everything can be written (bytes are the floor), a blank line is one token (the end of a step) and
`` + `` before a digit is one token. Left out: a beginning-of-text token; the role token starts a
chat. Pre-tokenizer pattern and sizes follow the measurements in docs/pocket.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SYSTEM = "Solve step by step. Put the answer in \\boxed{}."  # the line met most in training
VOCAB_SIZE = 704
CONTEXT = 512
PATTERN = r"\d|\n+| ?[A-Za-z]+(?: (?=\d))?| ?[^\sA-Za-z\d]+(?: (?=\d))?|\s+"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str]) -> Any:
    """Train the tokenizer.

    Args:
        texts: Plain texts without role tokens.

    Returns:
        A fast tokenizer of transformers with ``VOCAB_SIZE`` entries at most and the chat template.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
