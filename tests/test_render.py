"""Markers and spans."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.trace import Segment, Trace
from butwait.transforms.render import MARKERS, boxed_answer, only_restates, render

TEXT = st.text(min_size=1, max_size=30)
THOUGHT = st.builds(
    Segment, role=st.sampled_from(["path", "wrong_branch", "transition"]), text=TEXT
)
ANSWER = st.builds(Segment, role=st.just("answer"), text=TEXT)


def make_trace(thought, solution):
    return Trace(
        id="t",
        question_id="q",
        transform="stitch",
        parameters="{}",
        thought=tuple(thought),
        solution=tuple(solution),
        parents=(),
        answer="5",
        n_transitions=sum(s.role == "transition" for s in thought),
        pass_rate=None,
        r1_derived=False,
    )


SIMPLE = make_trace(
    [
        Segment(role="wrong_branch", text="2 + 3 = 6"),
        Segment(role="transition", text="\n\nHold on!\n\n"),
        Segment(role="path", text="2 + 3 = 5"),
    ],
    [Segment(role="answer", text="Answer: \\boxed{5}")],
)


def test_bespoke_puts_four_markers_with_blank_lines_around():
    assert render(SIMPLE, "bespoke").text == (
        "<|begin_of_thought|>\n\n2 + 3 = 6\n\nHold on!\n\n2 + 3 = 5\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n\nAnswer: \\boxed{5}\n\n<|end_of_solution|>"
    )


def test_think_boxed_puts_the_solution_behind_the_block():
    assert render(SIMPLE, "think_boxed").text == (
        "<think>\n2 + 3 = 6\n\nHold on!\n\n2 + 3 = 5\n</think>\n\nAnswer: \\boxed{5}"
    )


def test_plain_is_thought_blank_line_solution():
    expected = "2 + 3 = 6\n\nHold on!\n\n2 + 3 = 5\n\nAnswer: \\boxed{5}"
    assert render(SIMPLE, "plain").text == expected


def test_plain_adds_no_blank_line_to_a_transition_that_has_one():
    trace = make_trace(SIMPLE.thought[:2], SIMPLE.solution)
    assert render(trace, "plain").text == "2 + 3 = 6\n\nHold on!\n\nAnswer: \\boxed{5}"


def test_thinking_answer_holds_the_boxed_answer_alone():
    assert render(SIMPLE, "thinking_answer").text == (
        "<thinking>\n2 + 3 = 6\n\nHold on!\n\n2 + 3 = 5\n</thinking>\n"
        "<answer>\n\\boxed{5}\n</answer>"
    )


def test_thinking_answer_keeps_a_solution_that_says_more():
    solution = "Adding 2 and 3 gives $\\boxed{5}$."
    trace = make_trace(SIMPLE.thought, [Segment(role="answer", text=solution)])
    rendered = render(trace, "thinking_answer")
    assert f"2 + 3 = 5\n\n{solution}\n</thinking>" in rendered.text
    assert [s.role for s in rendered.spans[-2:]] == ["answer", "answer"]


def test_only_a_short_sentence_without_numbers_restates():
    assert only_restates("The final answer is $\\boxed{5}$.")
    assert only_restates("\\boxed{5}")
    assert not only_restates("2 and 3 make \\boxed{5}")
    assert not only_restates("We add.\n\n\\boxed{5}")
    assert not only_restates("five")


def test_the_label_is_boxed_where_the_solution_has_no_box():
    trace = make_trace(SIMPLE.thought, [Segment(role="answer", text="Answer: 5")])
    assert boxed_answer(trace) == "\\boxed{5}"


def test_the_label_is_boxed_where_the_solution_has_several_boxes():
    solution = Segment(role="answer", text="So \\boxed{-5} or \\boxed{5}.")
    trace = make_trace(SIMPLE.thought, [solution]).model_copy(update={"answer": "$-5, 5$"})
    assert boxed_answer(trace) == "\\boxed{-5, 5}"


@settings(deadline=None)
@given(
    st.lists(THOUGHT, max_size=5),
    st.lists(ANSWER, min_size=1, max_size=3),
    st.sampled_from([*MARKERS]),
)
def test_spans_are_the_segments_in_order_and_leave_only_markers(thought, solution, renderer):
    trace = make_trace(thought, solution)
    rendered = render(trace, renderer)
    shown = [(s.role, rendered.text[s.start : s.end]) for s in rendered.spans]
    expected = [(s.role, s.text) for s in (*trace.thought, *trace.solution)]
    if renderer == "thinking_answer":
        if only_restates(trace.solution_text):
            expected = [(s.role, s.text) for s in trace.thought]
        expected.append(("answer", boxed_answer(trace)))
    assert shown == expected
    left, end = "", 0
    for span in rendered.spans:
        left += rendered.text[end : span.start]
        end = span.end
    left += rendered.text[end:]
    assert left.split() == list(MARKERS[renderer]) or "".join(left.split()) == "".join(
        MARKERS[renderer]
    )


@pytest.mark.parametrize("renderer", [*MARKERS])
def test_each_marker_stands_once_and_in_order(renderer):
    text = render(SIMPLE, renderer).text
    places = [text.index(marker) for marker in MARKERS[renderer]]
    assert places == sorted(places)
    assert all(text.count(marker) == 1 for marker in MARKERS[renderer])
