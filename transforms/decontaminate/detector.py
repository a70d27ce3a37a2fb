"""Copies of benchmark problems among questions: three rules, from the surest to the loosest.

``exact``: the same but for typesetting, alone or after words that any problem may have. ``runs``:
most of the problem stands word for word in the question, also inside a longer text. ``near``: set
anew or reworded. Whatever the rule, a problem with another number, sign or shape is another problem
(``find_change``). Leaves out what has to be understood: translations, the same problem in another
story, and a problem of which only the answer is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from butwait.schemas.record import Record
from butwait.transforms.decontaminate.compare import (
    Likeness,
    find_change,
    find_exchange,
    lacks_numbers,
    measure,
)
from butwait.transforms.decontaminate.forms import Form, cut, read_form, spell
from butwait.transforms.decontaminate.normalise import cut_choices
from butwait.transforms.decontaminate.runs import RunIndex, SharedRuns
from butwait.transforms.decontaminate.shingles import ShingleIndex
from butwait.transforms.decontaminate.vocabulary import STOP_WORDS

DETECTOR_VERSION = "1"
"""Goes into fingerprints and manifests: another version may find other copies."""


Kind = Literal["exact", "runs", "near"]
N_FRAME = 40
"""Most tokens before and after a problem ("Solve the following problem ...")."""


@dataclass(frozen=True)
class Thresholds:
    """From where on two problems are the same; measured in docs/decontamination.md."""

    score: float = 0.6
    """Least mean of common words, numbers and text."""
    text: float = 0.3
    """Least common text, as characters or in runs: words and numbers alone can be a coincidence."""
    runs: float = 0.6
    """Share of a problem's words in shared runs from which on the kind is ``runs``."""
    sure: float = 0.85
    """Score of a hit with high confidence."""


@dataclass(frozen=True)
class Target:
    """One problem of a benchmark."""

    benchmark: str
    id: str
    problem: str


class Hit(Record):
    """A question that is a copy of a benchmark's problem, with what speaks for it."""

    question_id: str
    benchmark: str
    benchmark_id: str
    kind: Kind
    score: float
    """Likeness from 0 to 1; 1 for ``exact``."""
    confidence: Literal["high", "medium"]
    """``medium``: reworded so much, or with so different an end, that a person should look."""
    evidence: str
    """What is the same, and how both begin."""


