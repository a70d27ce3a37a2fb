"""Rows, their invariants, and the one call that makes them."""

from __future__ import annotations

import json

import pytest
from handmade import make_context, make_continuation, make_group, make_question, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.errors import SchemaError
from butwait.schemas.recipe_rows import (
    ButWaitSpec,
    LimoSpec,
    RlSpec,
    StitchSpec,
    VerifiedSpec,
)
from butwait.schemas.row import SftRow
from butwait.schemas.trace import Segment, Span
from butwait.transforms.apply import make_rows
from butwait.transforms.render import MARKERS, render
from butwait.transforms.rows import check_row, sft_row
from butwait.transforms.thoughts import ALL_MARKERS
from butwait.transforms.verified import verified
from butwait.transforms.verify import VERIFIER_VERSION

RIGHT = make_sample(0, "2 + 3 = 5\n\nAnswer: \\boxed{5}", answer="5")
WRONG = make_sample(1, "2 + 3 = 6\n\nAnswer: \\boxed{6}", "incorrect", "6")
GROUP = make_group([RIGHT, WRONG])
RENDERERS = [*MARKERS]
SPECS = [
    VerifiedSpec(transform="verified", per_question=4),
    StitchSpec(transform="stitch", per_question=4),
    ButWaitSpec(transform="but_wait", per_question=4),
    LimoSpec(transform="limo"),
]


def make(spec, group=GROUP, question=None, context=None, config="default"):
    return make_rows(question or make_question(), group, config, spec, context or make_context())


def reword(text, spans=None, renderer="bespoke", question=None, **context):
    """A sound row whose completion is put in another's place, checked."""
    question = question or make_question()
    spec = VerifiedSpec(transform="verified", format=renderer)
    row = make(spec).rows[0]
    message = row.completion[0].model_copy(update={"content": text})
    changes = {
        "completion": (message,),
        "messages": (*row.prompt, message),
        "spans": row.spans if spans is None else spans,
    }
    check_row(row.model_copy(update=changes), question, renderer, 65536, **context)


def refusal(*args, **changes):
    with pytest.raises(SchemaError) as caught:
        reword(*args, **changes)
    return caught.value.reason


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda s: s.transform)
def test_a_sound_row_is_made_in_every_layout(spec, renderer):
    made = make(spec.model_copy(update={"format": renderer}))
    assert made.reason is None
    assert made.dead_letters == ()
    row = made.rows[0]
    assert row.messages == row.prompt + row.completion
    assert [m.role for m in row.messages] == ["system", "user", "assistant"]
    assert row.answer == "5"
    assert row.provenance.renderer == renderer


def test_a_row_says_where_it_comes_from():
    row = make(SPECS[1], config="doubt").rows[0]
    assert row.id == "q0123456789abcdef01234567-stitch-0-doubt"
    origin = row.provenance
    assert origin.parents == (WRONG.id, RIGHT.id)
    assert (origin.model, origin.seed, origin.temperature) == ("pocket", 100, 0.8)
    assert (origin.dataset, origin.dataset_row, origin.licence) == ("handmade", 3, "CC0-1.0")
    assert (origin.transform, origin.prompt_preset) == ("stitch", "qwen")
    assert row.n_transitions == 1


def test_a_recording_that_does_not_say_how_it_was_sampled_leaves_that_open():
    recorded = RIGHT.model_copy(update={"parameters": None, "seed": None})
    origin = make(SPECS[0], make_group([recorded])).rows[0].provenance
    assert (origin.temperature, origin.top_p, origin.max_tokens, origin.seed) == (None,) * 4


@pytest.mark.parametrize(
    ("system", "roles"),
    [("none", ["user"]), ("bespoke", ["system", "user"]), ("sampling", ["system", "user"])],
)
def test_the_system_prompt_of_rows_is_chosen_by_name(system, roles):
    spec = VerifiedSpec(transform="verified", system=system)
    row = make(spec, context=make_context(system="Add.")).rows[0]
    assert [m.role for m in row.prompt] == roles
    assert system != "sampling" or row.prompt[0].content == "Add."


def test_limo_rows_have_no_system_prompt_and_one_closed_pair_each():
    row = make(SPECS[3]).rows[0]
    assert [m.role for m in row.prompt] == ["user"]
    assert row.completion[0].content == (
        "<thinking>\n2 + 3 = 5\n</thinking>\n<answer>\n\\boxed{5}\n</answer>"
    )


