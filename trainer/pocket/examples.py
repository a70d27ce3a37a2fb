"""From corpus records to token batches.

A record has ``system``, ``user`` and ``spans``; only the completion's learned spans and the closing
token count in the loss. Batches hold examples of similar length, so that little is padded; the
order is seeded.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from butwait.schemas.errors import SourceError
from butwait.trainer.pocket.tokens import END

BATCHES_A_BUCKET = 16


@dataclass(frozen=True)
class Example:
    """Token ids of a whole chat and, for each, whether the loss counts its prediction."""

    ids: list[int]
    learned: list[bool]


def read_records(path: Path, start: int, stop: int) -> list[dict[str, Any]]:
    """Read records ``start`` to ``stop`` (exclusive) of a JSON Lines file.

    Raises:
        SourceError: If the file holds fewer than ``stop`` records.
    """
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in islice(file, start, stop)]
    if len(records) != stop - start:
        raise SourceError(f"{path} ends before record {stop}: write a longer corpus")
    return records


def render_prompt(tokenizer: Any, user: str, system: str | None) -> str:
    """Render a chat up to and including the assistant's role token."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": user})
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def encode_record(tokenizer: Any, record: dict[str, Any]) -> Example:
    """Tokenize one record as a whole and mark the learned tokens by their character offsets."""
    text = render_prompt(tokenizer, record["user"], record["system"])
    learned_chars = [False] * len(text)
    for span, learn in [*record["spans"], (END, True)]:
        text += span
        learned_chars += [learn] * len(span)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    learned = [learned_chars[start] for start, _ in encoding["offset_mapping"]]
    return Example(encoding["input_ids"], learned)


class HasIds(Protocol):
    """Anything with token ids."""

    @property
    def ids(self) -> list[int]:
        """Token ids of a whole chat."""


Tokenized = TypeVar("Tokenized", bound=HasIds)


def draw_batches(
    examples: Sequence[Tokenized], batch_size: int, seed: int
) -> Iterator[list[Tokenized]]:
    """Cut examples into batches of similar length; every full batch once, in seeded order."""
    rng = random.Random(seed)
    bucket_size = batch_size * BATCHES_A_BUCKET
    for start in range(0, len(examples), bucket_size):
        bucket = sorted(examples[start : start + bucket_size], key=lambda e: len(e.ids))
        batches = [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
        rng.shuffle(batches)
        yield from batches


def pad_batch(batch: Sequence[Example], pad_id: int) -> tuple[Any, Any]:
    """Pad on the right.

    Returns:
        ``ids`` (batch, length) and ``targets`` (batch, length): the next token's id where the loss
        counts it, -100 elsewhere.
    """
    import torch

    length = max(len(example.ids) for example in batch)
    ids = torch.full((len(batch), length), pad_id)
    targets = torch.full((len(batch), length), -100)
    for row, example in enumerate(batch):
        n = len(example.ids)
        ids[row, :n] = torch.tensor(example.ids)
        counted = torch.tensor(example.learned[1:])
        targets[row, : n - 1] = torch.where(counted, ids[row, 1:n], -100)
    return ids, targets
