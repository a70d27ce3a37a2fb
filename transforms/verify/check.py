"""The public checks: a trace or a bare answer against a gold answer, as a verdict.

Never raises on any text. Same inputs, same limits, same verdict; only ``timeout`` depends on the
machine.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from butwait.schemas.errors import VerifierError
from butwait.schemas.verdict import Verdict, VerdictName
from butwait.transforms.answers import Extraction, extract_answer, last_boxed
from butwait.transforms.verify.forms import Undefined
from butwait.transforms.verify.limits import DEFAULT, VERIFIER_VERSION, Limits
from butwait.transforms.verify.options import options_of
from butwait.transforms.verify.pool import shared_pool
from butwait.transforms.verify.render import render
from butwait.transforms.verify.scalars import exact_form
from butwait.transforms.verify.staged import compare_in_process, equal_text, read_cached
from butwait.transforms.verify.tree import SCALARS, Choice, Node, Text

Kind = Literal["trace", "answer"]
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
_PROBLEM_CHARS = 20_000
_PERCENT_ASKED = re.compile(
    r"\b(?:what|which|how many)\s+(?:\w+\s+){0,2}percent(?:age)?\b|\b(?:in|as a) percent(?:age)?\b",
    re.IGNORECASE,
)
_PERCENT_SIGN = re.compile(r"\s*(?:\\?%|\\text\{\s*(?:\\?%|percent)\s*\}|percent)\s*$")
_PLAIN_NUMBER = re.compile(r"-?[\d.,/\s]{1,40}|-?\\d?frac\{\d{1,20}\}\{\d{1,20}\}")


@dataclass(frozen=True, slots=True)
class _Found:
    verdict: VerdictName
    rule: str
    detail: str | None = None


def verify(
    gold: str,
    prediction: str,
    *,
    problem: str | None = None,
    kind: Kind = "trace",
    finish_reason: str | None = None,
    limits: Limits = DEFAULT,
) -> Verdict:
    """Whether a prediction gives the gold answer.

    Args:
        gold: The reference answer, bare or in one box.
        prediction: A whole model trace, or a bare answer when ``kind`` is ``answer``.
        problem: The question's text; its options connect a choice letter with a value.
        kind: What ``prediction`` is.
        finish_reason: Why sampling stopped; ``length`` makes an unfinished trace ``truncated``.
        limits: Bounds of this check.

    Returns:
        The verdict with the rule that gave it; never raises.

    >>> verify(r"\\frac12", r"... so the answer is \\boxed{0.5}").verdict
    'correct'
    """
    start = time.perf_counter()
    found, extracted, texts = _judge(gold, prediction, problem, kind, finish_reason, limits)
    return Verdict(
        verdict=found.verdict,
        rule=found.rule,
        extracted=extracted,
        gold_canonical=texts[0],
        prediction_canonical=texts[1],
        detail=found.detail,
        verifier_version=VERIFIER_VERSION,
        ms=(time.perf_counter() - start) * 1000,
    )


def compare(
    gold: str, answer: str, *, problem: str | None = None, limits: Limits = DEFAULT
) -> Verdict:
    """Whether two bare answers mean the same.

    >>> compare("x > 3", "(3, \\\\infty)").verdict
    'correct'
    """
    return verify(gold, answer, problem=problem, kind="answer", limits=limits)


def verify_many(
    pairs: Iterable[tuple[str, str]], *, kind: Kind = "trace", limits: Limits = DEFAULT
) -> list[Verdict]:
    """Verdicts of (gold, prediction) pairs, in their order."""
    return [verify(gold, text, kind=kind, limits=limits) for gold, text in pairs]


def canonical(gold: str, *, limits: Limits = DEFAULT) -> str | None:
    """A canonical text of a gold answer, or None when nothing can be checked against it.

    >>> canonical("0.50"), canonical("proof")
    ('1/2', None)
    """
    gold = _gold_text(gold)
    return None if _unusable(gold, limits) else _canonical(gold, limits)


# -- parts ----------------------------------------------------------------------------------------


def _judge(
    gold: str,
    prediction: str,
    problem: str | None,
    kind: Kind,
    finish_reason: str | None,
    limits: Limits,
) -> tuple[_Found, str | None, tuple[str | None, str | None]]:
    """What was found, the extracted answer, and both canonical texts."""
    extracted: str | None = None
    try:
        gold = _gold_text(gold)
        found = _unusable(gold, limits)
        if found is None:
            found, extracted = _extracted(prediction, kind, finish_reason, limits)
        if found is None:
            found = _decide(gold, extracted or "", problem, limits)
        return found, extracted, (_canonical(gold, limits), _canonical(extracted, limits))
    except VerifierError as failure:
        return _Found("error", "worker", str(failure)), extracted, (None, None)
    except Exception as bug:  # noqa: BLE001 - one bad text must not stop a build
        detail = f"{type(bug).__name__}: {bug}"[:300]
        return _Found("error", "exception", detail), extracted, (None, None)


def _gold_text(gold: str) -> str:
    if "\\boxed" in gold or "\\fbox" in gold:
        box = last_boxed(gold)
        return box.text if box else gold
    return gold


def _unusable(gold: str, limits: Limits) -> _Found | None:
    node = read_cached(gold, limits)
    if isinstance(node, str):
        return _Found("gold_unusable", "unreadable_gold", f"the gold answer cannot be read: {node}")
    if isinstance(node, Text) and node.words in _NO_GOLD:
        return _Found("gold_unusable", "no_gold", "the gold field says that there is no answer")
    if isinstance(node, Text) and len(node.words.split()) > _PROSE_WORDS:
        return _Found("gold_unusable", "prose_gold", "the gold answer is a sentence")
    if isinstance(node, SCALARS):
        try:
            exact_form(node, limits)
        except Undefined:
            return _Found("gold_unusable", "undefined_gold", "the gold answer has no value")
    return None


def _extracted(
    prediction: str, kind: Kind, finish_reason: str | None, limits: Limits
) -> tuple[_Found | None, str | None]:
    if kind == "answer":
        return None, prediction
    extraction = extract_answer(prediction, max_chars=limits.trace_chars)
    return _stopped(extraction, finish_reason), extraction.text


def _stopped(extraction: Extraction, finish_reason: str | None) -> _Found | None:
    """The verdict of a trace that states no answer, or None when it states one."""
    cut = finish_reason == "length"
    if extraction.state == "unclosed":
        return _Found("truncated", extraction.rule, "the final answer is not closed")
    if extraction.state == "hedged":
        return _Found("ambiguous", extraction.rule, "the final answer is hedged or withdrawn")
    if extraction.state == "none":
        if cut or extraction.rule == "unfinished_thought":
            return _Found("truncated", extraction.rule, "the text ends before a final answer")
        return _Found("no_answer", extraction.rule)
    if cut and extraction.rule in ("label", "line", "conclusion"):
        return _Found("truncated", "cut_line", "the text was cut and its last line has no end")
    return None


def _decide(gold: str, answer: str, problem: str | None, limits: Limits) -> _Found:
    if len(answer) > limits.answer_chars:
        return _Found("incorrect", "too_long", f"{len(answer)} characters are no answer")
    if equal_text(gold, answer):
        return _Found("correct", "string")
    found = _staged(gold, answer, limits)
    if found.verdict == "correct" or problem is None:
        return found
    if _asks_percent(problem) and _differ_by_percent_sign(gold, answer, limits):
        return _Found("correct", "percent_asked", "the problem asks for a number of per cent")
    return _by_option(gold, answer, problem, limits) or found


def _asks_percent(problem: str) -> bool:
    return _PERCENT_ASKED.search(problem[:_PROBLEM_CHARS]) is not None


def _differ_by_percent_sign(gold: str, answer: str, limits: Limits) -> bool:
    """Whether one of two equal numbers carries a percent sign and the other does not."""
    bare = [_PERCENT_SIGN.sub("", text) for text in (gold, answer)]
    signed = [len(text) < len(whole) for text, whole in zip(bare, (gold, answer), strict=True)]
    if signed[0] == signed[1] or not all(_PLAIN_NUMBER.fullmatch(text.strip()) for text in bare):
        return False
    return compare_in_process(bare[0], bare[1], limits)[0] is True


def _staged(gold: str, answer: str, limits: Limits) -> _Found:
    result, rule = compare_in_process(gold, answer, limits)
    if result is None:
        reply = shared_pool().compare(gold, answer, limits)
        report = reply.get("report")
        if report in ("timeout", "memory", "died"):
            return _Found("timeout", report, f"undecided within {limits.worker_s:g} s")
        if report is not None:
            return _Found("error", "worker", str(report))
        result, rule = reply["result"], f"symbolic {reply['rule']}"
    if result is None:
        return _Found("ambiguous", "undecided", "neither shown equal nor shown different")
    return _Found("correct" if result else "incorrect", rule)


def _by_option(gold: str, answer: str, problem: str, limits: Limits) -> _Found | None:
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
        if equal_text(*pair):
            return _Found("correct", "option")
        found = _staged(*pair, limits)
        return _Found(found.verdict, "option", found.detail)
    return None


@lru_cache(maxsize=4096)
def _canonical(text: str | None, limits: Limits) -> str | None:
    node: Node | str = read_cached(text, limits) if text is not None else ""
    return None if isinstance(node, str) else render(node, limits)
