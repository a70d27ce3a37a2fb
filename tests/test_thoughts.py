"""Splitting texts into thought and solution."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.transforms.thoughts import (
    ALL_MARKERS,
    FORMS,
    continuation_prefix,
    find_answer,
    holds_marker,
    last_box_span,
    repeated_share,
    split_thought,
    thought_so_far,
)

POCKET = "Step 1: 4 * 9 = 36\n\nStep 2: 36 + 5 = 41\n\nAnswer: \\boxed{41}"
WORDS = st.text(alphabet="abc 123=+.\n", max_size=60).map(str.strip).filter(bool)
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [*ALL_MARKERS, "\\boxed{", "\\boxed{7}", "{", "}", "\n\n", "Answer: 7", "\\"]
        ),
        st.text(max_size=8),
    ),
    max_size=14,
).map("".join)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.begin)
def test_every_form_is_told_in_thought_and_solution(form):
    text = (
        f"Sure.\n{form.begin}\n\nI add.\n\n{form.end}\n\n"
        f"{form.begin_solution}\n\nIt is $\\boxed{{5}}$.\n\n{form.end_solution}"
    )
    parts = split_thought(text)
    assert (parts.opening, parts.thought) == ("Sure.", "I add.")
    assert parts.solution == "It is $\\boxed{5}$."
    assert parts.marked
    assert parts.closed
    assert not parts.restated


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.begin)
def test_a_thought_that_the_prompt_had_opened_needs_no_opening_marker(form):
    parts = split_thought(f"I add.\n{form.end}\nIt is \\boxed{{5}}.")
    assert (parts.thought, parts.solution) == ("I add.", "It is \\boxed{5}.")
    assert not parts.begun


def test_a_think_block_may_be_followed_by_an_answer_block():
    parts = split_thought("<think>\nI add.\n</think>\n<answer>\n5\n</answer>")
    assert parts.solution == "The final answer is $\\boxed{5}$."


def test_words_before_an_answer_block_belong_to_the_solution():
    parts = split_thought("<thinking>a</thinking>\nSo:\n<answer>\\boxed{5}</answer> bye")
    assert parts.solution == "So:\n\n\\boxed{5}"


def test_a_solution_marker_ends_a_thought_too():
    parts = split_thought("I add.\n<|begin_of_solution|>\n\\boxed{5}\n<|end_of_solution|>")
    assert (parts.thought, parts.solution) == ("I add.", "\\boxed{5}")


def test_an_unclosed_thought_says_so():
    parts = split_thought("<think>\nI add.\n\nSo \\boxed{5}.")
    assert not parts.closed
    assert parts.begun
    assert (parts.thought, parts.solution) == ("I add.", "So \\boxed{5}.")


def test_an_empty_thought_is_no_thought():
    parts = split_thought("<think>\n\n</think>\n\nI add.\n\nSo \\boxed{5}.")
    assert (parts.thought, parts.solution) == ("I add.", "So \\boxed{5}.")
    assert not parts.marked


def test_a_marked_text_without_a_solution_restates_the_answer_of_its_thought():
    parts = split_thought("<think>\nI add: \\boxed{5}\n</think>")
    assert parts.restated
    assert parts.solution == "The final answer is $\\boxed{5}$."


def test_an_unmarked_text_ends_with_the_paragraph_that_holds_the_answer():
    parts = split_thought(POCKET)
    assert parts.thought == "Step 1: 4 * 9 = 36\n\nStep 2: 36 + 5 = 41"
    assert parts.solution == "Answer: \\boxed{41}"
    assert not parts.marked


def test_what_leads_into_the_answer_goes_with_it():
    text = "We add.\n\n## Final answer\n\nThus the sum is:\n\n\\[\n\n\\boxed{5}\n\n\\]"
    assert split_thought(text).solution.startswith("## Final answer")
    assert split_thought(text).thought == "We add."


def test_what_follows_the_answer_stays_with_it():
    assert split_thought("We add.\n\nSo \\boxed{5}.\n\nGood luck!").solution.endswith("Good luck!")


@pytest.mark.parametrize(
    "line", ["Answer: 5", "**Final Answer:** 5", "#### 5", "The answer is 5.", "answer : $5$"]
)
def test_a_labelled_line_ends_a_text_without_a_box(line):
    parts = split_thought(f"2 + 3 makes 5\n\n{line}")
    assert (parts.thought, parts.solution) == ("2 + 3 makes 5", line)
    assert find_answer(line) == "5"


def test_a_text_that_is_all_answer_is_its_own_thought_and_is_restated():
    parts = split_thought("Answer: \\boxed{3}")
    assert (parts.thought, parts.solution) == (
        "Answer: \\boxed{3}",
        "The final answer is $\\boxed{3}$.",
    )
    assert parts.restated


def test_the_verifier_s_answer_is_restated_where_it_is_given():
    assert split_thought("it is five", "5").solution == "The final answer is $\\boxed{5}$."


def test_a_text_without_an_answer_has_no_solution():
    parts = split_thought("I do not know.\n\nSorry.")
    assert parts.solution == ""
    assert parts.thought == "I do not know.\n\nSorry."


def test_the_last_closed_box_counts_and_escaped_braces_do_not():
    text = "\\boxed{\\{1, 2\\}} and \\boxed{3"
    start, end = last_box_span(text)
    assert text[start:end] == "\\boxed{\\{1, 2\\}}"
    assert find_answer("\\boxed{\\frac{1}{2}}") == "\\frac{1}{2}"
    assert last_box_span("\\boxed{1") is None


def test_a_marked_text_is_continued_from_before_its_end_of_thought():
    text = "<think>\nI add.\n</think>\n\\boxed{5}"
    assert continuation_prefix(text) == "<think>\nI add."
    assert thought_so_far(text) == "I add."


def test_an_unmarked_text_is_continued_from_its_end():
    assert continuation_prefix(POCKET + "\n") == POCKET
    assert thought_so_far(POCKET) == POCKET


@pytest.mark.parametrize(
    ("text", "finish"), [("<think>\nI ad", "length"), ("", "stop"), (" ", "stop")]
)
def test_a_text_that_was_cut_or_is_empty_is_not_continued(text, finish):
    assert continuation_prefix(text, finish) == ""


def test_a_marker_in_capitals_is_a_marker():
    assert holds_marker("so </THINK> then")
    assert not holds_marker("a < b > c, <thinker>")


def test_a_repeated_paragraph_is_known_in_other_spacing_and_case():
    assert repeated_share("A b\n\nc", "a  B") == 1.0
    assert repeated_share("a b", "c d") == 0.0
    assert repeated_share("aaaa", "aaaa\n\nbbbb") == 0.5


@settings(deadline=None)
@given(WORDS, WORDS, st.sampled_from(FORMS))
def test_marked_parts_come_back_as_they_were(thought, solution, form):
    before = f"{form.begin}\n{thought}\n{form.end}\n"
    text = f"{before}{form.begin_solution}\n{solution}\\boxed{{1}}\n{form.end_solution}"
    parts = split_thought(text)
    assert parts.thought == thought
    assert parts.solution == f"{solution}\\boxed{{1}}"


def bare(text: str) -> str:
    """A text without markers and white space."""
    for marker in ALL_MARKERS:
        text = text.replace(marker, "")
    return "".join(text.split())


@settings(deadline=None)
@given(HOSTILE)
def test_any_text_is_split_without_inventing_words(text):
    parts = split_thought(text)
    assert bare(parts.thought) in bare(text)
    says_answer = parts.solution.endswith("}$.") and "The final answer is $" in parts.solution
    assert says_answer or bare(parts.solution) in bare(text)
    assert continuation_prefix(text) in text
    assert thought_so_far(text) in text
    assert parts == split_thought(text)


@settings(deadline=None)
@given(HOSTILE)
def test_an_unmarked_split_loses_nothing_but_white_space(text):
    parts = split_thought(text)
    if not holds_marker(text) and not parts.restated:
        assert "".join((parts.thought + parts.solution).split()) == "".join(text.split())


@pytest.mark.alone
@pytest.mark.parametrize(
    "unit", ["<think>", "\\boxed{", "{", "\n", " \n", "####", "answer", "* ", "Answer:\n\n", "\\["]
)
def test_long_hostile_texts_take_linear_time(unit):
    text = unit * (400_000 // len(unit))
    start = time.process_time()
    split_thought(text)
    continuation_prefix(text)
    repeated_share(text, text)
    assert time.process_time() - start < 5.0
