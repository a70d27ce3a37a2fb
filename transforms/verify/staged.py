"""The stages of one comparison of two bare answers: text, exact values, shapes, symbols.

``compare_in_process`` is bounded by construction; ``compare_symbolically`` runs in a worker.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from butwait.transforms.verify.clean import clean_text, squeeze
from butwait.transforms.verify.decide import Comparison
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.scalars import equal_scalars
from butwait.transforms.verify.shapes import read_answer
from butwait.transforms.verify.tree import Node, Num, Seq, Unreadable
from butwait.transforms.verify.words import unwrap_text


@lru_cache(maxsize=4096)
def read_cached(text: str, limits: Limits, grouped: bool = True) -> Node | str:
    """The tree of an answer, or why it has none."""
    try:
        return read_answer(text, limits, grouped=grouped)
    except Unreadable as reason:
        return str(reason)


def equal_text(gold: str, answer: str) -> bool:
    """Whether two answers are the same text after typography."""
    return gold == answer or squeeze(clean_text(gold)) == squeeze(clean_text(answer))


def _single_word(text: str) -> str | None:
    """The answer as one case-free word of letters, or None."""
    word = unwrap_text(clean_text(text)).strip(" .")
    return word.lower() if len(word) > 1 and word.isascii() and word.isalpha() else None


def compare_in_process(gold: str, answer: str, limits: Limits) -> tuple[bool | None, str]:
    """The verdict of the bounded stages and the rule that gave it."""
    one, two = read_cached(gold, limits), read_cached(answer, limits)
    if isinstance(one, str) or isinstance(two, str):
        return False, "unreadable"
    words = _single_word(gold), _single_word(answer)
    number_words = isinstance(one, Num) and isinstance(two, Num)
    if words[0] and words[1] and not number_words:
        # Letters in a row on both sides are words, not products.
        return words[0] == words[1], "text"
    return _compare(gold, answer, one, two, limits, None)


def compare_symbolically(message: dict[str, Any]) -> tuple[bool | None, str]:
    """The verdict of all stages; for worker processes.

    Args:
        message: ``gold``, ``answer`` and ``limits``.
    """
    from butwait.transforms.verify.symbolic import Symbolic

    limits = Limits(**message["limits"])
    gold, answer = message["gold"], message["answer"]
    one, two = read_cached(gold, limits), read_cached(answer, limits)
    if isinstance(one, str) or isinstance(two, str):
        return False, "unreadable"
    return _compare(gold, answer, one, two, limits, Symbolic(limits))


def _compare(
    gold: str, answer: str, one: Node, two: Node, limits: Limits, symbolic: Any
) -> tuple[bool | None, str]:
    def exact(a: Node, b: Node) -> bool | None:
        return equal_scalars(a, b, limits)

    comparison = Comparison(symbolic.equal if symbolic else exact, limits)
    result = comparison.same(one, two)
    if result is not True and isinstance(one, Seq) != isinstance(two, Seq):
        # "100,200" is one number or two: as two only when the other side is a collection.
        text = answer if isinstance(one, Seq) else gold
        apart = read_cached(text, limits, False) if "," in text else ""
        if isinstance(apart, Seq) and apart.kind == "list":
            pair = (one, apart) if isinstance(one, Seq) else (apart, two)
            if comparison.same(*pair) is True:
                return True, comparison.rule
            result = False
    return result, comparison.rule
