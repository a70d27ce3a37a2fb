"""What a generated step is, what a box is, and how a whole solution is cut into steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.sampling import Completion
from butwait.transforms.search.prefix import prefix_parts
from butwait.transforms.search.steps import Step, StepRules, has_answer_box, read_step, split_steps

SEPARATOR = "\n\n"
RULES = StepRules(SEPARATOR, max_steps=3, max_step_tokens=10, end_on_box=True, whole=False)
WHOLE = StepRules(SEPARATOR, max_steps=3, max_step_tokens=10, end_on_box=True, whole=True)
TEXTS = st.text(alphabet="a \n.Ж", max_size=40)


def completion(
    text: str, finish: str = "stop", stop: str | None = None, n: int = 5, log_prob: float = -1.0
) -> Completion:
    return Completion(
        index=0,
        text=text,
        finish_reason=finish,
        stop_reason=stop,
        n_prompt_tokens=1,
        n_completion_tokens=n,
        seed=None,
        log_prob=log_prob,
    )


@pytest.mark.parametrize(
    ("given_", "step", "end", "cut"),
    [
        (completion("go on", stop=SEPARATOR), 0, None, None),
        (completion("the end"), 0, "end_of_text", None),
        (completion(""), 0, None, "empty"),
        (completion(""), 1, "end_of_text", None),
        (completion("", stop=SEPARATOR), 1, None, "empty"),
        (completion(" \n", "length", n=10), 1, None, "empty"),
        (completion("so \\boxed{7}", stop=SEPARATOR), 0, "boxed", None),
        (completion("so \\boxed{7} and", "length", n=10), 0, "boxed", None),
        (completion("put it in \\boxed{}", stop=SEPARATOR), 0, None, None),
        (completion("no separator yet", "length", n=10), 0, None, None),
        (completion("no room", "length", n=9), 0, None, "context_overflow"),
        (completion("last", stop=SEPARATOR), 2, None, "max_steps"),
        (completion("last", "length", n=10), 2, None, "max_steps"),
        (completion("last \\boxed{1}", stop=SEPARATOR), 2, "boxed", None),
        (completion("last"), 2, "end_of_text", None),
    ],
    ids=str,
)
def test_a_step_goes_on_ends_or_is_cut(
    given_: Completion, step: int, end: str | None, cut: str | None
) -> None:
    text = given_.text + (SEPARATOR if given_.stop_reason else "")
    assert read_step(given_, step, RULES) == Step(text, end, cut)  # type: ignore[arg-type]


def test_a_box_ends_nothing_where_the_recipe_says_so() -> None:
    rules = StepRules(SEPARATOR, 3, 10, end_on_box=False, whole=False)
    assert read_step(completion("\\boxed{7}", stop=SEPARATOR), 0, rules).end is None


def test_a_whole_sample_ends_by_itself_or_by_its_limit_and_an_empty_one_is_cut() -> None:
    whole = completion("a\n\n\\boxed{1}\n\nb")
    assert read_step(whole, 0, WHOLE) == Step(whole.text, "end_of_text", None)
    assert read_step(completion("a\n\nb", "length"), 0, WHOLE).end == "length"
    assert read_step(completion(" \n"), 0, WHOLE) == Step(" \n", None, "empty")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\boxed{7}", True),
        ("\\boxed{\\frac{1}{\\sqrt{2}}}", True),
        ("\\boxed{\\{1, 2\\}}", True),
        ("\\boxed{{{{x}}}}", True),
        ("first \\boxed{}, then \\boxed{3}", True),
        ("Put your answer in \\boxed{}.", False),
        ("in \\boxed{...}", False),
        ("in \\boxed{ … }", False),
        ("in \\boxed{$$}", False),
        ("end with \\boxed", False),
        ("\\boxed{\\frac{1}{2}", False),
        ("the boxed parcel {7}", False),
        ("", False),
    ],
)
def test_only_a_closed_box_with_something_in_it_is_an_answer(text: str, expected: bool) -> None:
    assert has_answer_box(text) is expected


@given(TEXTS, st.sampled_from([SEPARATOR, "\n", "a", ".\n", "ЖЖ"]))
def test_the_parts_of_a_solution_joined_are_its_text(text: str, separator: str) -> None:
    parts = split_steps(text, separator)
    assert "".join(parts) == text
    if text.strip() and not separator.strip():
        assert all(part.strip() for part in parts)
    # No part holds anything after a separator but white space.
    assert not any(p.strip() for part in parts for p in part.split(separator)[1:-1] if len(p) > 40)


def test_blank_pieces_belong_to_a_step_that_says_something() -> None:
    assert split_steps("\n\n\n\na\n\nb\n\n\n\nc\n\n", SEPARATOR) == (
        "\n\n\n\na\n\n",
        "b\n\n\n\n",
        "c\n\n",
    )
    assert split_steps("", SEPARATOR) == ("",)


def test_a_prefix_is_asked_about_as_a_whole_or_step_by_step() -> None:
    texts = ("a\n\n", "b\n\n")
    done = (completion("a", n=2, log_prob=-2.0), completion("b", n=3, log_prob=-0.3))
    assert prefix_parts(texts, done, "model", None) == (("a\n\nb\n\n",), (pytest.approx(-0.46),))
    parts, log_probs = prefix_parts(texts, done, "prod", None)
    assert parts == texts and log_probs == pytest.approx((-1.0, -0.1))


def test_a_whole_solution_is_cut_where_its_steps_end() -> None:
    parts, log_probs = prefix_parts(
        ("a\n\nb",), (completion("a\n\nb", n=4, log_prob=-2.0),), "min", SEPARATOR
    )
    assert parts == ("a\n\n", "b") and log_probs == (-0.5, -0.5)


def test_log_probabilities_that_are_not_all_known_are_not_told() -> None:
    unknown = completion("b").model_copy(update={"log_prob": None})
    for how in ("model", "last"):
        assert prefix_parts(("a", "b"), (completion("a"), unknown), how, None)[1] is None  # type: ignore[arg-type]
