"""Runs of words: which stretches of a benchmark's problems stand word for word in a question.

One shared run is no copy: "where m and n are relatively prime positive integers. Find m + n." is
thirteen words of half of all AIME problems. What counts is the share of a problem that stands in
shared runs, where words that any problem may have weigh nothing. A run has 8 words at least, 13 in
problems of 39 words and more: a third of a problem in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from butwait.transforms.decontaminate.forms import weigh_token

SHORTEST_RUN = 8
LONGEST_RUN = 13
MAX_PLACES = 64
"""Places of one run that are looked at: a run that stands everywhere names no problem."""
MAX_REPEATS = 4
"""Times that a run is looked up for one question."""


@dataclass(frozen=True)
class SharedRuns:
    """What a question has of one problem."""

    share: float
    """Share of the problem's tokens in shared runs, by what they say."""
    offset: int
    """Where in the question the problem would begin, by most of the runs; may be negative."""
    longest: tuple[int, int]
    """Start and stop of the longest run, in the problem's tokens."""


class RunIndex:
    """Where each run of ``SHORTEST_RUN`` tokens stands in the problems."""

    def __init__(self, problems: Sequence[Sequence[str]]) -> None:
        self._weights = [[weigh_token(token) for token in tokens] for tokens in problems]
        self._places: dict[int, list[tuple[int, int]]] = {}
        for number, tokens in enumerate(problems):
            for start, run in enumerate(_runs(tokens)):
                self._places.setdefault(run, []).append((number, start))

    def find(self, tokens: Sequence[str]) -> dict[int, SharedRuns]:
        """Return what a question has of every problem that it shares a run with."""
        matches: dict[int, dict[int, set[int]]] = {}
        seen: dict[int, int] = {}
        for position, run in enumerate(_runs(tokens)):
            if run not in self._places:
                continue
            seen[run] = seen.get(run, 0) + 1
            if seen[run] > MAX_REPEATS:
                continue
            for number, start in self._places[run][:MAX_PLACES]:
                shifts = matches.setdefault(number, {})
                shifts.setdefault(position - start, set()).add(start)
        found = ((n, _join(shifts, self._weights[n])) for n, shifts in matches.items())
        return {number: shared for number, shared in found if shared is not None}


def run_length(n_tokens: int) -> int:
    """Return how many words a run of a problem has.

    >>> run_length(10), run_length(30), run_length(100)
    (8, 10, 13)
    """
    return min(LONGEST_RUN, max(SHORTEST_RUN, n_tokens // 3))


def _runs(tokens: Sequence[str]) -> list[int]:
    return [
        hash(tuple(tokens[i : i + SHORTEST_RUN])) for i in range(len(tokens) - SHORTEST_RUN + 1)
    ]


def _join(shifts: dict[int, set[int]], weights: Sequence[float]) -> SharedRuns | None:
    """Join overlapping runs of one shift to longer ones and count the tokens in them."""
    length = run_length(len(weights))
    covered: set[int] = set()
    longest, best, offset = (0, 0), 0, 0
    for shift, starts in sorted(shifts.items()):
        here = 0
        for start, stop in _stretches(starts):
            if stop - start < length:
                continue
            covered.update(range(start, stop))
            here += stop - start
            longest = max(longest, (start, stop), key=lambda pair: pair[1] - pair[0])
        if here > best:
            best, offset = here, shift
    said = sum(weights[i] for i in covered)
    return SharedRuns(said / sum(weights), offset, longest) if said else None


def _stretches(starts: set[int]) -> list[tuple[int, int]]:
    stretches: list[tuple[int, int]] = []
    for start in sorted(starts):
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], start + SHORTEST_RUN)
        else:
            stretches.append((start, start + SHORTEST_RUN))
    return stretches
