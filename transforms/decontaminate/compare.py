"""Two problems side by side: what was changed between them, and how much is the same.

A person calls two problems the same when nothing that matters was exchanged and most of the rest is
there. So a score is taken only where no number, sign or kind of thing was put in place of another:
the share of common words, of common numbers and of common characters, one third each. Few words or
few numbers say little, so they lean on the characters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher

from butwait.transforms.decontaminate.forms import Form, weigh
from butwait.transforms.decontaminate.vocabulary import KINDS

WORDS_PRIOR = 3.0
"""Words that a problem's own words are diluted with, so that one common word is no evidence."""
NUMBERS_PRIOR = 2.0
"""The same for numbers."""
RUNS_AS_TEXT = 0.75
"""A share in runs counts so much as common text: an equation alone is not yet the problem."""
N_ORDERED = 100
"""Numbers whose order is compared."""
N_ALIGNED = 600
"""Longest form, in tokens, whose numbers are compared in order (quadratic at worst)."""
SAME_ORDER = 0.85
"""Share of tokens in the same order from which numbers must be in the same order, too."""


@dataclass(frozen=True)
class Likeness:
    """How alike two problems are, from 0 to 1."""

    words: float
    numbers: float
    text: float
    """Jaccard similarity of the characters, or the share in shared runs where that is more."""

    @property
    def score(self) -> float:
        """Their mean."""
        return (self.words + self.numbers + self.text) / 3


def lacks_numbers(ours: Form, theirs: Form) -> bool:
    """Whether so many of our numbers are missing that no part of theirs can be a copy; quick."""
    return len(ours.values - theirs.values) > _n_spare(ours)


def find_change(ours: Form, theirs: Form) -> str:
    """Return what was put in place of what, empty where nothing was.

    Args:
        ours: The benchmark's problem.
        theirs: The question, or the part of it that may be a copy.
    """
    missing, added = _differ(ours, theirs)
    if missing and added:
        return f"numbers {_name(missing)} became {_name(added)}"
    if _n(missing + added) > _n_spare(ours):
        return f"numbers {_name(missing + added)} stand on one side only"
    (plus, minus), (their_plus, their_minus) = ours.signs, theirs.signs
    if (plus - their_plus) * (minus - their_minus) < 0:
        return "a plus became a minus"
    for group in ours.kinds.keys() & theirs.kinds.keys():
        a, b = ours.kinds[group], theirs.kinds[group]
        if a - b and b - a:
            return f"{_name(a - b)} became {_name(b - a)}"
    return ""


def measure(ours: Form, theirs: Form, in_runs: float = 0.0) -> Likeness:
    """Measure how much of two problems is the same.

    Args:
        ours: The benchmark's problem.
        theirs: The question, or the part of it that may be a copy.
        in_runs: Share of our problem in shared runs.
    """
    both = len(ours.shingle_set & theirs.shingle_set)
    text = max(
        RUNS_AS_TEXT * in_runs, both / (len(ours.shingle_set) + len(theirs.shingle_set) - both)
    )
    weights = ours.weight + theirs.weight
    words = (2 * weigh(ours.words & theirs.words) + WORDS_PRIOR * text) / (weights + WORDS_PRIOR)
    missing, added = _differ(ours, theirs)
    total = ours.n_numbers + theirs.n_numbers
    common = total - _n(missing) - _n(added)
    in_order = common * (1 + _order(ours, theirs)) / 2
    numbers = (in_order + NUMBERS_PRIOR * text) / (total + NUMBERS_PRIOR)
    return Likeness(words, numbers, text)


def _order(ours: Form, theirs: Form) -> float:
    """Share of the numbers that stand in the same order."""
    a, b = ([t for t in form.tokens if t[0].isdigit()][:N_ORDERED] for form in (ours, theirs))
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    matched = sum(block.size for block in matcher.get_matching_blocks())
    return matched / max(1, min(len(a), len(b)))


def _differ(ours: Form, theirs: Form) -> tuple[Counter[str], Counter[str]]:
    """Numbers missing in theirs and added there; a word ``one`` stands for a 1 where one lacks."""
    missing, added = ours.numbers - theirs.numbers, theirs.numbers - ours.numbers
    for side, other in ((missing, theirs), (added, ours)):
        if side["1"] and other.n_ones:
            side["1"] -= min(side["1"], other.n_ones)
    return +missing, +added


def find_exchange(ours: Form, theirs: Form) -> str:
    """Return what changed places in texts that are otherwise the same; empty for nothing."""
    if max(len(ours.tokens), len(theirs.tokens)) > N_ALIGNED:
        return ""
    a, b = ([_mask(token) for token in form.tokens] for form in (ours, theirs))
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < SAME_ORDER:
        return ""
    for block in matcher.get_matching_blocks():
        for i in range(2, block.size):  # the two tokens before say whose it is
            x, y = ours.tokens[block.a + i], theirs.tokens[block.b + i]
            if x != y and KINDS.get(x, (x, x)) != KINDS.get(y, (y, y)):
                return f"{x} and {y} changed places"
    return ""


def _mask(token: str) -> str:
    if token[0].isdigit():
        return "#"
    if token in ("+", "-"):
        return "±"
    return KINDS[token][0] if token in KINDS else token


def _n_spare(ours: Form) -> int:
    """How many numbers may stand on one side only."""
    return max(1, ours.n_numbers // 4)


def _n(counter: Counter[str]) -> int:
    return sum(counter.values())


def _name(counter: Counter[str]) -> str:
    return ", ".join(list(counter.elements())[:5])
