"""A few rows of every configuration, drawn by a fixed seed, as pieces with the part they play."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from butwait.evals.report.stream import Notes, count_rows, stream

N_SHOWN = 8
"""Rows of a configuration."""
MOST_CONFIGS = 12
MOST_CHARACTERS = 400_000
"""Of all texts together: a character may be five when it is escaped."""
MOST_TEXTS = 40
"""Of a row."""
MOST_PIECES = 400
"""Of a text."""
_COLUMNS = (
    "id", "prompt", "completion", "spans", "problem", "answer", "pass_rate", "flow", "chosen",
    "rejected", "prefix_characters", "completions", "labels", "n_transitions",
)  # fmt: skip
ROLES = ("path", "wrong_branch", "transition", "answer", "prefix", "right", "wrong")


@dataclass(frozen=True)
class Piece:
    """A run of text with one role; '' where it plays none."""

    role: str
    text: str


@dataclass(frozen=True)
class Text:
    """One turn, side or list of steps."""

    title: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class ShownRow:
    """One row to look at."""

    id: str
    facts: tuple[str, ...]
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Shown:
    """Rows of one configuration, or cells of one arm."""

    name: str
    total: int
    rows: tuple[ShownRow, ...]


def sample_rows(run: Path, names: Sequence[str], notes: Notes) -> list[Shown]:
    """Return some rows of each configuration, the same ones every time."""
    found = []
    for name in names[:MOST_CONFIGS]:
        paths = sorted((run / "rows" / name).glob("train-*.parquet"))
        total, rows = draw_rows(paths, _COLUMNS, notes)
        found.append(Shown(name[:80], total, tuple(show_row(row) for row in rows)))
    return trim_all(found)


def draw_rows(
    paths: Sequence[Path], columns: Sequence[str], notes: Notes
) -> tuple[int, list[dict[str, Any]]]:
    """Return how many rows some files hold, and a few of them, the same ones every time."""
    sizes = [count_rows(path, notes) for path in paths]
    total = sum(sizes)
    wanted = sorted(random.Random(0).sample(range(total), min(N_SHOWN, total)))
    rows, before = [], 0
    for path, size in zip(paths, sizes, strict=True):
        places = [place - before for place in wanted if before <= place < before + size]
        rows += list(_pick(path, places, columns, notes)) if places else []
        before += size
    return total, rows


def _pick(
    path: Path, places: list[int], columns: Sequence[str], notes: Notes
) -> Iterator[dict[str, Any]]:
    """Yield the rows at some places; only the groups that hold them are read."""
    metadata = pq.read_metadata(path)
    there = [name for name in columns if name in pq.read_schema(path).names]
    first = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        inside = {place - first for place in places if first <= place < first + size}
        if inside:
            rows = stream(path, there, notes, groups=[group], batch=16)
            yield from (row for at, row in enumerate(rows) if at in inside)
        first += size


def show_row(row: dict[str, Any]) -> ShownRow:
    """Return a row of any class as texts in pieces."""
    facts = []
    if row.get("answer") is not None:
        facts.append(f"answer {str(row['answer'])[:100]}")
    if isinstance(row.get("pass_rate"), float):
        facts.append(f"pass rate {row['pass_rate']:.3g}")
    if row.get("flow"):
        facts.append(str(row["flow"])[:40].replace("_", " → ", 1))
    return ShownRow(str(row.get("id"))[:120], tuple(facts), tuple(_texts(row)))


def _texts(row: dict[str, Any]) -> Iterator[Text]:
    prompt = row.get("prompt")
    if isinstance(prompt, str):
        yield plain("user", prompt)
    for message in prompt if isinstance(prompt, list) else ():
        yield plain(str(message["role"])[:40], str(message["content"]))
    for message in row.get("completion") or ():
        yield Text("assistant", tuple(cut_spans(str(message["content"]), row.get("spans") or ())))
    for side in ("chosen", "rejected"):
        for message in row.get(side) or ():
            yield Text(side, _side(str(message["content"]), side, row.get("prefix_characters")))
    if row.get("completions"):
        steps = zip(row["completions"], row.get("labels") or (), strict=False)
        pieces = (Piece("right" if label else "wrong", f"{step}\n") for step, label in steps)
        yield Text("steps", tuple(pieces))


def _side(text: str, side: str, n_prefix: int | None) -> tuple[Piece, ...]:
    n = min(max(n_prefix or 0, 0), len(text))
    role = "right" if side == "chosen" else "wrong"
    return tuple(p for p in (Piece("prefix", text[:n]), Piece(role, text[n:])) if p.text)


def plain(title: str, text: str) -> Text:
    """Return a text that plays no part."""
    return Text(title, (Piece("", text),))


def cut_spans(text: str, spans: Iterable[dict[str, Any]]) -> Iterator[Piece]:
    """Yield a text in pieces by its spans; what overlaps or leaves the text is left out."""
    at = 0
    for span in spans:
        start, stop = max(int(span["start"]), at), min(int(span["end"]), len(text))
        if stop <= start:
            continue
        if start > at:
            yield Piece("", text[at:start])
        yield Piece(span["role"] if span["role"] in ROLES else "", text[start:stop])
        at = stop
    if at < len(text):
        yield Piece("", text[at:])


def trim_all(groups: Sequence[Shown]) -> list[Shown]:
    """Return groups whose texts have at most ``MOST_CHARACTERS`` together, each row the same."""
    n_rows = max(sum(len(group.rows) for group in groups), 1)
    return [
        Shown(
            group.name, group.total, tuple(_trim(r, MOST_CHARACTERS // n_rows) for r in group.rows)
        )
        for group in groups
    ]


def _trim(row: ShownRow, left: int) -> ShownRow:
    """Cut a row's texts; what a short one does not need the later ones have."""
    texts = row.texts[:MOST_TEXTS]
    kept = []
    for place, text in enumerate(texts):
        pieces, used = _cut_pieces(text.pieces, left // (len(texts) - place))
        left -= used
        kept.append(Text(text.title, pieces))
    return ShownRow(row.id, row.facts, tuple(kept))


def _cut_pieces(pieces: Sequence[Piece], most: int) -> tuple[tuple[Piece, ...], int]:
    kept: list[Piece] = []
    used = 0
    for piece in pieces[:MOST_PIECES]:
        text = piece.text[: most - used]
        used += len(text)
        if text:
            kept.append(Piece(piece.role, text))
    if more := sum(len(piece.text) for piece in pieces) - used:
        kept.append(Piece("", f" … ({more:,} more characters)"))
    return tuple(kept), used
