"""Gold answers: their text out of a box, whether anything can be checked against them, canonical.

One gold answer is read once, however many samples are checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from butwait.schemas.verdict import VerdictName
from butwait.transforms.answers import last_boxed
from butwait.transforms.verify.budget import budget
from butwait.transforms.verify.forms import Undefined
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.mode import Mode
from butwait.transforms.verify.plain import may_be_plain, read_rational
from butwait.transforms.verify.render import render
from butwait.transforms.verify.scalars import exact_form
from butwait.transforms.verify.staged import read_cached, read_typed
from butwait.transforms.verify.tree import (
    SCALARS,
    Matrix,
    Node,
    Seq,
    SetOp,
    Span,
    Text,
    plain_value,
)

# What data sets write where there is no answer to check.
_NO_GOLD = frozenset(
    [
        "proof",
        "prove",
        "notfound",
        "not found",
        "n a",
        "na",
        "none given",
        "null",
        "nan",
        "see solution",
        "no answer",
        "unknown",
        "not provided",
        "error",
        "solution",
        "answer",
    ]
)
# More words than this are an explanation that no two people write alike.
_PROSE_WORDS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict with the rule that gave it."""

    verdict: VerdictName
    rule: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold answer's bare text, its canonical text, and why it cannot be used (None: it can)."""

    text: str
    canonical: str | None
    unusable: Found | None


@lru_cache(maxsize=1024)
def read_gold(gold: str, limits: Limits, mode: Mode) -> Gold:
    """What there is to check an answer against."""
    text = bare(gold)
    plain = read_rational(text) if may_be_plain(limits, mode) else None
    if plain is not None:
        return Gold(text, plain.canonical, None)
    return _read_fully(text, limits, mode)


def _read_fully(text: str, limits: Limits, mode: Mode) -> Gold:
    with budget(limits.steps):
        unusable = _unusable(text, limits, mode)
    return Gold(text, canonical_text(text, limits), unusable)


def bare(gold: str) -> str:
    """An answer without the box or the solution around it."""
    if "\\boxed" in gold or "\\fbox" in gold:
        box = last_boxed(gold)
        return box.text if box else gold
    # A solution that ends in "#### 5", as GSM8K writes its answers.
    return gold.rpartition("####")[2].strip() or gold if "####" in gold else gold


def _unusable(gold: str, limits: Limits, mode: Mode) -> Found | None:
    node = read_typed(gold, limits, mode)
    if isinstance(node, str):
        return Found("gold_unusable", "unreadable_gold", f"the gold answer cannot be read: {node}")
    if isinstance(node, Text) and node.words in _NO_GOLD:
        return Found("gold_unusable", "no_gold", "the gold field says that there is no answer")
    if isinstance(node, Text) and len(node.words.split()) > _PROSE_WORDS:
        return Found("gold_unusable", "prose_gold", "the gold answer is a sentence")
    if _has_no_value(node, limits):
        return Found("gold_unusable", "undefined_gold", "the gold answer has no value")
    return None


def _has_no_value(node: Node, limits: Limits) -> bool:
    """Whether a number, or one of the parts of a collection, is like 1/0."""
    parts: tuple[Node, ...] = ()
    if isinstance(node, Seq | SetOp):
        parts = node.items
    elif isinstance(node, Span):
        parts = (node.low, node.high)
    elif isinstance(node, Matrix):
        parts = tuple(cell for row in node.rows for cell in row)
    if parts:
        return any(_has_no_value(part, limits) for part in parts)
    if not isinstance(node, SCALARS) or plain_value(node) is not None:
        return False
    try:
        exact_form(node, limits)
    except Undefined:
        return True
    return False


@lru_cache(maxsize=1024)
def canonical_text(text: str | None, limits: Limits) -> str | None:
    """The canonical text of a bare answer, or None when it cannot be read."""
    node = read_cached(text, limits) if text is not None else ""
    with budget(limits.steps):
        return None if isinstance(node, str) else render(node, limits)
