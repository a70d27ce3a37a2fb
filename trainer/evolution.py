r"""Direct evolution: a rollout's twin begins like it, is told to doubt, and goes on by itself.

The mechanism is that of the code published by the authors of "Lessons on Reproducing R1-like
Reasoning in Small LLMs" (``insert_reasoning_phrases``): cut at a random blank line, else at a
newline, append a phrase, generate on, verify both, compare all in one group. Chosen here, where
that is silent: cuts lie between tokens, so the kept tokens are the sampled ones; a rollout without
any newline is kept whole, its end token apart, and the phrase follows a blank line; one too long
for that begins anew with the phrase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from butwait.schemas.recipe_grpo import EvolutionSpec

STREAM = 0xE0
"""Sets these random numbers apart from others of the same seed."""


@dataclass(frozen=True)
class Evolver:
    """What twins are made with.

    Args:
        phrases: Token ids of each phrase.
        gap: Token ids of a blank line.
        cut: Where a rollout may be cut, first choice.
        mask_inserted: Whether the inserted tokens stay out of the loss.
        ends: Tokens that end a turn.
        pieces: Gives each token's own text.
        seed: The recipe's.
    """

    phrases: tuple[tuple[int, ...], ...]
    gap: tuple[int, ...]
    cut: str
    mask_inserted: bool
    ends: frozenset[int]
    pieces: Callable[[Sequence[int]], list[str]]
    seed: int


@dataclass(frozen=True)
class Twin:
    """How a twin begins: kept tokens, then inserted ones.

    Args:
        kept: Tokens of the first rollout.
        inserted: Tokens of the phrase, and of a blank line before it where one was needed.
        longest: ``max_completion_length``.
    """

    kept: list[int]
    inserted: list[int]
    longest: int

    @property
    def head(self) -> list[int]:
        """What generation goes on from."""
        return self.kept + self.inserted

    @property
    def room(self) -> int:
        """Tokens that are left for it, at least 1."""
        return self.longest - len(self.head)

    def join(self, tail: Sequence[int]) -> list[int]:
        """The whole twin, cut at the longest rollout."""
        return [*self.head, *tail][: self.longest]

    def mask(self, length: int) -> list[int]:
        """1 for the policy's tokens, 0 for the inserted ones."""
        begin, end = len(self.kept), len(self.head)
        return [int(not begin <= i < end) for i in range(length)]

    def join_logps(
        self, first: Sequence[float | None], tail: Sequence[float | None]
    ) -> list[float | None]:
        """Sampled log-probabilities of the whole twin; None for what nobody sampled."""
        known = [*first[: len(self.kept)], *(None for _ in self.inserted), *tail]
        return known[: self.longest]


def make_evolver(spec: EvolutionSpec, tokenizer: Any, ends: set[int], seed: int) -> Evolver:
    """Prepare the phrases of a recipe for a tokenizer."""

    def encode(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    def split(ids: Sequence[int]) -> list[str]:
        return list(tokenizer.batch_decode([[i] for i in ids], skip_special_tokens=False))

    return Evolver(
        phrases=tuple(encode(phrase) for phrase in spec.phrases),
        gap=encode("\n\n"),
        cut=spec.cut,
        mask_inserted=spec.mask_inserted,
        ends=frozenset(ends),
        pieces=split,
        seed=seed,
    )


def make_twins(
    rollouts: Sequence[Sequence[int]], evolver: Evolver, place: Sequence[int], longest: int
) -> list[Twin]:
    """Cut each rollout and insert a phrase.

    Args:
        rollouts: Token ids, with the end token where there is one.
        evolver: Phrases and cuts.
        place: Numbers that tell this call from others of the run (step, process).
        longest: ``max_completion_length``, in tokens.

    Returns:
        One twin each; at least one token is left for it to say.
    """
    rng = np.random.default_rng([evolver.seed, STREAM, *place])
    return [_make_twin(list(ids), evolver, rng, longest) for ids in rollouts]


def _make_twin(ids: list[int], evolver: Evolver, rng: np.random.Generator, longest: int) -> Twin:
    phrase = list(evolver.phrases[rng.integers(len(evolver.phrases))])[: longest - 1]
    while ids and ids[-1] in evolver.ends:
        ids.pop()
    room = longest - 1 - len(phrase)
    cuts = find_cuts(evolver.pieces(ids), evolver.cut, room)
    if cuts:
        return Twin(ids[: cuts[rng.integers(len(cuts))]], phrase, longest)
    if len(ids) + len(evolver.gap) <= room:
        return Twin(ids, [*evolver.gap, *phrase], longest)
    return Twin([], phrase, longest)


def find_cuts(pieces: Sequence[str], cut: str, room: int) -> list[int]:
    r"""Find where a rollout can be cut: the numbers of tokens that may be kept.

    Args:
        pieces: The text of each token.
        cut: ``blank_line`` (else a newline) or ``newline``.
        room: Most tokens that may be kept.

    >>> find_cuts(["A", ".\n\n", "B", "\n", "\n", "C"], "blank_line", 9)
    [2, 5]
    >>> find_cuts(["A", "\n", "B"], "blank_line", 9), find_cuts(["A", "B"], "blank_line", 9)
    ([2], [])
    """
    tail, blank, newline = "", [], []
    for n, piece in enumerate(pieces[: max(room, 0)], start=1):
        tail = (tail + piece)[-2:]
        if tail.endswith("\n"):
            newline.append(n)
        if tail == "\n\n":
            blank.append(n)
    return blank if blank and cut == "blank_line" else newline
