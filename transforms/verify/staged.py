"""The stages of one comparison of two bare answers: text, exact values, shapes, symbols.

``compare_in_process`` is bounded by construction; ``compare_symbolically`` runs in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from butwait.transforms.verify.amounts import Equal
from butwait.transforms.verify.answer_types import PRODUCT_TYPES, read_as
from butwait.transforms.verify.ball import Unknown, enclose
from butwait.transforms.verify.budget import budget
from butwait.transforms.verify.clean import clean_text, squeeze
from butwait.transforms.verify.decide import Comparison
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.mode import EXACT, Mode
from butwait.transforms.verify.scalars import ExactStage
from butwait.transforms.verify.shapes import read_answer
from butwait.transforms.verify.tree import Node, Num, Seq, Unreadable, symbols
from butwait.transforms.verify.words import unwrap_text

# Texts up to this length share a large cache; longer ones, whose trees are big, a small one.
_SHORT = 120


def read_cached(text: str, limits: Limits, grouped: bool = True) -> Node | str:
    """The tree of an answer, or why it has none."""
    read = _read_short if len(text) <= _SHORT else _read_long
    return read(text, limits, grouped)


def _read(text: str, limits: Limits, grouped: bool) -> Node | str:
    try:
        return read_answer(text, limits, grouped=grouped)
    except Unreadable as reason:
        return str(reason)
    except RecursionError:
        return "too deep"


_read_short = lru_cache(maxsize=1024)(_read)
_read_long = lru_cache(maxsize=128)(_read)


def read_typed(text: str, limits: Limits, mode: Mode) -> Node | str:
    """The tree of an answer under the type that was given, or why it has none."""
    node = read_cached(text, limits, mode.answer_type != "list")
    if mode.answer_type is None or isinstance(node, str):
        return node
    try:
        return read_as(node, text, mode.answer_type)
    except Unreadable as reason:
        return str(reason)


def equal_text(gold: str, answer: str) -> bool:
    """Whether two answers are the same text after typography."""
    return gold == answer or squeeze(clean_text(gold)) == squeeze(clean_text(answer))


def _single_word(text: str) -> str | None:
    """The answer as one case-free word of letters, or None."""
    word = unwrap_text(clean_text(text)).strip(" .")
    return word.lower() if len(word) > 1 and word.isascii() and word.isalpha() else None


def compare_in_process(
    gold: str, answer: str, limits: Limits, mode: Mode = EXACT
) -> tuple[bool | None, str]:
    """The verdict of the bounded stages and the rule that gave it."""
    one, two = read_typed(gold, limits, mode), read_typed(answer, limits, mode)
    if isinstance(two, str) and two.startswith("not of the type"):
        return False, "type"
    if isinstance(one, str) or isinstance(two, str):
        return False, "unreadable"
    if mode.answer_type not in PRODUCT_TYPES:
        number_words = isinstance(one, Num) and isinstance(two, Num)
        word = None if number_words else _single_word(gold)
        other = _single_word(answer) if word else None
        if word and other:
            # Letters in a row on both sides are words, not products.
            return word == other, "text"

    exact = ExactStage(limits)
    result, rule = _compare(gold, answer, (one, two), limits, exact.equal, mode)
    rule = exact.rule if rule == "value" else rule
    if result is not True and mode.tolerance:
        near = _within(exact.equal, mode.tolerance)
        if _compare(gold, answer, (one, two), limits, near, mode)[0] is True:
            return True, "tolerance"
    return result, rule


def compare_symbolically(message: dict[str, Any]) -> tuple[bool | None, str]:
    """The verdict of all stages; for worker processes.

    Args:
        message: ``gold``, ``answer``, ``limits`` and ``mode``.
    """
    from butwait.transforms.verify.symbolic import Symbolic

    limits, mode = Limits(**message["limits"]), Mode(**message.get("mode", {}))
    gold, answer = message["gold"], message["answer"]
    one, two = read_typed(gold, limits, mode), read_typed(answer, limits, mode)
    if isinstance(one, str) or isinstance(two, str):
        return False, "unreadable"
    return _compare(gold, answer, (one, two), limits, Symbolic(limits).equal, mode)


def _compare(
    gold: str, answer: str, trees: tuple[Node, Node], limits: Limits, equal: Equal, mode: Mode
) -> tuple[bool | None, str]:
    with budget(limits.steps):
        return _compare_trees(gold, answer, trees, limits, equal, mode)


def _compare_trees(
    gold: str, answer: str, trees: tuple[Node, Node], limits: Limits, equal: Equal, mode: Mode
) -> tuple[bool | None, str]:
    one, two = trees
    comparison = Comparison(equal, limits, percent_optional=mode.percent_optional)
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


def _within(exact: Callable[[Node, Node], bool | None], tolerance: float) -> Equal:
    """Equality of constants up to a relative difference, shown by their enclosures."""

    def near(a: Node, b: Node) -> bool | None:
        known = exact(a, b)
        if known is True or symbols(a) or symbols(b):
            return known
        try:
            one, two = enclose(a, {}, real=False), enclose(b, {}, real=False)
        except Unknown:
            return known
        reach = tolerance * max(abs(one[0]), abs(two[0]))
        # Half an ulp of slack: a difference that was written as the tolerance itself is within it.
        return abs(one[0] - two[0]) <= reach * (1 + 1e-12) or known

    return near
