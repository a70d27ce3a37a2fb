"""Presets, messages and raw prompts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import SamplingSpec
from butwait.transforms.prompts import (
    PRESETS,
    build_messages,
    fill_template,
    read_prompt,
    system_prompt,
)
from butwait.transforms.thoughts import BESPOKE


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_ends_with_the_problem_as_the_user_s_turn(preset):
    messages = build_messages("What is {x}?", preset)
    assert messages[-1].role == "user"
    assert messages[-1].content.endswith("What is {x}?")
    assert [m.role for m in messages[:-1]] == ([] if preset == "none" else ["system"])


def test_the_bespoke_preset_names_its_four_markers_in_order_and_asks_for_a_box():
    system, user = build_messages("P", "bespoke")
    places = [
        system.content.index(marker)
        for marker in (BESPOKE.begin, BESPOKE.end, BESPOKE.begin_solution, BESPOKE.end_solution)
    ]
    assert places == sorted(places)
    assert user.content == "Return your final response within \\boxed{}. P"


def test_the_sal_preset_asks_for_steps_and_a_closing_line():
    text = system_prompt("sal")
    assert "## Step 1:" in text
    assert "Therefore, the final answer is: $\\boxed{answer}$. I hope it is correct." in text


def test_an_own_system_prompt_stands_in_for_a_preset():
    messages = build_messages("P", "own", "Be brief.")
    assert [(m.role, m.content) for m in messages] == [("system", "Be brief."), ("user", "P")]


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'quen'.*bespoke, qwen, sal, none"):
        system_prompt("quen")


def test_a_recipe_that_says_nothing_samples_with_qwen():
    assert read_prompt(SamplingSpec()) == ("qwen", system_prompt("qwen"))
    assert read_prompt(SamplingSpec(system="S")) == ("own", "S")
    assert read_prompt(SamplingSpec(prompt="none")) == ("none", None)


def test_a_template_without_a_place_for_a_system_prompt_has_none():
    assert read_prompt(SamplingSpec(template="Q: {problem}")) == ("none", None)
    assert read_prompt(SamplingSpec(template="{system} {problem}"))[0] == "qwen"


@settings(deadline=None)
@given(st.text(), st.text())
def test_a_problem_goes_into_a_template_as_it_is(problem, system):
    filled = fill_template("<{system}|{problem}|{problem} {x}>", problem, system)
    assert filled == f"<{system}|{problem}|{problem} {{x}}>"


def test_a_problem_that_names_a_field_is_not_filled_again():
    assert fill_template("{problem}", "{system} {problem} \\frac{1}{2}", "S") == (
        "{system} {problem} \\frac{1}{2}"
    )