def test_rows_of_the_source_s_solution_name_no_model_and_carry_its_flag():
    question = make_question(solution="I add.\n\n\\boxed{5}", r1_derived=True)
    spec = LimoSpec(transform="limo", target="solution")
    origin = make(spec, question=question).rows[0].provenance
    assert (origin.model, origin.engine, origin.temperature, origin.seed) == (None,) * 4
    assert origin.r1_derived
    assert not make(SPECS[3], question=question).rows[0].provenance.r1_derived


def test_a_but_wait_row_records_its_flow_and_the_last_sample():
    mended = make_continuation(WRONG, " that is off.\n\n3 + 2 = 5\n\n\\boxed{5}", answer="5")
    row = make(SPECS[2], make_group([RIGHT, WRONG], [mended])).rows[0]
    assert (row.flow, row.first_answer, row.n_transitions) == ("wrong_right", "6", 1)
    assert row.provenance.seed == mended.seed


def test_an_rl_row_asks_and_carries_the_pass_rate():
    question = make_question(solution="I add.\n\n\\boxed{5}", r1_derived=True)
    made = make(RlSpec(transform="rl"), question=question, config="rl")
    row = made.rows[0]
    assert (row.answer, row.pass_rate, row.n_samples) == ("5", 0.5, 2)
    assert row.prompt[-1].content == question.problem
    assert row.provenance.r1_derived
    assert row.provenance.seed is None
    assert made.n_traces == 0
    refused = make(RlSpec(transform="rl", max_pass_rate=0.1))
    assert (refused.rows, refused.reason) == ((), "pass_rate_out_of_range")


def test_an_rl_question_with_a_template_token_is_a_dead_letter():
    made = make(RlSpec(transform="rl"), question=make_question(problem="x <|im_end|> y"))
    assert made.rows == ()
    assert made.reason == "template_tokens"
    assert made.dead_letters[0].reason == "template_tokens"


SOUND = render(
    verified(make_question(), GROUP, VerifiedSpec(transform="verified"), 0).traces[0], "bespoke"
).text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SOUND.replace("<|end_of_thought|>", ""), "unbalanced_markers"),
        (SOUND.replace("2 + 3", "2 </THINK> 3"), "unbalanced_markers"),
        (SOUND.replace("2 + 3", "<|begin_of_thought|>"), "unbalanced_markers"),
        (SOUND.replace("boxed{5}", "boxed{6}"), "answer_mismatch"),
        (SOUND.replace("boxed{5}", "boxed{5 "), "answer_mismatch"),
        (SOUND + "\n\nBye.", "uncovered_text"),
        (SOUND.replace("2 + 3", "2 \x0c 3"), "control_characters"),
        (SOUND.replace("2 + 3", "2 \u202e 3"), "control_characters"),
        ("x" * 70000, "too_long"),
    ],
)
def test_a_text_that_breaks_an_invariant_is_refused_by_name(text, reason):
    assert refusal(text) == reason


@pytest.mark.parametrize(
    "token",
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|end|>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "<|begin_of_text|>",
        "<|endoftext|>",
        "<s>",
        "</s>",
        "[INST]",
        "<</SYS>>",
        "<end_of_turn>",
        "<\uff5cUser\uff5c>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    ],
)
def test_chat_template_tokens_are_refused(token):
    assert refusal(SOUND.replace("2 + 3", token)) == "template_tokens"


@pytest.mark.parametrize("text", ["|a|<|y|>|b|", "a < s > b", "$\\langle s\\rangle$", "2\t+\r\n3"])
def test_mathematics_is_not_taken_for_a_template_token(text):
    sample = make_sample(0, f"{text}\n\nAnswer: \\boxed{{5}}", answer="5")
    assert make(SPECS[0], make_group([sample])).reason is None


def test_a_thought_without_words_is_refused():
    start = SOUND.index("\\boxed") - 8
    text = SOUND.replace("2 + 3 = 5", "")
    spans = (Span(start=start - 9, end=start - 9 + len("Answer: \\boxed{5}"), role="answer"),)
    assert refusal(text, spans) == "empty_thought"


def test_transitions_are_counted_in_the_text():
    row = make(SPECS[1]).rows[0].model_copy(update={"n_transitions": 2})
    with pytest.raises(SchemaError, match="1 transition spans, n_transitions is 2"):
        check_row(row, make_question(), "bespoke", 65536)


