"""One problem, one question: equal answers collapse, unequal ones all go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.question import Question
from butwait.transforms.duplicates import resolve_duplicates
from butwait.transforms.problem_text import question_id
from butwait.transforms.verify import canonical


def question(problem: str, gold: str, dataset: str = "a", row: int = 0) -> Question:
    return Question(
        id=question_id(problem, dataset),
        problem=problem,
        gold=gold,
        gold_canonical=canonical(gold) or "",
        gold_from="column",
        solution=None,
        source=dataset,
        dataset=dataset,
        revision=None,
        licence="mit",
        row=row,
        r1_derived=False,
    )


def test_equal_answers_collapse_to_the_first_row() -> None:
    rows = [
        question("What is $1/2$?", r"\frac{1}{2}", row=4),
        question("What is \\(1/2\\)?", r"\dfrac12", row=2),
        question("What is 1/2?", "0.5", row=9),
    ]
    kept, dropped = resolve_duplicates(rows)
    assert [q.row for q in kept] == [2]
    assert [(d.reason, d.row) for d in dropped] == [("duplicate", 4), ("duplicate", 9)]


def test_unequal_answers_all_go() -> None:
    rows = [question("P?", "1", row=0), question("P?", "1", row=1), question("P?", "2", row=2)]
    kept, dropped = resolve_duplicates(rows)
    assert kept == []
    assert [(d.reason, d.row) for d in dropped] == [("conflicting_duplicate", i) for i in range(3)]
    assert "'2'" in dropped[0].detail and "'1'" in dropped[2].detail


def test_the_recipes_order_of_datasets_decides_who_is_first() -> None:
    rows = [question("P?", "1", "a", 0), question("P?", "1", "b", 5)]
    kept, dropped = resolve_duplicates(rows, ["b", "a"])
    assert [q.dataset for q in kept] == ["b"]
    assert [d.dataset for d in dropped] == ["a"]


def test_different_problems_are_left_alone() -> None:
    rows = [question("P?", "1", row=1), question("Q?", "1", row=0)]
    assert resolve_duplicates(rows) == ([rows[1], rows[0]], [])


ROWS = st.lists(
    st.tuples(st.sampled_from("PQR"), st.sampled_from(["1", "2", "1.0"]), st.sampled_from("ab")),
    max_size=8,
).map(lambda rows: [question(f"{p}?", g, d, row) for row, (p, g, d) in enumerate(rows)])


@given(ROWS, st.randoms())
def test_the_outcome_ignores_the_order_and_loses_no_row(rows: list[Question], random) -> None:  # type: ignore[no-untyped-def]
    outcome = resolve_duplicates(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert resolve_duplicates(shuffled) == outcome
    kept, dropped = outcome
    assert sorted([q.row for q in kept] + [d.row or 0 for d in dropped]) == list(range(len(rows)))
