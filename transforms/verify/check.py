"""The public checks: a trace or a bare answer against a gold answer, as a verdict.

Never raises on any text. Same inputs, same limits, same verdict; only ``timeout`` depends on the
machine.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from butwait.schemas.errors import VerifierError
from butwait.schemas.verdict import Verdict
from butwait.transforms.answers import extract_answer
from butwait.transforms.statements import Extraction
from butwait.transforms.verify.decision import WorkerNeeded, compare_plainly, decide
from butwait.transforms.verify.golds import Found, bare, canonical_text, read_gold
from butwait.transforms.verify.limits import DEFAULT, VERIFIER_VERSION, Limits
from butwait.transforms.verify.mode import ANSWER_TYPES, EXACT, AnswerType, Mode, mode_of
from butwait.transforms.verify.plain import may_be_plain

Kind = Literal["trace", "answer"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
# Longer problems are not kept in memory with their verdicts, in characters.
_REMEMBERED_PROBLEM = 4_000


class Check(NamedTuple):
    """One gold answer and one prediction, with what is known about them (see ``verify``)."""

    gold: str
    prediction: str
    problem: str | None = None
    kind: Kind = "trace"
    answer_type: AnswerType | None = None
    tolerance: float | None = None
    finish_reason: str | None = None


def verify(
    gold: str,
    prediction: str,
    *,
    problem: str | None = None,
    kind: Kind = "trace",
    answer_type: AnswerType | None = None,
    tolerance: float | None = None,
    finish_reason: str | None = None,
    limits: Limits = DEFAULT,
) -> Verdict:
    """Whether a prediction gives the gold answer.

    Args:
        gold: The reference answer, bare or in one box.
        prediction: A whole model trace, or a bare answer when ``kind`` is ``answer``.
        problem: The question's text; its options connect a choice letter with a value.
        kind: What ``prediction`` is.
        answer_type: What the gold answer is (one of ``ANSWER_TYPES``) where its notation leaves
            that open; None to infer it.
        tolerance: Largest relative difference of two numbers that counts as equal, in [0, 1);
            None for exact equality only.
        finish_reason: Why sampling stopped; ``length`` makes an unfinished trace ``truncated``.
        limits: Bounds of this check.

    Returns:
        The verdict with the rule that gave it; never raises on any text.

    >>> verify(r"\\frac12", r"... so the answer is \\boxed{0.5}").verdict
    'correct'
    """
    check = Check(gold, prediction, problem, kind, answer_type, tolerance, finish_reason)
    return judge(check, limits)


def compare(
    gold: str,
    answer: str,
    *,
    problem: str | None = None,
    answer_type: AnswerType | None = None,
    tolerance: float | None = None,
    limits: Limits = DEFAULT,
) -> Verdict:
    """Whether two bare answers mean the same.

    >>> compare("x > 3", "(3, \\\\infty)").verdict
    'correct'
    """
    return judge(Check(gold, answer, problem, "answer", answer_type, tolerance), limits)


def canonical(gold: str, *, limits: Limits = DEFAULT) -> str | None:
    """A canonical text of a gold answer, or None when nothing can be checked against it.

    >>> canonical("0.50"), canonical("proof")
    ('1/2', None)
    """
    known = read_gold(gold, limits, EXACT)
    return None if known.unusable else known.canonical


def judge(check: Check, limits: Limits, *, wait: bool = True) -> Verdict:
    """The verdict of one check.

    Args:
        check: What to check.
        limits: Bounds of this check.
        wait: Whether to wait for a symbolic worker.

    Raises:
        WorkerNeeded: A worker is needed and ``wait`` is false.
    """
    start = time.perf_counter()
    found, extracted, texts = _judge(check, limits, wait)
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


# -- parts ----------------------------------------------------------------------------------------


def _judge(
    check: Check, limits: Limits, wait: bool
) -> tuple[Found, str | None, tuple[str | None, str | None]]:
    """What was found, the extracted answer, and both canonical texts."""
    extracted: str | None = None
    wrong = _bad_argument(check)
    if wrong is not None:
        return Found("error", "bad_argument", wrong), None, (None, None)
    try:
        mode = mode_of(check.kind, check.answer_type, check.tolerance)
        found, extracted = _extracted(check, limits)
        return _found(check, found, extracted, limits, mode, wait)
    except WorkerNeeded:
        raise
    except VerifierError as failure:
        return Found("error", "worker", str(failure)), extracted, (None, None)
    except Exception as bug:  # noqa: BLE001 - one bad text must not stop a build
        detail = f"{type(bug).__name__}: {bug}"[:300]
        return Found("error", "exception", detail), extracted, (None, None)


def _found(
    check: Check, found: Found | None, extracted: str | None, limits: Limits, mode: Mode, wait: bool
) -> tuple[Found, str | None, tuple[str | None, str | None]]:
    """The verdict on what was extracted (``found``: why nothing was)."""
    if found is None and may_be_plain(limits, mode):
        plain = compare_plainly(bare(check.gold), extracted or "")
        if plain is not None:
            return plain[0], extracted, plain[1]
    if found is None and (check.problem is None or len(check.problem) <= _REMEMBERED_PROBLEM):
        try:
            known, texts = _remembered(check.gold, extracted or "", check.problem, limits, mode)
        except WorkerNeeded:
            pass
        else:
            return known, None if known.verdict == "gold_unusable" else extracted, texts
    gold = read_gold(check.gold, limits, mode)
    if gold.unusable:
        return gold.unusable, None, (gold.canonical, None)
    if found is None:
        found = decide(gold.text, extracted or "", check.problem, limits, mode, wait=wait)
    return found, extracted, (gold.canonical, canonical_text(extracted, limits))


@lru_cache(maxsize=8192)
def _remembered(
    gold: str, answer: str, problem: str | None, limits: Limits, mode: Mode
) -> tuple[Found, tuple[str | None, str | None]]:
    """What the bounded stages say of a pair, with both canonical texts.

    Raises:
        WorkerNeeded: They cannot tell (this is not remembered here).
    """
    known = read_gold(gold, limits, mode)
    if known.unusable:
        return known.unusable, (known.canonical, None)
    found = decide(known.text, answer, problem, limits, mode, wait=False)
    return found, (known.canonical, canonical_text(answer, limits))


def _bad_argument(check: Check) -> str | None:
    """What is wrong with the arguments themselves: this says nothing about an answer."""
    texts = isinstance(check.gold, str) and isinstance(check.prediction, str)
    if texts and check.answer_type is None and check.tolerance is None and check.kind in _KINDS:
        return None
    for name, value in (("gold", check.gold), ("prediction", check.prediction)):
        if not isinstance(value, str):
            return f"{name} must be a text, not {type(value).__name__}"
    if check.kind not in _KINDS:
        return f"kind {check.kind!r}: use 'trace' or 'answer'"
    if check.answer_type is not None and check.answer_type not in ANSWER_TYPES:
        return f"answer_type {check.answer_type!r}: use one of {', '.join(ANSWER_TYPES)}"
    tolerance = check.tolerance
    if tolerance is not None and not (isinstance(tolerance, int | float) and 0 <= tolerance < 1):
        return f"tolerance {tolerance!r}: use a number from 0 up to 1"
    return None


def _extracted(check: Check, limits: Limits) -> tuple[Found | None, str | None]:
    if check.kind == "answer":
        return None, bare(check.prediction)
    extraction = extract_answer(check.prediction, max_chars=limits.trace_chars)
    return _stopped(extraction, check.finish_reason), extraction.text


def _stopped(extraction: Extraction, finish_reason: str | None) -> Found | None:
    """The verdict of a trace that states no answer, or None when it states one."""
    cut = finish_reason == "length"
    if extraction.state == "unclosed":
        return Found("truncated", extraction.rule, "the final answer is not closed")
    if extraction.state == "hedged":
        return Found("ambiguous", extraction.rule, "the final answer is hedged or withdrawn")
    if extraction.state == "none":
        if cut or extraction.rule == "unfinished_thought":
            return Found("truncated", extraction.rule, "the text ends before a final answer")
        return Found("no_answer", extraction.rule)
    if cut and extraction.rule in ("label", "line", "conclusion"):
        return Found("truncated", "cut_line", "the text was cut and its last line has no end")
    return None
