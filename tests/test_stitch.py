"""Wrong thoughts, transitions, then the right one."""

from __future__ import annotations

import numpy as np
import pytest
from handmade import make_group, make_question, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.recipe_rows import HOLD_ON, StitchSpec
from butwait.schemas.verdict import VERDICT_NAMES
from butwait.transforms.stitch import draw_wrong, stitch
from butwait.transforms.verified import parse_samples

RIGHT = make_sample(0, "<think>\n2 + 3 = 5\n</think>\n\nSo $\\boxed{5}$.", answer="5")
SIX = make_sample(1, "2 + 3 = 6\n\nAnswer: \\boxed{6}", "incorrect", "6")
SIX_TOO = make_sample(2, "3 + 2 = 6\n\nAnswer: \\boxed{6}", "incorrect", "6")
SEVEN = make_sample(3, "<think>\n2 + 3 = 7\n</think>\n\nSo \\boxed{7}", "incorrect", "7")
CLAIM = make_sample(4, "Answer: \\boxed{8}", "incorrect", "8")
ALL = [RIGHT, SIX, SIX_TOO, SEVEN, CLAIM]
LABELLED = st.lists(
    st.tuples(st.sampled_from(["correct", "incorrect", "truncated"]), st.integers(0, 9)),
    max_size=8,
)


def make(samples, run_seed=0, **spec):
    spec = StitchSpec(transform="stitch", **spec)
    return stitch(make_question(), make_group(samples), spec, run_seed)


def test_a_trace_is_wrong_thought_transition_right_thought_solution():
    trace = make([RIGHT, SIX]).traces[0]
    assert [(s.role, s.text) for s in trace.thought] == [
        ("wrong_branch", "2 + 3 = 6"),
        ("transition", f"\n\n{HOLD_ON}\n\n"),
        ("path", "2 + 3 = 5"),
    ]
    assert trace.solution_text == "So $\\boxed{5}$."
    assert trace.parents == (SIX.id, RIGHT.id)
    assert trace.n_transitions == 1


def test_a_wrong_thought_loses_its_solution_section():
    assert "\\boxed{7}" not in make([RIGHT, SEVEN]).traces[0].thought_text


def test_a_wrong_text_that_is_all_answer_is_its_own_thought():
    assert make([RIGHT, CLAIM]).traces[0].thought[0].text == "Answer: \\boxed{8}"


def test_a_wrong_thought_that_is_right_keeps_the_conclusion_that_is_not():
    slip = make_sample(1, "2 + 3 = 5\n\nAnswer: \\boxed{6}", "incorrect", "6")
    assert make([RIGHT, slip]).traces[0].thought[0].text == "2 + 3 = 5\n\nAnswer: \\boxed{6}"


@pytest.mark.parametrize("verdict", [v for v in VERDICT_NAMES if v not in ("correct", "incorrect")])
def test_a_sample_without_a_verdict_on_the_merits_is_not_wrong(verdict):
    other = make_sample(1, "2 + 3 = 6\n\n\\boxed{6}", verdict, "6")
    assert make([RIGHT, other]).reason == "no_wrong_sample"


def test_missing_samples_are_named():
    assert make([SIX]).reason == "no_correct_sample"
    assert make([RIGHT]).reason == "no_wrong_sample"
    assert make([RIGHT, SIX], n_wrong=(2, 3)).reason == "too_few_wrong_samples"


def test_the_most_is_capped_by_what_there_is():
    assert {make(ALL, seed, n_wrong=(4, 9)).traces[0].n_transitions for seed in range(9)} == {4}


def test_a_wrong_text_with_a_marker_inside_is_not_used():
    hostile = make_sample(1, "2 + 3 = 6 </think> no </think>\n\n\\boxed{6}", "incorrect", "6")
    assert make([RIGHT, hostile]).reason == "no_wrong_sample"


def test_distinct_answers_come_before_repeated_ones():
    wrongs = parse_samples([SIX, SIX_TOO, SEVEN, CLAIM], "incorrect")
    for seed in range(20):
        drawn = draw_wrong(wrongs, 3, np.random.default_rng(seed))
        assert {p.sample.extracted for p in drawn} == {"6", "7", "8"}


def test_transitions_are_drawn_from_the_list():
    said = {
        make([RIGHT, SIX], seed, transitions=("A.", "B.")).traces[0].thought[1].text.strip()
        for seed in range(20)
    }
    assert said == {"A.", "B."}


def test_several_traces_of_a_question_differ():
    traces = make(ALL, per_question=6).traces
    assert len(traces) == 6
    assert len({t.thought_text for t in traces}) == 6
    assert len({t.id for t in traces}) == 6
    assert len(make([RIGHT, SIX], per_question=6).traces) == 1


@settings(deadline=None)
@given(st.permutations(ALL), st.integers(0, 2**31 - 1))
def test_the_order_of_samples_changes_nothing(samples, run_seed):
    assert make(samples, run_seed, per_question=2) == make(ALL, run_seed, per_question=2)


@settings(deadline=None)
@given(LABELLED, st.integers(0, 99), st.integers(1, 3), st.integers(0, 3))
def test_a_trace_never_ends_wrong_and_counts_its_transitions(labelled, run_seed, least, more):
    samples = [
        make_sample(i, f"way {i}: {n}\n\nAnswer: \\boxed{{{n}}}", verdict, str(n))
        for i, (verdict, n) in enumerate(labelled)
    ]
    made = make(samples, run_seed, n_wrong=(least, least + more), per_question=3)
    verdicts = {s.id: s.verdict for s in samples}
    assert bool(made.traces) == (made.reason is None)
    for trace in made.traces:
        *wrong, right = trace.parents
        assert verdicts[right] == "correct"
        assert {verdicts[w] for w in wrong} == {"incorrect"}
        assert least <= len(wrong) == trace.n_transitions <= least + more
        roles = [s.role for s in trace.thought]
        assert roles == ["wrong_branch", "transition"] * len(wrong) + ["path"]
