"""The best correct sample."""

from __future__ import annotations

import json

import pytest
from handmade import make_group, make_question, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.recipe_rows import StitchSpec, VerifiedSpec
from butwait.schemas.verdict import VERDICT_NAMES
from butwait.transforms.verified import name_parameters, pick_right, verified

LONG = make_sample(0, "Two and three.\n\nThat is five.\n\nAnswer: \\boxed{5}", answer="5")
SHORT = make_sample(1, "2 + 3 = 5\n\nAnswer: \\boxed{5}", answer="5")
AGAIN = make_sample(2, "2 + 3  = 5\n\nAnswer: \\boxed{5}\n", answer="5")
WRONG = make_sample(3, "2 + 3 = 6\n\nAnswer: \\boxed{6}", "incorrect", "6")


def make(samples, run_seed=0, **spec):
    spec = VerifiedSpec(transform="verified", **spec)
    return verified(make_question(), make_group(samples), spec, run_seed)


@pytest.mark.parametrize(
    ("pick", "parent"), [("first", LONG.id), ("shortest", SHORT.id), ("longest", LONG.id)]
)
def test_the_best_is_the_first_the_shortest_or_the_longest(pick, parent):
    made = make([WRONG, SHORT, LONG], pick=pick)
    assert made.traces[0].parents == (parent,)


def test_a_trace_carries_its_parts_label_and_pass_rate():
    trace = make([LONG, SHORT, WRONG, AGAIN]).traces[0]
    assert trace.id == "q0123456789abcdef01234567-verified-0"
    assert [(s.role, s.text) for s in trace.thought] == [
        ("path", "Two and three.\n\nThat is five.")
    ]
    assert trace.solution_text == "Answer: \\boxed{5}"
    assert (trace.answer, trace.pass_rate, trace.n_transitions) == ("5", 0.75, 0)
    assert json.loads(trace.parameters) == {"per_question": 1, "pick": "first"}


def test_texts_that_differ_in_white_space_count_once():
    made = make([LONG, SHORT, AGAIN], per_question=8)
    assert [t.parents for t in made.traces] == [(LONG.id,), (SHORT.id,)]
    assert len({t.id for t in made.traces}) == 2


@pytest.mark.parametrize("verdict", [v for v in VERDICT_NAMES if v != "correct"])
def test_only_the_verdict_correct_is_right(verdict):
    made = make([make_sample(0, "2 + 3 = 5\n\n\\boxed{5}", verdict, "5")])
    assert made.traces == ()
    assert made.reason == "no_correct_sample"


def test_a_correct_text_that_cannot_be_told_apart_is_named():
    assert make([make_sample(0, "it is five")]).reason == "no_solution"


def test_a_text_with_a_stray_marker_comes_last():
    stray = make_sample(0, "a</think>b\n\n\\boxed{5}</think>", answer="5")
    assert make([stray, SHORT]).traces[0].parents == (SHORT.id,)
    assert make([stray]).traces[0].parents == (stray.id,)


def test_the_flag_of_the_sample_is_carried():
    derived = make_sample(0, SHORT.text, answer="5", r1_derived=True)
    assert make([derived]).traces[0].r1_derived
    assert not make([SHORT]).traces[0].r1_derived


def test_a_text_that_is_all_answer_is_not_said_twice_in_plain_rows():
    only = make_sample(0, "Answer: \\boxed{5}", answer="5")
    plain = make([only], format="plain").traces[0]
    assert (plain.thought, plain.solution_text) == ((), "Answer: \\boxed{5}")
    marked = make([only]).traces[0]
    assert (marked.thought_text, marked.solution_text) == (
        "Answer: \\boxed{5}",
        "The final answer is $\\boxed{5}$.",
    )


def test_parameters_are_canonical_json_without_what_has_a_column():
    spec = StitchSpec(transform="stitch", n_wrong=2, transitions=("Ä!",))
    assert name_parameters(spec) == '{"n_wrong":[2,2],"per_question":1,"transitions":["Ä!"]}'


@settings(deadline=None)
@given(st.permutations([LONG, SHORT, AGAIN, WRONG]), st.integers(0, 9))
def test_neither_order_nor_seed_changes_anything(samples, run_seed):
    assert make(samples, run_seed, per_question=4) == make(
        [LONG, SHORT, AGAIN, WRONG], per_question=4
    )


TEXTS = (
    "I add.\n\nAnswer: \\boxed{5}",
    "I  add.\n\nAnswer: \\boxed{5}",
    "Two and three.\n\nThat is five.\n\nAnswer: \\boxed{5}",
    "I add </think> them.\n\nAnswer: \\boxed{5}",
    "<think>I add.</think>\n\nAnswer: \\boxed{5}",
    "",
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(TEXTS),
            st.sampled_from(["correct", "incorrect"]),
            st.sampled_from(["stop", "length"]),
        ),
        max_size=8,
    ),
    st.sampled_from(["first", "shortest", "longest"]),
    st.integers(1, 5),
)
def test_asking_for_few_gives_the_first_of_all(drawn, pick, n):
    samples = [
        make_sample(i, text, verdict, "5", finish_reason=reason)
        for i, (text, verdict, reason) in enumerate(drawn)
    ]
    group = make_group(samples)
    assert pick_right(group, pick, n) == pick_right(group, pick)[:n]
