"""The verdict on one bare answer: text, stages in process, a worker, options and percent asked.

Repeated pairs are remembered: many samples of a question give the same answer.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache

from butwait.schemas.errors import VerifierError
from butwait.transforms.verify.golds import Found
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.mode import EXACT, Mode
from butwait.transforms.verify.options import options_of
from butwait.transforms.verify.plain import read_rational
from butwait.transforms.verify.pool import shared_pool
from butwait.transforms.verify.staged import compare_in_process, equal_text, read_cached
from butwait.transforms.verify.tree import Choice

_PROBLEM_CHARS = 20_000
_PERCENT_ASKED = re.compile(
    r"\b(?:what|which|how many)\s+(?:\w+\s+){0,2}percent(?:age)?\b|\b(?:in|as a) percent(?:age)?\b",
    re.IGNORECASE,
)
_PERCENT_SIGN = re.compile(r"\s*(?:\\?%|\\text\{\s*(?:\\?%|percent)\s*\}|percent)\s*$")
_PLAIN_NUMBER = re.compile(r"-?[\d.,/\s]{1,40}|-?\\d?frac\{\d{1,20}\}\{\d{1,20}\}")


class WorkerNeeded(Exception):
    """The bounded stages could not tell, and the caller asked not to wait for a worker."""


def decide(
    gold: str, answer: str, problem: str | None, limits: Limits, mode: Mode, *, wait: bool = True
) -> Found:
    """The verdict on a bare answer.

    Args:
        gold: A usable gold answer without its box.
        answer: What the model gave.
        problem: The question's text, for options and percent.
        limits: Bounds of this check.
        mode: Type and tolerance that the caller gave.
        wait: Whether to wait for a symbolic worker.

    Raises:
        WorkerNeeded: A worker is needed and ``wait`` is false.
        VerifierError: No worker can be started, or it failed.
    """
    if len(answer) > limits.answer_chars:
        return Found("incorrect", "too_long", f"{len(answer)} characters are no answer")
    found = _pair(gold, answer, limits, mode, wait)
    if found.verdict == "correct" or problem is None:
        return found
    if _asks_percent(problem) and _differ_by_percent_sign(gold, answer, limits):
        return Found("correct", "percent_asked", "the problem asks for a number of per cent")
    return _by_option(gold, answer, problem, limits, wait) or found


def compare_plainly(gold: str, answer: str) -> tuple[Found, tuple[str, str]] | None:
    """The verdict on two plain numbers with their canonical texts; None when one is not plain.

    No problem changes it: neither is a letter, neither has a percent sign.
    """
    one = read_rational(gold)
    two = read_rational(answer) if one is not None else None
    if one is None or two is None:
        return None
    if one.text == two.text:
        found = _STRING
    else:
        same = one[:2] == two[:2]
        found = _FOUND[same, one.bottom == 1 and two.bottom == 1]
    return found, (one.canonical, two.canonical)


_STRING = Found("correct", "string")
_FOUND = {
    (same, integers): Found(
        "correct" if same else "incorrect", "integer" if integers else "rational"
    )
    for same in (True, False)
    for integers in (True, False)
}


def _pair(gold: str, answer: str, limits: Limits, mode: Mode, wait: bool) -> Found:
    start = time.perf_counter()
    found = _in_process(gold, answer, limits, mode)
    if found is not None:
        return found
    if not wait:
        raise WorkerNeeded
    return _symbolic(gold, answer, limits, mode, _Spent(time.perf_counter() - start))


class _Spent(float):
    """Seconds that a check has taken already; no part of the memory's key."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Spent)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=8192)
def _in_process(gold: str, answer: str, limits: Limits, mode: Mode) -> Found | None:
    if equal_text(gold, answer):
        return Found("correct", "string")
    result, rule = compare_in_process(gold, answer, limits, mode)
    if result is None:
        return None
    return Found("correct" if result else "incorrect", rule)


@lru_cache(maxsize=8192)
def _symbolic(gold: str, answer: str, limits: Limits, mode: Mode, spent: _Spent) -> Found:
    """A worker's verdict, remembered with its timeouts: one pair, one verdict in a process.

    The worker has what the bounded stages left of the time, but half of it at least.
    """
    left = limits._replace(worker_s=max(limits.worker_s - spent, limits.worker_s / 2))
    reply = shared_pool().compare(gold, answer, left, mode)
    report = reply.get("report")
    if report in ("timeout", "memory"):
        return Found("timeout", report, f"undecided within {limits.worker_s:g} s")
    if report is not None:
        raise VerifierError(f"the symbolic worker failed: {report}")
    if reply["result"] is None:
        return Found("ambiguous", "undecided", "neither shown equal nor shown different")
    rule = "symbolic" if reply["rule"] == "value" else f"symbolic {reply['rule']}"
    return Found("correct" if reply["result"] else "incorrect", rule)


# -- what the problem says ------------------------------------------------------------------------


def _asks_percent(problem: str) -> bool:
    return _PERCENT_ASKED.search(problem[:_PROBLEM_CHARS]) is not None


def _differ_by_percent_sign(gold: str, answer: str, limits: Limits) -> bool:
    """Whether one of two equal numbers carries a percent sign and the other does not."""
    bare = [_PERCENT_SIGN.sub("", text) for text in (gold, answer)]
    signed = [len(text) < len(whole) for text, whole in zip(bare, (gold, answer), strict=True)]
    if signed[0] == signed[1] or not all(_PLAIN_NUMBER.fullmatch(text.strip()) for text in bare):
        return False
    return compare_in_process(bare[0], bare[1], limits)[0] is True


def _by_option(gold: str, answer: str, problem: str, limits: Limits, wait: bool) -> Found | None:
    """A letter against a value through the options that the problem lists."""
    options = options_of(problem)
    if not options:
        return None
    for letter, value in ((gold, answer), (answer, gold)):
        node = read_cached(letter, limits)
        if not isinstance(node, Choice) or node.body is not None or node.letter not in options:
            continue
        if isinstance(read_cached(value, limits), Choice):
            continue
        text = options[node.letter]
        pair = (text, value) if letter is gold else (value, text)
        found = _pair(*pair, limits, EXACT, wait)
        return Found(found.verdict, "option", found.detail)
    return None
