"""Sizes that explode: a verdict within the limit, from the main thread and from four at once."""

from __future__ import annotations

import threading
import time

import pytest
from verify_damage import BOMBS

from butwait.schemas.verdict import VERDICT_NAMES, Verdict
from butwait.transforms.verify import DEFAULT, compare, verify, warm_workers

pytestmark = pytest.mark.alone
MOST_S = DEFAULT.worker_s + 0.2
# Whose value is 5, worked out by exact rules.
FIVE = {"tower minus tower", "minus signs"}


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    warm_workers(4)


def attempts(name: str, gold: str) -> list[tuple[str, float, Verdict]]:
    """Every way a text comes to a check, with the seconds each took."""
    text = BOMBS[name]
    checks = {
        "answer": lambda: compare(gold, text),
        "gold": lambda: compare(text, gold),
        "itself": lambda: compare(text, text),
        "nearly itself": lambda: compare(text, f"{text}+{gold}"),
        "trace": lambda: verify(gold, text),
        "boxed": lambda: verify(gold, f"\\boxed{{{text}}}"),
        "problem": lambda: compare(gold, "B", problem=f"(A) 1 (B) {text}"),
    }
    timed = []
    for how, check in checks.items():
        start = time.perf_counter()
        found = check()
        timed.append((how, time.perf_counter() - start, found))
    return timed


def faults(name: str, gold: str) -> list[str]:
    """What is wrong with the verdicts on one bomb."""
    wrong = []
    for how, seconds, found in attempts(name, gold):
        if seconds > MOST_S:
            wrong.append(f"{name}, {how}: {seconds:.2f} s ({found.rule})")
        if found.verdict not in VERDICT_NAMES or found.verdict == "error":
            wrong.append(f"{name}, {how}: {found.verdict} {found.detail}")
        if how == "itself" and found.verdict not in ("correct", "gold_unusable"):
            wrong.append(f"{name}, itself: {found.verdict} {found.rule}")
        if how in ("answer", "gold", "boxed") and found.correct and name not in FIVE:
            wrong.append(f"{name}, {how}: accepted by {found.rule}")
    return wrong


def test_every_bomb_gets_a_verdict_in_time_from_the_main_thread() -> None:
    assert len(BOMBS) >= 60
    assert "\n".join(fault for name in BOMBS for fault in faults(name, "5")) == ""


def test_every_bomb_gets_a_verdict_in_time_from_four_threads_at_once() -> None:
    wrong: list[str] = []

    def work(gold: str) -> None:
        for name in BOMBS:
            wrong.extend(faults(name, gold))

    threads = [threading.Thread(target=work, args=(str(gold),)) for gold in (6, 7, 8, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "\n".join(wrong) == ""


def test_a_bomb_in_the_thought_of_a_trace_does_not_matter() -> None:
    for name, text in BOMBS.items():
        if "<" in text:
            continue
        found = verify("7", f"<think>{text}</think>So \\boxed{{7}}.")
        assert (name, found.verdict) == (name, "correct")
