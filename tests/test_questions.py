"""A row becomes a question, or names what it lacks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.question import Question
from butwait.transforms.problem_text import (
    problem_key,
    question_id,
    shard_of,
)
from butwait.transforms.questions import REASONS, RawRow, make_question

ROW = RawRow(
    dataset="d",
    revision="sha256:0",
    licence="mit",
    r1_derived=False,
    row=7,
    source="olympiads",
    problem="What is $6 \\cdot 7$?",
)


def ask(**fields: str | None) -> Question | DeadLetter:
    return make_question(replace(ROW, **fields))


def reason(**fields: str | None) -> str:
    letter = ask(**fields)
    assert isinstance(letter, DeadLetter), letter
    assert letter.reason in REASONS and letter.stage == "questions" and letter.row == 7
    return letter.reason


def gold(**fields: str | None) -> str:
    question = ask(**fields)
    assert isinstance(question, Question), question
    return question.gold


def test_the_gold_answer_comes_from_its_column() -> None:
    question = ask(answer=" 42 ", solution="So $\\boxed{42}$.")
    assert isinstance(question, Question)
    assert (question.gold, question.gold_from) == ("42", "column")
    assert question.gold_canonical and question.solution == "So $\\boxed{42}$."
    assert question.id == question_id(ROW.problem or "", "olympiads")


def test_without_a_column_it_is_the_last_box_with_balanced_braces() -> None:
    solution = r"First $\boxed{1}$, then $\boxed{\frac{1}{\sqrt{2}}}$ follows."
    question = ask(solution=solution)
    assert isinstance(question, Question)
    assert (question.gold, question.gold_from) == (r"\frac{1}{\sqrt{2}}", "boxed")


def test_an_empty_column_falls_back_on_the_box() -> None:
    assert gold(answer="", solution=r"\boxed{42}") == "42"


def test_a_box_in_the_answer_column_is_opened() -> None:
    assert gold(answer=r"$\boxed{42}$") == "42"


def test_an_unclosed_last_box_is_no_answer_even_after_a_closed_one() -> None:
    assert reason(solution=r"$\boxed{5}$ and $\boxed{11") == "unclosed_box"


@pytest.mark.parametrize("box", [r"$\boxed{}$", r"\boxed{ }", r"\boxed[]"])
def test_an_empty_box_is_its_own_reason(box: str) -> None:
    assert reason(solution=f"Thus {box}") == "empty_box"


@pytest.mark.parametrize(
    "problem",
    [
        "Prove that 2 is even.",
        "Show that $a+b$ is even, where $a$ and $b$ are odd.",
        "Let $x>0$. Prove the inequality $x+1/x \\ge 2$, and when equality holds.",
        "Prove that one can find two such numbers.",
        "证明：$x^2 \\ge 0$。",
    ],
)
def test_a_pure_proof_is_a_proof_whatever_its_box_says(problem: str) -> None:
    assert reason(problem=problem, solution=r"\boxed{2}") == "proof"
    assert reason(problem=problem, solution="Clear.") == "proof"


def test_a_proof_beside_a_question_is_kept_for_its_answer() -> None:
    problem = "Prove that the limit exists and find it."
    assert gold(problem=problem, solution=r"\boxed{1}") == "1"
    assert reason(problem=problem, solution="It is 1.") == "proof"


def test_a_box_that_repeats_what_was_to_be_proved_is_no_answer() -> None:
    problem = r"1. Find $W$. 2. Prove that the perimeter exceeds $3\sqrt{3}$."
    assert reason(problem=problem, solution=r"\boxed{3\sqrt{3}}") == "proof"
    assert gold(problem=problem, solution=r"\boxed{7}") == "7"


@pytest.mark.parametrize("answer", ["proof", r"\text{Q.E.D.}", r"\text{The claim is proven.}"])
def test_an_answer_that_only_says_proved_is_a_proof(answer: str) -> None:
    assert reason(answer=answer) == "proof"


@pytest.mark.parametrize("letter", ["B", "(B)", r"\text{B}", r"\textbf{(B)}", "$B$"])
def test_a_letter_needs_options_to_be_an_answer(letter: str) -> None:
    assert reason(answer=letter) == "multiple_choice_without_options"
    options = "Which is prime?\n(A) 1\n(B) 2\n(C) 4"
    assert gold(problem=options, answer=letter) == letter
    latex = r"Which is prime? $\textbf{(A)}\ 1 \qquad \textbf{(B)}\ 2$"
    assert gold(problem=latex, answer=letter) == letter


def test_a_letter_that_the_problem_speaks_of_is_an_answer() -> None:
    assert gold(problem="Players $A$ and $B$ move in turn. Who wins?", answer="B") == "B"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"problem": None}, "missing_field"),
        ({"problem": " $ $ ", "answer": "1"}, "empty"),
        ({"answer": None, "solution": None}, "no_answer"),
        ({"solution": "It is 42."}, "no_answer"),
        ({"answer": "notfound"}, "notfound"),
        (
            {"answer": "The first player wins because the second must always move last"},
            "gold_unusable",
        ),
        ({"answer": "\\frac{1}{0}"}, "gold_unusable"),
        ({"answer": "1", "question_type": "proof"}, "proof"),
        ({"answer": "1", "problem_is_valid": "Incomplete"}, "problem_invalid"),
        ({"answer": "1", "solution_is_valid": "No"}, "solution_invalid"),
        ({"answer": "1", "problem": "See ![](https://example.org/a.png)"}, "image_needed"),
        ({"answer": "1", "problem": "**p1.** What?**p2.** Who?"}, "several_problems"),
        ({"answer": "1", "problem": "What?" * 5000}, "too_long"),
        ({"answer": "1", "problem": "What is \ufffd?"}, "bad_encoding"),
        ({"answer": "1\ud800"}, "bad_encoding"),
    ],
)
def test_a_row_that_cannot_be_checked_names_its_reason(
    fields: dict[str, str | None], expected: str
) -> None:
    assert reason(**fields) == expected


def test_flags_that_say_yes_change_nothing() -> None:
    fields = {"problem_is_valid": "Yes", "solution_is_valid": "Yes", "question_type": "MCQ"}
    assert gold(answer="42", **fields) == "42"


def test_an_answer_that_the_solutions_own_box_contradicts_is_refused() -> None:
    assert reason(answer="42", solution=r"\boxed{41}") == "answer_conflicts_with_solution"
    thinking = "<think>\nthey are\n\\boxed{3 \\text{ and } 4\n</think>\n\\boxed{34}"
    assert reason(answer="34", solution=thinking) == "answer_conflicts_with_solution"


def test_an_unclosed_box_in_the_thinking_that_agrees_is_no_conflict() -> None:
    assert gold(answer="13", solution="<think>\n\\boxed{13\n</think>\n\\boxed{13}") == "13"
    assert gold(answer="27", solution="<think>\n\\boxed{27^\\circ}\n</think>\n\\boxed{27}") == "27"


def test_only_the_labels_to_keep_are_kept() -> None:
    row = replace(ROW, answer="42")
    assert isinstance(make_question(row, ("olympiads",)), Question)
    letter = make_question(row, ("aops_forum",))
    assert isinstance(letter, DeadLetter) and letter.reason == "source_not_kept"


@given(st.text(max_size=60), st.one_of(st.none(), st.text(max_size=30)))
def test_any_text_ends_in_a_question_or_a_storable_dead_letter(
    problem: str, answer: str | None
) -> None:
    outcome = ask(problem=problem, answer=answer)
    assert outcome.model_dump_json()
    if isinstance(outcome, DeadLetter):
        assert outcome.reason in REASONS


# Names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"Solve  \( x^{2} = 4 \).", "Solve $x^2=4$"),
        ("more than $200$ are", "more than 200 are"),
        (r"$\dfrac{1}{2}$", r"$\frac{1}{2}$"),
        (r"\left( a \right)", "(a)"),
        ("the “best” one", 'the "best" one'),
        ("ﬁnd １２", "find 12"),
    ],
)
def test_typesetting_does_not_change_a_problems_name(one: str, other: str) -> None:
    assert problem_key(one) == problem_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x+5", "x-5"),
        ("the cube root of $-8$", "the cube root of 8"),
        ("x²", "x2"),
        ("x^2", "x2"),
        ("a is $A$", "a is $a$"),
        ("1 2", "12"),
        ("ℝ", "R"),
        (r"\sin x", r"\cos x"),
        ("p", "~p"),
        ("2.5", "25"),
    ],
)
def test_different_problems_have_different_names(one: str, other: str) -> None:
    assert problem_key(one) != problem_key(other)


@given(st.text(max_size=80), st.text(max_size=10), st.integers(1, 100))
@example("\\", "", 1)
def test_a_question_id_is_stable_and_its_shard_ignores_the_source(
    problem: str, source: str, n_shards: int
) -> None:
    name = question_id(problem, source)
    assert re.fullmatch(r"q[0-9a-f]{24}", name)
    assert name[:17] == problem_key(problem) == problem_key(problem + "  ")
    assert shard_of(name, n_shards) == shard_of(name[:17], n_shards) < n_shards


def test_the_published_ids_never_move() -> None:
    assert question_id("What is 1+1?", "s") == "q31adf3e245f99d7b043a7187"


def test_every_reason_is_explained_in_the_documentation(root: Path) -> None:
    page = (root / "docs" / "sources.md").read_text("utf-8")
    assert [name for name in REASONS if f"`{name}`" not in page] == []
