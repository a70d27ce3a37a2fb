"""Rows of any shape: an encoder names what is wrong with them, and learns no word "None"."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train_sums import POLICY, make_options, pair_rows, step_rows
from train_world import load_policy_tokenizer, make_row

from butwait.schemas.errors import SourceError
from butwait.schemas.recipe_dpo import DpoRecipe
from butwait.schemas.recipe_prm import PrmRecipe
from butwait.schemas.recipe_train import SftRecipe
from butwait.trainer.dpo import PairEncoder
from butwait.trainer.examples import ChatEncoder
from butwait.trainer.gate import _encode_one
from butwait.trainer.grpo import as_messages
from butwait.trainer.prm import load_step_tokenizer
from butwait.trainer.rewards import is_usable
from butwait.trainer.rows import Rows
from butwait.trainer.step_examples import StepEncoder, encode_row

TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "",
        "user",
        "assistant",
        "<|assistant|>",
        "<|end|>",
        "<extra_0>",
        "\ud800",
        "\x00",
        "ﷺ",
        "human",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
NAMES = st.sampled_from(["role", "content", "from", "value", "start", "end", "id"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": VALUES}),
    max_size=3,
)


def mixed(*rows: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Good rows, some of whose columns hold anything."""
    return st.one_of(
        st.fixed_dictionaries({name: st.just(good) | VALUES | TURNS for name, good in row.items()})
        for row in rows
    )


@cache
def encoders() -> dict[str, Any]:
    """The encoder of each command, with the pocket policy's tokenizer."""
    known = {"name": "x", "model": {"id": POLICY}, "data": {"path": "x"}}
    tokenizer = load_policy_tokenizer()
    ends = {tokenizer.eos_token_id}
    sft, prm = SftRecipe.model_validate(known), PrmRecipe.model_validate(known)
    return {
        "sft": _encode_one(ChatEncoder(tokenizer, ends, mask="wrong"), sft),
        "dpo": PairEncoder(tokenizer, ends, DpoRecipe.model_validate(known)).encode,
        "prm": encode_row(StepEncoder(load_step_tokenizer(prm, make_options(Path())), prm), prm),
    }


CHATS = (
    make_row(1),
    {"id": "a", "messages": make_row(1)["messages"], "spans": []},
    {"system": "Be short.", "conversations": [{"from": "human", "value": "a"}]},
)


@settings(max_examples=300, deadline=None)
@given(mixed(*CHATS))
def test_any_row_for_sft_is_examples_or_a_named_problem(row: dict[str, Any]) -> None:
    found = encoders()["sft"](row, 3)
    assert found["usable"] or found["problems"]
    assert len(found["input_ids"]) == len(found["labels"])


@settings(max_examples=300, deadline=None)
@given(mixed(pair_rows(1)[0], {"prompt": "a", "chosen": "b", "rejected": "c"}))
def test_any_pair_is_examples_or_a_named_problem(row: dict[str, Any]) -> None:
    found = encoders()["dpo"](row, 3)
    assert found["usable"] or found["problems"]


@settings(max_examples=300, deadline=None)
@given(mixed(step_rows(1)[0]))
def test_any_solution_is_examples_or_a_named_problem(row: dict[str, Any]) -> None:
    found = encoders()["prm"](row, 3)
    assert found["problems"] or len(found["input_ids"]) == len(found["labels"])


@settings(max_examples=300, deadline=None)
@given(VALUES | TURNS)
def test_any_prompt_of_a_question_is_messages_or_an_error_in_a_sentence(prompt: Any) -> None:
    try:
        said = as_messages(prompt, Rows(None, {"from": "rows.jsonl"}, {}))
    except SourceError as error:
        assert "rows.jsonl" in str(error)
    else:
        assert said and all(set(turn) == {"role", "content"} for turn in said)
    assert is_usable(prompt) in (True, False)


@pytest.mark.parametrize("kind", ["sft", "dpo", "prm"])
def test_a_text_that_is_null_is_not_learned_as_the_word_none(kind: str) -> None:
    row = {"sft": make_row(1), "dpo": pair_rows(1)[0], "prm": step_rows(1)[0]}[kind]
    if kind == "prm":
        row["completions"][0] = None
    else:
        row["prompt"][0]["content"] = None
    found = encoders()[kind](row, 0)
    assert found["problems"] == ["not rendered"]
