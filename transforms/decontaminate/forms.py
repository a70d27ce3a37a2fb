"""A problem as the detector compares it: its canonical tokens, and what of them makes a problem.

What makes a problem: its numbers, its signs, its words that are not in every problem, and the few
words (``KINDS``) that change a question as a number does. Names of variables count as letters,
whichever they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from butwait.transforms.decontaminate.normalise import is_name, tokenise
from butwait.transforms.decontaminate.vocabulary import (
    COMMON_WORDS,
    HOW_MANY,
    KINDS,
    STOP_WORDS,
)

COMMON_WEIGHT = 0.5
N_SHINGLE = 6
"""Characters of a shingle: about a word with its blank."""
_NAME = "."
_NO_WORD = frozenset(".0123456789+-=<>^!")


@dataclass(frozen=True)
class Form:
    """One problem, or a part of a longer text."""

    tokens: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """The same for problems that differ in typesetting only; parts of numbers stay apart."""
        return "".join(f"{t} " if t[0].isdigit() else t for t in self.tokens)

    @cached_property
    def said(self) -> list[str]:
        """The tokens that say something, in order: words by their stems, names by their length."""
        return [spoken for t in self.tokens if (spoken := _say(t))]

    @cached_property
    def shingles(self) -> list[str]:
        """Runs of characters of what says something, names made alike; with repetitions."""
        text = " ".join(self.said) or " ".join(self.tokens)
        return [text[i : i + N_SHINGLE] for i in range(max(1, len(text) - N_SHINGLE + 1))]

    @cached_property
    def shingle_set(self) -> frozenset[str]:
        """The shingles, once each."""
        return frozenset(self.shingles)

    @cached_property
    def words(self) -> Counter[str]:
        """Stems of the words that say something, with their counts."""
        return Counter(t for t in self.said if t[0] not in _NO_WORD)

    @cached_property
    def weight(self) -> float:
        """How much the words say together."""
        return weigh(self.words)

    @cached_property
    def numbers(self) -> Counter[str]:
        """Number groups with their counts."""
        return Counter(t for t in self.tokens if t[0].isdigit())

    @cached_property
    def values(self) -> frozenset[str]:
        """The different numbers but 1, which may be spelled ``one``."""
        return frozenset(self.numbers) - {"1"}

    @cached_property
    def n_numbers(self) -> int:
        """How many numbers there are, repetitions counted."""
        return sum(self.numbers.values())

    @cached_property
    def n_ones(self) -> int:
        """How often the word ``one`` stands there: a 1, or a pronoun."""
        return self.tokens.count("one")

    @cached_property
    def signs(self) -> tuple[int, int]:
        """How many plus and minus signs there are."""
        return self.tokens.count("+"), self.tokens.count("-")

    @cached_property
    def kinds(self) -> dict[str, Counter[str]]:
        """Group → what of it is named, with counts."""
        found: dict[str, Counter[str]] = {}
        for word, after in zip(self.tokens, (*self.tokens[1:], ""), strict=True):
            kind = KINDS.get(word)
            if word == "many" or (word == "number" and after == "of"):
                kind = HOW_MANY
            if kind is not None:
                found.setdefault(kind[0], Counter())[kind[1]] += 1
        return found


def read_form(text: str) -> Form:
    """Return a problem's form."""
    return Form(tuple(tokenise(text)))


def weigh(words: Counter[str]) -> float:
    """Return how much words say together."""
    return sum(n * (COMMON_WEIGHT if word in _COMMON_STEMS else 1.0) for word, n in words.items())


def stem(word: str) -> str:
    """Return a word without its commonest endings.

    >>> stem("walks") == stem("walking") == stem("walked")
    True
    """
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word[: -len(ending)]
            break
    return word.removesuffix("e") if len(word) > _SHORTEST_STEM else word


@lru_cache(maxsize=1 << 16)
def _say(token: str) -> str:
    if token in STOP_WORDS:
        return ""
    if is_name(token):
        return _NAME * len(token)
    if token in KINDS:
        return KINDS[token][1]
    return stem(token) if token.islower() else token


def weigh_token(token: str) -> float:
    """Return how much a token says: nothing for a word that any problem has."""
    if token in STOP_WORDS:
        return 0.0
    return COMMON_WEIGHT if token in COMMON_WORDS else 1.0


def cut(form: Form, start: int, stop: int) -> Form:
    """Return a part of a form."""
    return Form(form.tokens[max(0, start) : stop])


def spell(tokens: Sequence[str], limit: int) -> str:
    """Return tokens as one line of at most ``limit`` characters."""
    text = " ".join(tokens)
    return text if len(text) <= limit else text[: limit - 1] + "…"


_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "ly", "s")
_SHORTEST_STEM = 3
_COMMON_STEMS = frozenset(KINDS[word][1] if word in KINDS else stem(word) for word in COMMON_WORDS)