def test_markers_out_of_order_are_refused():
    text = "</think>\n2 + 3 = 5\n<think>\n\nAnswer: \\boxed{5}"
    assert refusal(text, renderer="think_boxed") == "unbalanced_markers"


def test_a_row_that_has_no_place_in_the_schema_is_named():
    question = make_question()
    spec = SPECS[0]
    trace = verified(question, GROUP, spec, 0).traces[0]
    broken = trace.model_copy(update={"pass_rate": 1.5})
    with pytest.raises(SchemaError, match=r"invalid_row: pass_rate: .*less than or equal to 1"):
        sft_row(question, broken, render(trace, "plain"), spec, "default", make_context(), [RIGHT])


def test_a_refused_row_leaves_a_dead_letter_that_shows_it():
    made = make(SPECS[0], make_group([RIGHT]), context=make_context(max_characters=64))
    assert made.rows == ()
    assert (made.n_traces, made.reason) == (1, "too_long")
    letter = made.dead_letters[0]
    assert (letter.stage, letter.item) == ("rows", "q0123456789abcdef01234567-verified-0-default")
    assert letter.row == 3
    assert letter.excerpt.startswith("<|begin_of_thought|>")
    assert "at most 64" in letter.detail


@settings(deadline=None)
@given(st.permutations([RIGHT, WRONG, make_sample(2, "3 + 2 = 5\n\n\\boxed{5}", answer="5")]))
def test_the_order_of_samples_changes_no_row(samples):
    ordered = make_group(sorted(samples, key=lambda t: t.sample_index))
    for spec in SPECS[:2]:
        assert make(spec, make_group(samples)).rows == make(spec, ordered).rows


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [*ALL_MARKERS, "<|im_end|>", "\\boxed{5}", "\\boxed{6}", "\n\n", "</s>", "\x00"]
        ),
        st.text(max_size=6),
    ),
    max_size=10,
).map("".join)


@settings(deadline=None)
@given(
    st.lists(st.tuples(HOSTILE, st.sampled_from(["correct", "incorrect"])), max_size=4),
    st.sampled_from(SPECS),
    st.sampled_from(RENDERERS),
)
def test_hostile_texts_are_refused_or_sound_and_never_crash(texts, spec, renderer):
    samples = [make_sample(i, text, verdict) for i, (text, verdict) in enumerate(texts)]
    continuations = [
        make_continuation(sample, text, verdict)
        for sample, (text, verdict) in zip(samples, reversed(texts), strict=True)
    ]
    spec = spec.model_copy(update={"format": renderer})
    made = make(spec, make_group(samples, continuations))
    assert bool(made.rows) == (made.reason is None)
    assert made.n_traces == len(made.rows) + len(made.dead_letters)
    for row in made.rows:
        assert isinstance(row, SftRow)
        text = row.completion[0].content
        for marker in ALL_MARKERS:
            assert text.count(marker) == (marker in MARKERS[renderer])
        assert row.n_transitions == sum(s.role == "transition" for s in row.spans)


def test_segments_and_spans_of_a_row_are_the_trace_s():
    trace = verified(make_question(), GROUP, SPECS[0], 0).traces[0]
    row = make(SPECS[0]).rows[0]
    text = row.completion[0].content
    shown = tuple(Segment(role=s.role, text=text[s.start : s.end]) for s in row.spans)
    assert shown == trace.thought + trace.solution


def test_real_samples_become_rows_that_verify(shared_data):
    path = shared_data / "traj_qwen25_math" / "math_cot_100x8.jsonl"
    n_rows = {"verified": 0, "stitch": 0}
    for line in path.read_text("utf-8").splitlines()[:40]:
        record = json.loads(line)
        question = make_question(record["gt"], problem=record["question"])
        samples = [
            make_sample(i, text, "correct" if right else "incorrect")
            for i, (text, right) in enumerate(zip(record["response"], record["score"], strict=True))
        ]
        for spec in SPECS[:2]:
            made = make(spec, make_group(samples), question)
            n_rows[spec.transform] += len(made.rows)
    assert n_rows["verified"] > 100
    assert n_rows["stitch"] >= 8


def test_a_row_names_the_version_of_the_verifier_that_passed_it():
    assert make(SPECS[0]).rows[0].provenance.verifier_version == VERIFIER_VERSION
