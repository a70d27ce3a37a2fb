"""The committed pocket checkpoints: whole, small, loadable, and able to answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from butwait.pipelines.pocket import corpus
from butwait.schemas.errors import SourceError
from butwait.trainer.pocket import measure, tokens
from butwait.trainer.pocket.examples import (
    Example,
    draw_batches,
    encode_record,
    pad_batch,
    read_records,
    render_prompt,
)
from butwait.trainer.pocket.model import CHECKPOINTS, hash_weights, load_checkpoint, read_record
from butwait.trainer.pocket.sample import sample_texts
from butwait.trainer.pocket.teach import write_traces
from butwait.trainer.pocket.train import PHASES

NAMES = ("policy", "scorer")
FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}
RECORD = {
    "system": None,
    "user": "Compute (3 + 4) * 2.",
    "spans": [
        ["Step 1: 3 + 4 = 8", False],
        ["\n\nHold on! I made a mistake.\n\nStep 1: 3 + 4 = 7", True],
    ],
}


@pytest.fixture(scope="module")
def policy() -> tuple[Any, Any]:
    return load_checkpoint(CHECKPOINTS / "policy")


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_whole_small_and_the_one_that_was_measured(name: str) -> None:
    folder = CHECKPOINTS / name
    assert {path.name for path in folder.iterdir()} == FILES
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    record = read_record(folder)
    assert hash_weights(folder) == record["sha256"]
    assert record["seed"] == 0
    assert [phase["n_steps"] for phase in record["phases"]] == [p.n_steps for p in PHASES[name]]
    assert record["measured"]["n_questions"] == 300


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_loads_in_bfloat16_with_two_thirds_of_a_million_parameters(name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    model = AutoModelForCausalLM.from_pretrained(CHECKPOINTS / name)
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / name)
    assert type(model) is LlamaForCausalLM
    assert model.dtype == torch.bfloat16
    assert 600_000 < model.num_parameters() < 700_000
    assert model.config.head_dim == 32
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.decode([tokenizer.eos_token_id]) == tokens.END


def test_the_policy_leaves_room_and_the_scorer_knows_more() -> None:
    numbers = {name: read_record(CHECKPOINTS / name)["measured"] for name in NAMES}
    policy, scorer = numbers["policy"], numbers["scorer"]
    assert 28 <= policy["expected@1"]["mean"] <= 45
    assert policy["pass@8"]["mean"] >= policy["expected@1"]["mean"] + 25
    assert policy["greedy"]["low"] > policy["expected@1"]["high"]
    assert scorer["expected@1"]["low"] > policy["expected@1"]["high"]


def test_a_short_fine_tuning_taught_the_committed_policy_to_doubt() -> None:
    taught = read_record(CHECKPOINTS / "policy")["taught_to_doubt"]
    assert taught["after"]["says_a_phrase"] > 30
    assert taught["after"]["said_whole"] > 80
    assert taught["after"]["expected@1"]["mean"] > taught["before"]["expected@1"]["mean"] - 10


def test_greedy_solutions_of_held_out_questions_are_well_formed_and_often_right(
    policy: tuple[Any, Any], root: Path
) -> None:
    pairs = measure.read_questions(root / "pipelines/pocket/data/test.jsonl")[:24]
    texts = measure.sample_questions(*policy, [problem for problem, _ in pairs], 1, 0.0, seed=0)
    answers = [measure.read_boxed(group[0]) for group in texts]
    assert sum(answer != measure.NO_ANSWER for answer in answers) >= 23
    assert sum(a == gold for a, (_, gold) in zip(answers, pairs, strict=True)) >= 10


def test_the_sampler_agrees_with_generate_whatever_else_is_in_the_batch(
    policy: tuple[Any, Any],
) -> None:
    import torch

    model, tokenizer = policy
    users = ("Compute 3 + 4.", "Compute (3 + 4) * 2.")
    prompts = [render_prompt(tokenizer, user, measure.SYSTEM) for user in users]
    texts = sample_texts(model, tokenizer, prompts, 0.0, 60, seed=0)
    for prompt, text in zip(prompts, texts, strict=True):
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        mask = torch.ones_like(ids)
        out = model.generate(ids, attention_mask=mask, max_new_tokens=60, do_sample=False)
        assert tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True) == text


def test_the_same_seed_samples_the_same_texts(policy: tuple[Any, Any]) -> None:
    prompts = [render_prompt(policy[1], "Compute (3 + 4) * 2.", None)] * 8
    first, again, other = (sample_texts(*policy, prompts, 1.0, 60, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(set(first)) > 1


def test_the_chat_template_continues_a_started_answer_without_extra_tokens(
    policy: tuple[Any, Any],
) -> None:
    tokenizer = policy[1]
    prefix = "Step 1: 3 + 4 = 8\n\nBut wait,"
    chat = [{"role": "user", "content": "Compute 3 + 4."}]
    opened = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    chat.append({"role": "assistant", "content": prefix})
    continued = tokenizer.apply_chat_template(chat, tokenize=False, continue_final_message=True)
    closed = tokenizer.apply_chat_template(chat, tokenize=False)
    assert continued == opened + prefix
    assert closed == continued + tokens.END


def test_the_tokenizer_keeps_digits_alone_and_gives_back_every_text(
    policy: tuple[Any, Any],
) -> None:
    tokenizer = policy[1]
    texts = [
        "Step 12: 45 + 36 = 81\n\nBut wait,",
        "<think>\nπ ≈ 3,14 café\n</think>\n",
        "\t \r\n x",
    ]
    for text in texts:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    pieces = [tokenizer.decode([i]) for i in tokenizer("45 + 36\n\nWait")["input_ids"]]
    assert pieces == ["4", "5", " + ", "3", "6", "\n\n", "Wait"]


def test_slips_are_shown_to_the_model_but_kept_out_of_the_loss(policy: tuple[Any, Any]) -> None:
    tokenizer = policy[1]
    example = encode_record(tokenizer, RECORD)
    ids, targets = pad_batch([example, Example([1, 2], [True, True])], tokenizer.pad_token_id)
    learned = tokenizer.decode(targets[0][targets[0] != -100])
    assert learned == RECORD["spans"][1][0] + tokens.END
    assert "3 + 4 = 8" in tokenizer.decode(ids[0])
    assert targets[1].tolist() == [2] + [-100] * (len(example.ids) - 1)


def test_batches_hold_every_example_once_in_seeded_order() -> None:
    examples = [Example([i] * (i % 7 + 2), [True] * (i % 7 + 2)) for i in range(100)]
    first, again, other = (list(draw_batches(examples, 8, seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(e.ids[0] for batch in first for e in batch) == list(range(100))


def test_a_corpus_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    path.write_text(json.dumps(RECORD) + "\n", encoding="utf-8")
    assert read_records(path, 0, 1) == [RECORD]
    with pytest.raises(SourceError, match="ends before record 2"):
        read_records(path, 0, 2)


def test_measures_of_known_samples_are_known() -> None:
    scores = measure.score_samples(
        [["\\boxed{1}", "\\boxed{2}", "\\boxed{1}", "none"], ["none"] * 4], ["1", "1"]
    )
    assert scores["expected@1"]["mean"] == 25.0
    assert scores["pass@4"]["mean"] == 50.0
    assert scores["majority@4"] == {"mean": 50.0, "low": 0.0, "high": 100.0}


def test_the_last_box_counts_and_an_unclosed_one_is_no_answer() -> None:
    assert measure.read_boxed("\\boxed{4}\n\nBut wait, \\boxed{5}") == "5"
    assert measure.read_boxed("\\boxed{4") == measure.NO_ANSWER


def test_traces_are_built_from_right_attempts_only() -> None:
    import random

    good, bad = "Step 1: 3 + 4 = 7\n\nAnswer: \\boxed{7}", "Answer: \\boxed{9}"
    check, retry = write_traces("Compute 3 + 4.", "7", [bad, good, good], random.Random(0))
    assert "".join(t for t, _ in check["spans"]).count("But wait, let me check.") == 1
    assert retry["spans"][0] == [bad, False]
    assert retry["spans"][1][0].endswith(good)
    assert write_traces("Compute 3 + 4.", "7", [bad], random.Random(0)) == []


def test_the_measured_prompt_is_the_one_met_in_pre_training() -> None:
    assert corpus.SYSTEM == tokens.SYSTEM
