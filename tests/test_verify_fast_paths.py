"""The short ways of common cases find exactly what the whole reading finds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.transforms import answers
from butwait.transforms.answers import extract_answer
from butwait.transforms.verify.decision import compare_plainly, decide
from butwait.transforms.verify.golds import _read_fully, canonical_text, read_gold
from butwait.transforms.verify.limits import DEFAULT, Limits
from butwait.transforms.verify.mode import EXACT, TRACE, Mode
from butwait.transforms.verify.plain import may_be_plain, read_rational

RANDOMS = st.randoms(use_true_random=False)
SEPARATORS = (",", "{,}", ",\\!")
WORDS = (
    "so the answer is", "Therefore,", "It is not", "maybe", "because 3 < 4", "the box holds",
    "I know that", "\n\n", "$x$", "\\frac{1}{2}", "\\text{ and }", "and", ",", "{", "}",
    "wait, wrong", "<think>", "</think>", "<answer>3</answer>", "\\boxed", "\\fbox{2}", ".", "$",
    "\\]", "Answer: 4",
)  # fmt: skip
PROBLEMS = (None, "What percent of 4 is 2?", "How many? (A) 1 (B) 2 (C) 3", "How many?")
INSIDES = ("5", "\\frac{1}{2}", "", "\\{1, 2\\}", "a}", "{b", "\\boxed{3}", " ", "x_{1}", "\\}")


def digits(rng: Random, most: int) -> str:
    text = str(rng.randrange(most))
    return f"0{text}" if rng.random() < 0.1 else text


def plain_number(rng: Random) -> str:
    """A number in one of the spellings of ``plain``, or nearly."""
    most = rng.choice([3, 12, 30, 1_000])
    fraction = f"\\{rng.choice(['', 'd', 't'])}frac{{{digits(rng, most)}}}{{{digits(rng, most)}}}"
    groups = "".join(
        rng.choice(SEPARATORS) + rng.choice(["000", "100", "250"]) for _ in range(rng.randint(1, 2))
    )
    return rng.choice(["", "-"]) + rng.choice(
        [
            digits(rng, most),
            f"{digits(rng, most)}.{digits(rng, most)}",
            fraction,
            digits(rng, most) + rng.choice(["", " "]) + fraction,
            digits(rng, 12) + groups,
            digits(rng, 12) + "000",
            f"0.{rng.choice(['5', '50', '25', '125', '10'])}",
        ]
    )


def respelled(text: str, rng: Random) -> str:
    changes = (("\\frac", "\\dfrac"), ("{,}", ","), (",", ""), (" ", ""), ("\\!", ""))
    return text.replace(*rng.choice(changes)) if rng.random() < 0.7 else f"{text}.0"


@settings(max_examples=1_500)
@given(RANDOMS)
def test_plain_numbers_get_the_verdict_rule_and_canonical_texts_of_the_reader(rng: Random) -> None:
    gold = plain_number(rng)
    answer = respelled(gold, rng) if rng.random() < 0.6 else plain_number(rng)
    quick = compare_plainly(gold, answer)
    if quick is None:
        assert read_rational(gold) is None or read_rational(answer) is None
        return
    mode, problem = rng.choice([EXACT, TRACE]), rng.choice(PROBLEMS)
    known = _read_fully(gold, DEFAULT, mode)
    assert known.unusable is None and known == read_gold(gold, DEFAULT, mode)
    found = decide(known.text, answer, problem, DEFAULT, mode, wait=False)
    assert quick == (found, (known.canonical, canonical_text(answer, DEFAULT)))


def test_the_short_way_is_taken_whatever_a_symbolic_comparison_may_take() -> None:
    assert may_be_plain(Limits(worker_s=7.5, memory_mb=64), TRACE)
    assert not any(may_be_plain(x, TRACE) for x in (Limits(digits=3), Limits(steps=2)))
    assert not may_be_plain(DEFAULT, Mode(tolerance=0.1))


@pytest.mark.parametrize("text", ["1/2", "x", "", "1e3", "\\frac{1}{0}", "2\\frac{3}{2}", "1,23"])
def test_what_is_no_plain_number_is_left_to_the_reader(text: str) -> None:
    assert read_rational(text) is None


@settings(max_examples=1_500)
@given(RANDOMS)
def test_a_plainly_boxed_answer_is_what_the_whole_reading_finds(rng: Random) -> None:
    parts = [rng.choice(WORDS) for _ in range(rng.randint(0, 6))]
    parts += [f"\\boxed{{{rng.choice(INSIDES)}}}"]
    parts += [rng.choice((*WORDS, ".", "$", "")) for _ in range(rng.randint(0, 2))]
    text = rng.choice(["", " "]).join(parts)
    quick = answers._plainly_boxed(text)
    if quick is not None:
        whole = answers._extract(text)
        assert (quick, answers.final_part(text)) == (whole, (text, 0))


def test_an_ordinary_ending_takes_the_short_way() -> None:
    text = "First, 2 + 3 = 5.\n\nTherefore, the sum is \\(\\boxed{\\frac{5}{1}}\\)."
    assert answers._plainly_boxed(text) == extract_answer(text)
