"""What a rollout earns: by verdict, layout and length; and what becomes of lost workers."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.schemas.recipe_grpo import LengthSpec, RewardsSpec
from butwait.schemas.verdict import Verdict
from butwait.trainer.rewards import (
    LAYOUTS,
    Judge,
    Reader,
    format_reward,
    is_usable,
    length_reward,
)
from butwait.transforms.render import MARKERS, render
from butwait.transforms.verify.pool import shared_pool

END = 1
LETTERS = Reader(lambda ids: "".join(map(chr, ids)), frozenset({END}))


def spell(text: str, *, ended: bool = True) -> list[int]:
    """A rollout whose tokens are letters."""
    return [*map(ord, text), *([END] if ended else [])]


def judge(texts: list[Any], answer: str = "4", **spec: Any) -> tuple[Judge, dict[str, list[Any]]]:
    """Ask all reward functions about rollouts of one question."""
    made = Judge(RewardsSpec(**{"format": 1.0, "length": 1.0, **spec}), LETTERS, 40, None)
    ids = [spell(text) if isinstance(text, str) else text for text in texts]
    functions, _ = made.list_functions()
    columns = {"prompts": [""] * len(ids), "completion_ids": ids, "answer": [answer] * len(ids)}
    return made, {f.__name__: f(**columns) for f in functions}


def test_right_wrong_and_missing_answers_earn_one_and_nothing() -> None:
    _, found = judge(["\\boxed{4}", "\\boxed{5}", "no idea at all"])
    assert found["accuracy"] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["gold_unusable", "timeout", "error"])
def test_what_is_not_about_the_policy_has_no_reward_of_any_kind(
    name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(groups: Any, limits: Any) -> list[Verdict]:
        return [Verdict(verdict=name, rule="-", verifier_version="0") for _ in groups]

    monkeypatch.setattr("butwait.transforms.verify.adapters.trl_reward.verify_any", find)
    _, found = judge(["\\boxed{4}"])
    assert found == {"accuracy": [None], "format": [None], "length": [None]}


def test_an_unusable_answer_has_no_reward_and_is_known_beforehand() -> None:
    _, found = judge(["\\boxed{4}"], answer="see the proof above in section 3 of the long text")
    assert found["accuracy"] == [None] and found["length"] == [None]
    assert not is_usable("proof") and is_usable(4) and is_usable(["proof", "4"])


def test_a_rollout_that_was_cut_is_left_out_unless_the_recipe_scores_it() -> None:
    cut = spell("x" * 40, ended=False)
    assert judge([cut])[1]["accuracy"] == [None]
    assert judge([cut], truncated=0.0)[1]["accuracy"] == [0.0]


def test_a_rollout_that_ends_with_the_last_token_it_may_have_was_not_cut() -> None:
    _, found = judge([spell("y" * 39)])
    assert found["accuracy"] == [0.0] and found["length"][0] > -1.0


def test_a_reward_without_weight_is_not_computed_but_accuracy_always_is() -> None:
    functions, weights = Judge(RewardsSpec(), LETTERS, 40, None).list_functions()
    assert [f.__name__ for f in functions] == ["accuracy"] and weights == [1.0]
    only = RewardsSpec(accuracy=0.0, format=0.5)
    functions, weights = Judge(only, LETTERS, 40, None).list_functions()
    assert [f.__name__ for f in functions] == ["accuracy", "format"] and weights == [0.0, 0.5]


def test_layouts_are_those_that_rows_are_rendered_in() -> None:
    assert {name: markers for name, markers in LAYOUTS.items() if name != "boxed"} == {
        name: MARKERS[name] for name in LAYOUTS if name != "boxed"
    }


@pytest.mark.parametrize("layout", ["bespoke", "thinking_answer", "think_boxed"])
def test_what_our_renderers_write_has_its_layout_and_no_other(layout: Any) -> None:
    from butwait.schemas.trace import Segment, Trace

    trace = Trace.model_construct(
        thought=(Segment(text="2 + 2 is 4.", role="path"),),
        solution=(Segment(text="Adding gives \\boxed{4}.", role="answer"),),
        answer="4",
    )
    text = render(trace, layout).text
    assert {name for name in LAYOUTS if format_reward(text, name)} == {layout, "boxed"}
    first = LAYOUTS[layout][0]
    assert not format_reward(text + first, layout) and not format_reward("Hm. " + text, layout)


def test_a_thought_that_the_prompt_opened_counts_as_opened() -> None:
    opened = Reader(LETTERS.decode, LETTERS.ends, opened="<think>")
    text = opened.read(opened.strip(spell("2 + 2</think>\\boxed{4}")))
    assert format_reward(text, "think_boxed") == 1.0


@given(st.integers(0, 99), st.booleans(), st.sampled_from(["cosine", "linear"]))
def test_a_longer_right_answer_never_earns_more_nor_a_longer_wrong_one_less(
    n: int, correct: bool, kind: Any
) -> None:
    spec = LengthSpec(kind=kind, cut=-2.0)
    here, there = (length_reward(k, 101, correct, spec) for k in (n, n + 1))
    assert here >= there if correct else here <= there
    assert length_reward(101, 101, correct, spec) == -2.0


def test_a_worker_that_dies_is_replaced_and_counted() -> None:
    made = Judge(RewardsSpec(worker_s=30), LETTERS, 400, None)
    logged: dict[str, float] = {}

    def ask(gold: str, answer: str) -> Any:
        columns = {"prompts": [""], "completion_ids": [spell(f"\\boxed{{{answer}}}")]}
        return made.accuracy(**columns, answer=[gold], log_metric=logged.__setitem__)[0]

    assert ask("\\sqrt[3]{2+\\sqrt5}+\\sqrt[3]{2-\\sqrt5}", "1") == 1.0
    workers = list(shared_pool()._all)
    assert workers, "this check needs a worker, or the test shows nothing"
    assert logged["verifier/workers_lost"] == 0
    for worker in workers:
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    assert ask("\\cos(\\pi/7)-\\cos(2\\pi/7)+\\cos(3\\pi/7)", "1/2") == 1.0
    assert logged["verifier/workers_lost"] >= 1
