"""From sampled solutions to labelled token batches for the process reward model.

Each paragraph's end is either the tag (as Qwen writes steps) or stays a blank line (so that a
prefix counts as one step), by chance; the last is always a tag. Every token of the solution carries
a label, the tags included: what a slip looks like is learned where it happens, not two lines later.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.trainer.pocket.examples import render_prompt
from butwait.trainer.pocket.prm.labels import GAP, is_full_manner, label_characters
from butwait.trainer.pocket.prm.model import TAG

TAGGED_SHARES = (0.0, 0.5, 1.0)  # chance that an inner end is a tag; drawn once a text
SHORTCUTS_KEPT = 0.5
IGNORED = -100


@dataclass(frozen=True)
class LabelledExample:
    """Token ids of a chat and, for each, 1 (right so far), 0 or ``IGNORED`` (not judged)."""

    ids: list[int]
    labels: list[int]


def read_solutions(path: Path, seed: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Read (record, sampled text) pairs: each text of a problem once, only some shortcuts."""
    rng = random.Random(seed)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            for text in dict.fromkeys(record["texts"]):
                full = is_full_manner(text, record["solution"])
                if text and (full or rng.random() < SHORTCUTS_KEPT):
                    yield record, text


def encode_solution(
    tokenizer: Any, record: dict[str, Any], text: str, rng: random.Random
) -> LabelledExample:
    """Render a solution with tags, tokenize it, and label its tokens at their last characters."""
    labels = label_characters(text, record["solution"])
    share = rng.choice(TAGGED_SHARES)
    prompt = render_prompt(tokenizer, record["problem"], record["system"])
    rendered, marks = prompt, [IGNORED] * len(prompt)
    at = 0
    for paragraph in text.split(GAP):
        if paragraph:
            inner = at > 0
            if inner:
                end = TAG if rng.random() < share else GAP
                rendered, marks = rendered + end, marks + [marks[-1]] * len(end)
            rendered += paragraph
            marks += [int(label) for label in labels[at : at + len(paragraph)]]
        at += len(paragraph) + len(GAP)
    rendered, marks = rendered + TAG, marks + [marks[-1]] * len(TAG)
    encoding = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
    return LabelledExample(
        encoding["input_ids"], [marks[stop - 1] for _, stop in encoding["offset_mapping"]]
    )
