"""First thought, "But wait,", continuation."""

from __future__ import annotations

from fractions import Fraction

import pytest
from handmade import make_continuation, make_group, make_question, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from butwait.schemas.recipe_rows import ButWaitSpec
from butwait.transforms.but_wait import (
    but_wait,
    full_text,
    is_within_cap,
    joiner,
    pick_sources,
    right_right_threshold,
)
from butwait.transforms.render import render

SIX = make_sample(0, "2 + 3 = 6\n\nAnswer: \\boxed{6}", "incorrect", "6")
FIVE = make_sample(1, "<think>\n2 + 3 = 5\n</think>\n\nSo \\boxed{5}.", answer="5")
MENDED = make_continuation(SIX, " that is off.\n\n3 + 2 = 5\n\nAnswer: \\boxed{5}", answer="5")
KEPT = make_continuation(FIVE, " let me count: five.\n</think>\n\nIt is $\\boxed{5}$.", answer="5")
SPEC = ButWaitSpec(transform="but_wait", per_question=4)


def make(samples, continuations, spec=SPEC):
    return but_wait(make_question(), make_group(samples, continuations), spec, 0)


def shown(trace):
    return [(s.role, s.text) for s in trace.thought]


def test_an_unmarked_first_text_stays_whole_and_is_mended():
    trace = make([SIX], [MENDED]).traces[0]
    assert shown(trace) == [
        ("wrong_branch", SIX.text),
        ("transition", "\n\nBut wait,"),
        ("path", " that is off.\n\n3 + 2 = 5"),
    ]
    assert trace.solution_text == "Answer: \\boxed{5}"
    assert (trace.flow, trace.first_answer) == ("wrong_right", "6")
    assert trace.parents == (SIX.id, MENDED.id)


def test_a_marked_first_text_loses_its_solution():
    trace = make([FIVE], [KEPT]).traces[0]
    assert shown(trace) == [
        ("path", "2 + 3 = 5"),
        ("transition", "\n\nBut wait,"),
        ("path", " let me count: five."),
    ]
    assert trace.solution_text == "It is $\\boxed{5}$."
    assert trace.flow == "right_right"


def test_a_space_that_an_engine_lost_is_put_back():
    lost = make_continuation(SIX, "no: 3 + 2 = 5\n\nAnswer: \\boxed{5}", answer="5")
    assert make([SIX], [lost]).traces[0].thought[1].text == "\n\nBut wait, "
    assert full_text(lost, {SIX.id: SIX}).endswith("But wait, no: 3 + 2 = 5\n\nAnswer: \\boxed{5}")


def test_plain_rows_read_as_they_were_sampled():
    brief = make_continuation(SIX, " it is \\boxed{5}.", answer="5")
    spec = ButWaitSpec(transform="but_wait", format="plain")
    for continuation in (MENDED, brief):
        trace = make([SIX], [continuation], spec).traces[0]
        assert render(trace, "plain").text == full_text(continuation, {SIX.id: SIX})


def test_two_waits_make_a_chain_through_their_parents():
    second = make_continuation(MENDED, " I am sure: five.\n\nAnswer: \\boxed{5}", answer="5", k=1)
    spec = ButWaitSpec(transform="but_wait", n_waits=2)
    trace = make([SIX], [MENDED, second], spec).traces[0]
    assert [s.role for s in trace.thought] == [
        "wrong_branch",
        "transition",
        "path",
        "transition",
        "path",
    ]
    assert trace.parents == (SIX.id, MENDED.id, second.id)
    assert trace.n_transitions == 2
    assert "Answer: \\boxed{5}\n\nBut wait, I am sure" in trace.thought_text


@pytest.mark.parametrize(
    ("continuation", "reason"),
    [
        (make_continuation(SIX, " no. \\boxed{7}", "incorrect", "7"), "flow_not_kept"),
        (make_continuation(SIX, " hm", "no_answer"), "continuation_no_answer"),
        (make_continuation(SIX, " hm", "truncated"), "continuation_truncated"),
        (make_continuation(SIX, " <think>5</think>\\boxed{5}", answer="5"), "reopened_thought"),
        (make_continuation(SIX, "\n\n2 + 3 =  6\n\n answer: \\boxed{6}"), "repeats_itself"),
        (make_continuation(SIX, " it is five"), "no_solution"),
        (make_continuation(MENDED, " five \\boxed{5}", answer="5", k=1), "parent_missing"),
    ],
)
def test_a_continuation_that_is_no_use_is_named(continuation, reason):
    made = make([SIX], [continuation])
    assert made.traces == ()
    assert made.reason == reason
    assert [(d.item, d.reason) for d in made.dropped] == [(continuation.id, reason)]


