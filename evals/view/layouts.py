"""What the columns of a collection mean: its kind, what is searched, what can be filtered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Layout:
    """One kind of row. Paths that begin with ``@`` are not stored: a join computes them."""

    kind: str
    needs: frozenset[str]
    """Columns that tell the kind."""
    label: tuple[str, ...]
    """Paths of the line in the list; the first that is there is shown."""
    searched: tuple[str, ...]
    length: str | None = None
    """Path of the text whose characters are counted."""
    choices: dict[str, str] = field(default_factory=dict)
    """Filters by value: name and path."""
    rate: str | None = None
    """Path of the pass rate."""
    question: str = "question_id"
    badges: tuple[str, ...] = ()
    """Further paths that the list shows."""


_PROVENANCE = {"transform": "provenance.transform", "source": "provenance.source"}
_IDS = ("id", "question_id")
_TELLING = ("question", "problem", "prompt", "instruction", "input", "text", "content", "message")
"""Columns of unknown datasets that tell rows apart better than the first one."""

LAYOUTS = (
    Layout(
        "tree",
        frozenset({"nodes", "question_id"}),
        ("@problem", "question_id"),
        ("question_id", "nodes.text"),
        choices={"verdict": "@verdict", "method": "method", "source": "@source"},
        rate="@pass_rate",
    ),
    Layout(
        "preference",
        frozenset({"chosen", "rejected"}),
        ("prompt.content", "chosen.content"),
        (*_IDS, "prompt.content", "chosen.content", "rejected.content", "answer"),
        "chosen.content",
        _PROVENANCE,
    ),
    Layout(
        "steps",
        frozenset({"completions", "labels"}),
        ("prompt",),
        (*_IDS, "prompt", "completions", "answer"),
        "completions",
        {"verdict": "verdict", **_PROVENANCE},
    ),
    Layout(
        "sft",
        frozenset({"completion"}),
        ("prompt.content", "completion.content"),
        (*_IDS, "prompt.content", "completion.content", "answer"),
        "completion.content",
        {"flow": "flow", **_PROVENANCE},
        rate="pass_rate",
        badges=("n_transitions",),
    ),
    Layout(
        "sft",
        frozenset({"messages"}),
        ("messages.content",),
        (*_IDS, "messages.content", "answer"),
        "messages.content",
        {"flow": "flow", "source": "source", **_PROVENANCE},
        "pass_rate",
        badges=("n_transitions",),
    ),
    Layout(
        "rl",
        frozenset({"problem", "n_samples"}),
        ("problem",),
        (*_IDS, "problem", "solution", "answer"),
        "problem",
        _PROVENANCE,
        "pass_rate",
    ),
    Layout(
        "trajectory",
        frozenset({"text", "sample_index", "question_id"}),
        ("text",),
        (*_IDS, "text", "extracted"),
        "text",
        {"verdict": "verdict", "step": "step", "finish": "finish_reason", "source": "@source"},
        "@pass_rate",
        badges=("step", "sample_index"),
    ),
    Layout(
        "cell",
        frozenset({"text", "sample_index", "problem_id"}),
        ("text",),
        ("problem_id", "text", "extracted"),
        "text",
        {"verdict": "verdict", "finish": "finish_reason", "failure": "failure"},
        question="problem_id",
        badges=("problem_id", "sample_index"),
    ),
    Layout(
        "refused",
        frozenset({"reason", "excerpt"}),
        ("excerpt", "detail"),
        ("item", "question_id", "detail", "excerpt"),
        "excerpt",
        {"reason": "reason", "source": "dataset"},
        badges=("item",),
    ),
    Layout(
        "considered",
        frozenset({"question_id", "config", "n_rows"}),
        ("@problem", "question_id"),
        ("question_id",),
        None,
        {"config": "config", "reason": "reason"},
        badges=("n_rows",),
    ),
    Layout(
        "question",
        frozenset({"problem"}),
        ("problem",),
        ("id", "problem", "gold", "solution", "answer"),
        "problem",
        {"source": "source", "licence": "licence"},
        "pass_rate",
        question="id",
    ),
)


def find_layout(columns: Collection[str], leaves: Collection[str]) -> Layout:
    """Return the layout of a collection; of unknown columns all texts are searched.

    Args:
        columns: Top-level columns of its first shard.
        leaves: The same down to the leaves.
    """
    for layout in LAYOUTS:
        if layout.needs <= frozenset(columns):
            here = {n: p for n, p in layout.choices.items() if p[0] == "@" or p in leaves}
            rate = layout.rate
            rate = rate if rate and (rate[0] == "@" or rate in leaves) else None
            return replace(layout, choices=here, rate=rate)
    paths = tuple(leaves)
    label = (*(name for name in _TELLING if name in columns), *paths)
    choices = {name: name for name in ("verdict", "source", "transform") if name in columns}
    return Layout("other", frozenset(), label, paths, choices=choices, question="id")
