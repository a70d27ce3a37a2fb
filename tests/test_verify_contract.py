"""What callers of the verifier rely on beside verdicts: arguments, batches, memory of pairs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from butwait.transforms.verify import (
    ANSWER_TYPES,
    Check,
    Limits,
    compare,
    verify,
    verify_each,
    verify_many,
)
from butwait.transforms.verify.golds import read_gold

SYMBOLIC = (r"\tan\frac{a}{2}", r"\frac{\sin a}{1+\cos a}")
SLOW = (r"\frac{x^{1001}-x}{x-1}", r"\sum_{k=0}^{999}x^{k+1}")

TYPED = [
    ("(1,2)", "1<x<2", "interval", "correct"),
    ("(1,2)", "1<x<2", "tuple", "incorrect"),
    ("(1,2)", "[1,2]", "tuple", "correct"),
    ("(1,2)", "2,1", "list", "correct"),
    ("1,234", "234, 1", "list", "correct"),
    ("1,234", "1234", "list", "incorrect"),
    ("xy", "yx", "expression", "correct"),
    ("xy", "yx", "text", "incorrect"),
    ("A", "a", "choice", "correct"),
    ("5", "5", "choice", "gold_unusable"),
    ("x", "5", "number", "gold_unusable"),
    ("5", "(5,6)", "number", "incorrect"),
    ("5", r"\{5\}", "set", "correct"),
    ("x=3", "3", "equation", "incorrect"),
    ("x=3", "2x=6", "equation", "correct"),
    ("x>3", r"(3,\infty)", "inequality", "correct"),
    ("[[1,2],[3,4]]", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "matrix", "correct"),
]


@pytest.mark.parametrize(("gold", "answer", "answer_type", "verdict"), TYPED)
def test_a_given_answer_type_settles_what_notation_leaves_open(
    gold: str, answer: str, answer_type: str, verdict: str
) -> None:
    assert compare(gold, answer, answer_type=answer_type).verdict == verdict  # type: ignore[arg-type]


def test_every_answer_type_has_an_example() -> None:
    assert {row[2] for row in TYPED} == set(ANSWER_TYPES)


@pytest.mark.parametrize(
    ("gold", "answer", "tolerance", "verdict"),
    [
        (r"\frac13", "0.333", None, "incorrect"),
        (r"\frac13", "0.333", 0, "incorrect"),
        (r"\frac13", "0.333", 0.01, "correct"),
        (r"\frac13", "0.3", 0.01, "incorrect"),
        (r"(\frac13, 2)", "(0.333, 2.001)", 0.01, "correct"),
        (r"(\frac13, 2)", "(2.001, 0.333)", 0.01, "incorrect"),
        (r"\pi", "3.14", 0.001, "correct"),
        ("100 cm", "0.999 m", 0.01, "correct"),
        ("0", "0.0001", 0.1, "incorrect"),
        (r"\frac{x}{3}", "0.333x", 0.01, "incorrect"),
    ],
)
def test_a_tolerance_is_relative_and_for_numbers_only(
    gold: str, answer: str, tolerance: float | None, verdict: str
) -> None:
    for pair in ((gold, answer), (answer, gold)):
        found = compare(*pair, tolerance=tolerance)
        assert found.verdict == verdict
        assert (found.rule == "tolerance") == (verdict == "correct")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gold": None}, "gold must be a text, not NoneType"),
        ({"prediction": 3}, "prediction must be a text, not int"),
        ({"kind": "box"}, "'box'"),
        ({"answer_type": "fraction"}, "'fraction'"),
        ({"tolerance": "small"}, "'small'"),
        ({"tolerance": float("nan")}, "nan"),
        ({"tolerance": 1.5}, "1.5"),
    ],
)
def test_a_wrong_argument_is_an_error_with_its_value_and_nothing_is_raised(
    changes: dict[str, object], named: str
) -> None:
    arguments: dict[str, object] = {"gold": "3", "prediction": "3"} | changes
    found = verify(**arguments)  # type: ignore[arg-type]
    assert (found.verdict, found.rule) == ("error", "bad_argument")
    assert named in (found.detail or "")


@pytest.mark.alone
def test_the_rule_says_which_stage_decided() -> None:
    rules = {
        ("7", "7"): "string",
        ("7", "3+4"): "integer",
        ("0.5", r"\frac12"): "rational",
        (r"\sqrt{12}", r"2\sqrt3"): "exact",
        ("e^2", "e^3"): "numeric",
        SYMBOLIC: "symbolic",
        (r"\{1,2\}", "2,1"): "set",
        ("(1,2]", "1<x\\le2"): "interval",
        ("x=3", "y=3"): "equation",
        ("90^\\circ", "\\pi/2"): "exact",
    }
    assert {pair: compare(*pair).rule for pair in rules} == rules


@pytest.mark.alone
def test_a_batch_keeps_its_order_with_symbolic_and_slow_checks_in_it() -> None:
    assert compare(*SYMBOLIC).correct  # a worker's first check of this kind takes longer
    limits = Limits(worker_s=0.5)
    checks: list[Check | tuple[str, str]] = [("2", "2.0"), SYMBOLIC, ("2", "3"), SLOW, ("x", "x")]
    verdicts = [v.verdict for v in verify_many(checks, kind="answer", limits=limits)]
    assert verdicts == ["correct", "correct", "incorrect", "timeout", "correct"]


def test_a_batch_gives_each_check_its_own_arguments() -> None:
    verdicts = verify_many(
        [
            Check(r"\frac13", "0.333", kind="answer", tolerance=0.01),
            Check("7", r"so \boxed{7}"),
            Check("7", "the answer is 7", finish_reason="length"),
            Check("4", "B", problem="Which? (A) 3 (B) 4", kind="answer"),
            Check("xy", "yx", kind="answer", answer_type="expression"),
        ]
    )
    assert [v.verdict for v in verdicts] == [
        "correct", "correct", "truncated", "correct", "correct",
    ]  # fmt: skip


def test_a_batch_reads_no_further_ahead_than_a_thousand_checks() -> None:
    taken = 0

    def endless() -> Iterator[tuple[str, str]]:
        nonlocal taken
        yield SLOW
        for taken in itertools.count(1):
            yield str(taken), str(taken)

    verdicts = verify_each(endless(), kind="answer", limits=Limits(worker_s=0.5))
    assert next(verdicts).verdict == "timeout"
    assert taken <= 1_001
    verdicts.close()  # type: ignore[attr-defined]


def test_a_batch_that_is_left_half_way_stops_and_later_checks_work() -> None:
    verdicts = verify_each([("1", "1"), SYMBOLIC, ("2", "2")], kind="answer")
    assert next(verdicts).verdict == "correct"
    verdicts.close()  # type: ignore[attr-defined]
    # What is asked is whether a worker answers at all; a busy machine takes more than a second.
    assert compare(*SYMBOLIC, limits=Limits(worker_s=20.0)).verdict == "correct"


def test_one_gold_answer_is_read_once_however_many_samples_it_has() -> None:
    read_gold.cache_clear()
    for k in range(50):
        verify(r"\sqrt{17}", rf"so \boxed{{{k}}}")
    info = read_gold.cache_info()
    assert (info.misses, info.hits) == (1, 49)


@pytest.mark.parametrize(
    "gold", ["1/0", "(1, 1/0)", "\\{1, \\ln 0\\}", "\\begin{pmatrix}1/0\\end{pmatrix}"]
)
def test_a_gold_answer_with_a_part_that_has_no_value_is_unusable(gold: str) -> None:
    assert compare(gold, "(1, 2)").verdict == "gold_unusable"
    assert compare("(1, 2)", gold).verdict == "incorrect"
