"""Runs of words: which stretches of a benchmark's problems stand word for word in a question.

One shared run is no copy: "where m and n are relatively prime positive integers. Find m + n." is
thirteen words of half of all AIME problems. What counts is the share of a problem that stands in
shared runs, where words that any problem may have weigh nothing. A run has 8 words at least, 13 in
problems of 39 words and more: a third of a problem in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from butwait.transforms.decontaminate.forms import weigh_token

SHORTEST_RUN = 8
LONGEST_RUN = 13
MAX_PLACES = 64
"""Places of one run that are kept: a run that stands everywhere names no problem."""
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

    def __init__(self, problems: Sequence[Sequence[str]], least: float) -> None:
        """Index the problems.

        Args:
            problems: Their tokens.
            least: Share of a problem, from 0 to 1, from which on it is found.
        """
        self._least = least
        self._weights = [[weigh_token(token) for token in tokens] for tokens in problems]
        self._places: dict[int, list[tuple[int, int]]] = {}
        for number, tokens in enumerate(problems):
            for start, run in enumerate(_runs(tokens)):
                places = self._places.setdefault(run, [])
                if len(places) < MAX_PLACES:
                    places.append((number, start))
        self._needed = [_count_needed(weights, least) for weights in self._weights]

    def find(self, tokens: Sequence[str]) -> dict[int, SharedRuns]:
        """Return what a question has of the problems of which it has enough."""
        matches = self._match(tokens)
        counts: dict[int, int] = {}
        for _, places in matches:
            for number, _ in places:
                counts[number] = counts.get(number, 0) + 1
        likely = {number for number, count in counts.items() if count >= self._needed[number]}
        if not likely:
            return {}
        shifts: dict[int, dict[int, set[int]]] = {number: {} for number in likely}
        for position, places in matches:
            for number, start in places:
                if number in likely:
                    shifts[number].setdefault(position - start, set()).add(start)
        found = ((number, _join(shifts[number], self._weights[number])) for number in likely)
        return {number: shared for number, shared in found if shared.share >= self._least}

    def _match(self, tokens: Sequence[str]) -> list[tuple[int, list[tuple[int, int]]]]:
        """Return the position of every known run with the places where it stands."""
        matches = []
        seen: dict[int, int] = {}
        for position, run in enumerate(_runs(tokens)):
            places = self._places.get(run)
            if places is None:
                continue
            seen[run] = seen.get(run, 0) + 1
            if seen[run] <= MAX_REPEATS:
                matches.append((position, places))
        return matches


def _count_needed(weights: Sequence[float], least: float) -> int:
    """Return how many matches can be enough at best: each of 8 tokens, none overlapping."""
    return max(
        1,
        run_length(len(weights)) - SHORTEST_RUN + 1,
        math.ceil(least * sum(weights) / SHORTEST_RUN),
    )


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


def _join(shifts: dict[int, set[int]], weights: Sequence[float]) -> SharedRuns:
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
    return SharedRuns(said / (sum(weights) or 1.0), offset, longest)


def _stretches(starts: set[int]) -> list[tuple[int, int]]:
    stretches: list[tuple[int, int]] = []
    for start in sorted(starts):
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], start + SHORTEST_RUN)
        else:
            stretches.append((start, start + SHORTEST_RUN))
    return stretches