def test_a_continuation_cut_by_the_token_limit_is_truncated_whatever_its_verdict():
    cut = MENDED.model_copy(update={"finish_reason": "length"})
    assert make([SIX], [cut]).reason == "continuation_truncated"


def test_fewer_waits_than_asked_for_are_incomplete():
    spec = ButWaitSpec(transform="but_wait", n_waits=2)
    assert make([SIX], [MENDED], spec).reason == "continuation_incomplete"
    assert make([SIX], []).reason == "no_continuation"


def test_flows_that_end_wrong_are_counted_and_never_kept():
    worse = make_continuation(FIVE, " no, six: \\boxed{6}", "incorrect", "6")
    spec = ButWaitSpec(transform="but_wait", per_question=4)
    made = make([SIX, FIVE], [MENDED, worse], spec)
    assert [t.flow for t in made.traces] == ["wrong_right"]
    assert made.flows == ("wrong_right", "right_wrong")


def test_a_flow_that_ends_wrong_cannot_be_asked_for():
    with pytest.raises(ValidationError, match="right_right"):
        ButWaitSpec.model_validate({"transform": "but_wait", "keep": ["right_wrong"]})


def test_keep_filters_the_flows_that_end_right():
    spec = ButWaitSpec(transform="but_wait", per_question=4, keep=("wrong_right",))
    made = make([SIX, FIVE], [MENDED, KEPT], spec)
    assert [t.flow for t in made.traces] == ["wrong_right"]
    assert made.flows == ("wrong_right", "right_right")


def sources(n_right, n_wrong, per_question, run_seed=0, turn=0):
    samples = [
        make_sample(i, f"way {i}\n\n\\boxed{{5}}", "correct" if i < n_right else "incorrect")
        for i in range(n_right + n_wrong)
    ]
    samples = samples[turn:] + samples[:turn]
    spec = ButWaitSpec(transform="but_wait", per_question=per_question)
    return pick_sources(samples, spec, run_seed)


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 6), st.integers(0, 99), st.data())
def test_wrong_and_right_sources_take_turns_whatever_the_order(n_right, n_wrong, n, seed, data):
    picked = sources(n_right, n_wrong, n, seed)
    assert len(picked) == min(n, n_right + n_wrong)
    n_pairs = min(n_right, n_wrong, len(picked) // 2)
    for first, second in zip(picked[: 2 * n_pairs : 2], picked[1::2], strict=False):
        assert first.verdict != second.verdict
    turn = data.draw(st.integers(0, max(n_right + n_wrong - 1, 0)))
    assert [t.id for t in sources(n_right, n_wrong, n, seed, turn)] == [t.id for t in picked]


def test_the_seed_says_which_kind_is_continued_first():
    assert {sources(3, 3, 1, seed)[0].verdict for seed in range(20)} == {"correct", "incorrect"}


def test_a_sample_that_was_cut_or_not_judged_is_no_source():
    cut = make_sample(0, "way 0 \\boxed{5}", finish_reason="length")
    lost = make_sample(1, "way 1", "no_answer")
    same = make_sample(3, "way  2 \\boxed{5}")
    whole = make_sample(2, "way 2 \\boxed{5}")
    assert pick_sources([cut, lost, whole, same], SPEC, 0) == [whole]
    assert pick_sources([], SPEC, 0) == []


def test_the_joiner_is_a_blank_line_and_the_phrase():
    assert joiner("But wait,") == "\n\nBut wait,"


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10))
def test_right_right_rows_fill_their_share_exactly(n_same, n_others, tenths):
    share = tenths / 10
    rows = [(f"s{i}", "right_right") for i in range(n_same)]
    rows += [(f"o{i}", "wrong_right") for i in range(n_others)]
    threshold = right_right_threshold(reversed(rows), share)
    assert threshold == right_right_threshold(rows, share)
    kept = sum(is_within_cap(i, f, threshold) for i, f in rows[:n_same])
    assert all(is_within_cap(i, f, threshold) for i, f in rows[n_same:])
    allowed = Fraction(tenths, 10)
    assert kept == 0 or Fraction(kept, kept + n_others) <= allowed
    if kept < n_same:
        assert Fraction(kept + 1, kept + 1 + n_others) > allowed
