"""The LIMO layout's targets, and the questions for reinforcement learning."""

from __future__ import annotations

import json

import pytest
from handmade import make_group, make_question, make_sample

from butwait.schemas.recipe_rows import LimoSpec, RlSpec
from butwait.transforms.limo import limo
from butwait.transforms.render import render
from butwait.transforms.rl import explain_refusal

RIGHT = make_sample(0, "2 + 3 = 5\n\nAnswer: \\boxed{5}", answer="5")
WRONG = make_sample(1, "2 + 3 = 6\n\nAnswer: \\boxed{6}", "incorrect", "6")


def make(question, samples=(), target="solution"):
    spec = LimoSpec(transform="limo", target=target)
    return limo(question, make_group(samples), spec, 0)


def test_the_source_s_solution_loses_its_tags_and_keeps_its_flag():
    question = make_question(solution="<think>\nI add.\n</think>\n\\boxed{5}", r1_derived=True)
    trace = make(question).traces[0]
    assert (trace.thought_text, trace.solution_text) == ("I add.", "\\boxed{5}")
    assert trace.parents == ()
    assert trace.r1_derived
    assert render(trace, "thinking_answer").text == (
        "<thinking>\nI add.\n</thinking>\n<answer>\n\\boxed{5}\n</answer>"
    )


def test_a_sample_is_not_tainted_by_the_source_s_solution():
    question = make_question(solution="\\boxed{5}", r1_derived=True)
    trace = make(question, [RIGHT, WRONG], "trajectory").traces[0]
    assert trace.parents == (RIGHT.id,)
    assert not trace.r1_derived


def test_a_solution_that_ends_otherwise_is_refused():
    assert make(make_question(solution="I add.\n\n\\boxed{6}")).reason == "wrong_solution"


@pytest.mark.parametrize("solution", [None, "", " \n"])
def test_a_missing_solution_is_named(solution):
    assert make(make_question(solution=solution)).reason == "no_solution"


def test_without_a_correct_sample_there_is_no_target():
    assert make(make_question(), [WRONG], "trajectory").reason == "no_correct_sample"


def test_real_limo_solutions_are_told_in_thought_and_answer(shared_data):
    lines = (shared_data / "limo_v2" / "limo_v2_subset40.jsonl").read_text("utf-8").splitlines()
    n_made = 0
    for row in map(json.loads, lines):
        question = make_question(row["answer"], row["solution"], problem=row["question"])
        made = make(question)
        assert made.reason in (None, "wrong_solution")
        for trace in made.traces:
            n_made += 1
            assert "</think>" not in trace.thought_text
            assert len(trace.thought_text) > 5000
    assert n_made >= 36


def test_questions_are_taken_by_their_pass_rate():
    half = make_group([RIGHT, WRONG])
    assert explain_refusal(half, RlSpec(transform="rl")) is None
    assert explain_refusal(half, RlSpec(transform="rl", min_pass_rate=0.5)) is None
    spec = RlSpec(transform="rl", max_pass_rate=0.4)
    assert explain_refusal(half, spec) == "pass_rate_out_of_range"


def test_a_question_without_a_graded_sample_is_not_taken():
    group = make_group([make_sample(0, "x", "timeout")])
    assert explain_refusal(group, RlSpec(transform="rl")) == "no_graded_sample"