class Detector:
    """Benchmark problems, indexed; questions come one at a time and leave nothing behind.

    Pickled as its targets, and built anew where it arrives.
    """

    def __init__(self, targets: Iterable[Target], thresholds: Thresholds | None = None) -> None:
        """Index the problems that have a text.

        Args:
            targets: Problems of all benchmarks.
            thresholds: Where a copy begins; the measured ones if not given.
        """
        self.targets = tuple(targets)
        self.thresholds = thresholds or Thresholds()
        read = [(target, read_form(target.problem)) for target in self.targets]
        self._ours = [(target, form) for target, form in read if form.tokens]
        self._keys: dict[str, list[int]] = {}
        for number, (_, form) in enumerate(self._ours):
            self._keys.setdefault(form.key, []).append(number)
        self._runs = RunIndex([form.tokens for _, form in self._ours], self.thresholds.text)
        self._shingles = ShingleIndex([form.shingles for _, form in self._ours])

    def __reduce__(self) -> tuple[type[Detector], tuple[object, ...]]:
        return Detector, (self.targets, self.thresholds)

    def hits(self, question_id: str, problem: str) -> list[Hit]:
        """Return the benchmark problems that a question is a copy of, the likeliest first.

        Args:
            question_id: Goes into the hits.
            problem: Its text, of any length.
        """
        theirs = read_form(problem)
        if not theirs.tokens or not self._ours:
            return []
        views = [theirs]
        stem = cut_choices(problem)
        if stem is not None:
            views.append(read_form(stem))
        found: dict[int, _Match] = {}
        for view in views:
            for number, match in self._find(view).items():
                if number not in found or match.score > found[number].score:
                    found[number] = match
        hits = [self._report(question_id, number, match) for number, match in found.items()]
        return sorted(hits, key=lambda hit: (-hit.score, hit.benchmark, hit.benchmark_id))

    def _find(self, theirs: Form) -> dict[int, _Match]:
        found = {n: _Match("exact", 1.0, theirs) for n in self._keys.get(theirs.key, ())}
        shared = self._runs.find(theirs.tokens)
        for number in {*shared, *self._shingles.find(theirs.shingles)} - found.keys():
            match = self._judge(self._ours[number][1], theirs, shared.get(number))
            if match is not None:
                found[number] = match
        return found

    def _judge(self, ours: Form, theirs: Form, runs: SharedRuns | None) -> _Match | None:
        """Compare with the question, and with the part of it where the runs say the problem is."""
        if lacks_numbers(ours, theirs):
            return None
        n, n_theirs = len(ours.tokens), len(theirs.tokens)
        matches = []
        if n_theirs <= WHOLE * n + N_FRAME:
            if is_framed(ours, theirs):
                return _Match("exact", 1.0, theirs)
            matches.append(self._weigh(ours, theirs, runs))
        if runs is not None and n_theirs > n + PAD:
            part = cut(theirs, runs.offset - PAD, runs.offset + n + PAD)
            matches.append(self._weigh(ours, part, runs))
        return max((m for m in matches if m), key=lambda m: m.score, default=None)

    def _weigh(self, ours: Form, theirs: Form, runs: SharedRuns | None) -> _Match | None:
        limits = self.thresholds
        if not theirs.tokens or find_change(ours, theirs):
            return None
        likeness = measure(ours, theirs, runs.share if runs is not None else 0.0)
        if likeness.score < limits.score or likeness.text < limits.text:
            return None
        if find_exchange(ours, theirs):
            return None
        if runs is not None and runs.share >= limits.runs:
            return _Match("runs", likeness.score, theirs, likeness, runs)
        return _Match("near", likeness.score, theirs, likeness)

    def _report(self, question_id: str, number: int, match: _Match) -> Hit:
        target, ours = self._ours[number]
        score = round(match.score, 3)
        return Hit(
            question_id=question_id,
            benchmark=target.benchmark,
            benchmark_id=target.id,
            kind=match.kind,
            score=score,
            confidence="high" if score >= self.thresholds.sure else "medium",
            evidence=match.explain(ours),
        )


WHOLE = 2
"""A question of up to so many times a problem's tokens is compared as a whole, too."""
PAD = 4
"""Tokens before and after the part of a question where a problem should be."""
N_EVIDENCE = 120
"""Characters of each text in the evidence."""


@dataclass(frozen=True)
class _Match:
    kind: Kind
    score: float
    theirs: Form
    likeness: Likeness | None = None
    runs: SharedRuns | None = None

    def explain(self, ours: Form) -> str:
        if self.likeness is None:
            return f"the same but for typesetting: {spell(ours.tokens, N_EVIDENCE)!r}"
        if self.runs is not None:
            start, stop = self.runs.longest
            longest = spell(ours.tokens[start:stop], N_EVIDENCE)
            return f"{self.runs.share:.0%} of the words in shared runs, the longest {longest!r}"
        like = self.likeness
        return (
            f"words {like.words:.0%}, numbers {like.numbers:.0%}, text {like.text:.0%}"
            f" the same: {spell(self.theirs.tokens, N_EVIDENCE)!r} and"
            f" {spell(ours.tokens, N_EVIDENCE)!r}"
        )


def is_framed(ours: Form, theirs: Form) -> bool:
    """Whether the question is the problem and, before or after it, words that any may have."""
    n = len(ours.tokens)
    extra = len(theirs.tokens) - n
    if not 0 < extra <= N_FRAME:
        return False
    for start in range(extra + 1):
        if theirs.tokens[start : start + n] == ours.tokens:
            rest = theirs.tokens[:start] + theirs.tokens[start + n :]
            return all(token.lower() in STOP_WORDS for token in rest)
    return False
