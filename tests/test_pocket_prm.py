"""The pocket's process reward model: exact labels, tagged examples, and a checkpoint that ranks."""

from __future__ import annotations

import json
import random
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from butwait.trainer.pocket.model import CHECKPOINTS, hash_weights, read_record
from butwait.trainer.pocket.prm.examples import (
    IGNORED,
    LabelledExample,
    encode_solution,
    read_solutions,
)
from butwait.trainer.pocket.prm.labels import (
    is_full_manner,
    label_characters,
    label_paragraphs,
)
from butwait.trainer.pocket.prm.measure import Sampled
from butwait.trainer.pocket.prm.model import TAG, load_prm, render_scored, score_texts
from butwait.trainer.pocket.prm.samples import QWEN_SYSTEM, sample_block
from butwait.trainer.pocket.prm.train import make_table
from butwait.trainer.pocket.tokens import SYSTEM
from butwait.trainer.ranking import rank_pairs, rank_within

PRM = CHECKPOINTS / "prm"
FILES = {
    "chat_template.jinja",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}
PROBLEM = (
    "Ivy buys 3 pens for 4 dollars each and 5 cups for 2 dollars each. "
    "Ivy pays with 50 dollars. How many dollars does Ivy get back?"
)
REFERENCE = (
    "Step 1: 3 * 4 = 12\n\nStep 2: 5 * 2 = 10\n\nStep 3: 12 + 10 = 22\n\n"
    "Step 4: 50 - 22 = 28\n\nAnswer: \\boxed{28}"
)


@pytest.fixture(scope="module")
def prm() -> tuple[Any, Any]:
    return load_prm(PRM)


def label(*paragraphs: str) -> list[bool]:
    return label_paragraphs("\n\n".join(paragraphs), REFERENCE)


def test_the_reference_is_right_throughout_and_so_is_each_of_its_beginnings() -> None:
    paragraphs = REFERENCE.split("\n\n")
    for n in range(1, len(paragraphs) + 1):
        assert label(*paragraphs[:n]) == [True] * n


def test_wrong_arithmetic_makes_a_step_and_all_that_follows_wrong() -> None:
    steps = ("Step 1: 3 * 4 = 12", "Step 2: 5 * 2 = 12", "Step 3: 12 + 12 = 24")
    assert label(*steps) == [True, False, False]


def test_a_wrong_operation_is_wrong_however_well_it_is_computed() -> None:
    assert label("Step 1: 3 * 4 = 12", "Step 2: 5 + 2 = 7") == [True, False]


def test_operands_of_sums_and_products_may_change_places() -> None:
    assert label("Step 1: 4 * 3 = 12", "Step 2: 2 * 5 = 10") == [True, True]
    assert label(*REFERENCE.split("\n\n")[:3], "Step 4: 22 - 50 = 28")[-1] is False


def test_a_step_written_again_replaces_the_wrong_one_and_what_followed_it() -> None:
    wrong = ("Step 1: 3 * 4 = 11", "Step 2: 5 * 2 = 10")
    doubt = "Hold on! I made a mistake."
    again = ("Step 1: 3 * 4 = 12", "Step 2: 5 * 2 = 10")
    assert label(*wrong, doubt, *again) == [False, False, False, True, True]


def test_steps_after_an_answer_take_it_back() -> None:
    assert label("Answer: \\boxed{3}", "But wait, let me check.", "Step 1: 3 * 4 = 12") == [
        False,
        False,
        True,
    ]


def test_another_order_counts_as_right_only_when_it_reaches_the_answer_by_right_arithmetic() -> (
    None
):
    swapped = ("Step 1: 5 * 2 = 10", "Step 2: 3 * 4 = 12", "Step 3: 10 + 12 = 22")
    assert label(*swapped, "Step 4: 50 - 22 = 28", "Answer: \\boxed{28}") == [True] * 5
    assert label(*swapped, "Step 4: 50 - 22 = 38", "Answer: \\boxed{38}") == [False] * 5


def test_a_shortcut_is_judged_by_its_box_alone() -> None:
    assert label("Answer: \\boxed{28}") == [True]
    assert label("Answer: \\boxed{27}") == [False]
    assert label("Step 1: 3 * 4 = 12", "Answer: \\boxed{27}") == [True, False]


def test_skipped_malformed_and_surplus_steps_are_wrong() -> None:
    assert label("Step 2: 5 * 2 = 10") == [False]
    assert label("Step 1: 6: 6 - 1 = 65") == [False]
    assert label(*REFERENCE.split("\n\n")[:4], "Step 5: 28 + 28 = 56")[-1] is False


def test_a_label_falls_at_the_first_character_that_cannot_be_right() -> None:
    text = "Step 1: 3 * 4 = 17"
    assert label_characters(text, REFERENCE) == [True] * (len(text) - 1) + [False]
    cut = "Step 1: 3 * 4 = 1"  # the beginning of 12, but as a whole step it is wrong
    assert label_characters(cut, REFERENCE) == [True] * (len(cut) - 1) + [False]


def test_every_character_has_a_label_whatever_the_text() -> None:
    for text in ("", "\n\n", "\n\n\n", "Step", "\\boxed{", "\n\nStep 1: 3 * 4 = 12", "{31}\n\n"):
        assert len(label_characters(text, REFERENCE)) == len(text)


def test_the_full_manner_writes_as_many_steps_as_the_reference() -> None:
    assert is_full_manner(REFERENCE, REFERENCE)
    assert not is_full_manner("Step 1: 3 * 4 = 12\n\nAnswer: \\boxed{28}", REFERENCE)


def test_examples_end_every_step_in_a_tag_or_a_blank_line_and_carry_the_labels(
    prm: tuple[Any, Any],
) -> None:
    tokenizer = prm[1]
    tag_id = tokenizer.convert_tokens_to_ids(TAG)
    text = "Step 1: 3 * 4 = 12\n\nStep 2: 5 * 2 = 11\n\nAnswer: \\boxed{27}"
    record = {"system": None, "problem": PROBLEM, "solution": REFERENCE}
    counts = set()
    for seed in range(20):
        example = encode_solution(tokenizer, record, text, random.Random(seed))
        shown = tokenizer.decode(example.ids)
        assert shown.rpartition("<|assistant|>")[2].replace(TAG, "\n\n").rstrip() == text
        at_tags = [y for i, y in zip(example.ids, example.labels, strict=True) if i == tag_id]
        assert example.ids[-1] == tag_id
        assert at_tags[-1] == 0
        if len(at_tags) == 3:
            assert at_tags == [1, 0, 0]
        counts.add(len(at_tags))
        judged = [y != IGNORED for y in example.labels]
        assert not any(judged[: shown.count("<|assistant|>")])
        assert judged == sorted(judged)  # the prompt, then the answer
    assert counts == {1, 2, 3}


def test_all_tags_together_weigh_as_much_as_all_other_tokens() -> None:
    examples = [LabelledExample([5, 9], [IGNORED, 1]), LabelledExample([5, 7, 9], [0, 0, 1])]
    table = make_table(examples, 9, 1.0)
    weights = [
        [(token == 9, weight) for token, weight in zip(ids, row, strict=True)]
        for ids, row in zip(table["input_ids"], table["weights"], strict=True)
    ]
    assert sum(w for is_tag, w in chain(*weights) if is_tag) == 4
    assert sum(w for is_tag, w in weights[1] if not is_tag) == 4
    assert table["labels"] == [[IGNORED, 1], [0, 0, 1]]


def test_each_text_of_a_problem_is_read_once(tmp_path: Path) -> None:
    record = {"system": None, "problem": PROBLEM, "solution": REFERENCE}
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps({**record, "texts": [REFERENCE, REFERENCE, ""]}) + "\n", "utf-8")
    assert [text for _, text in read_solutions(path, 0)] == [REFERENCE]


def test_sampling_gives_each_problem_one_system_line_and_one_text_a_temperature() -> None:
    from butwait.trainer.pocket.model import load_checkpoint

    rows = [{"problem": PROBLEM, "solution": REFERENCE}] * 2
    policy = load_checkpoint(CHECKPOINTS / "policy")
    first, again = (sample_block(*policy, rows, 5) for _ in range(2))
    assert first == again
    assert [len(record["texts"]) for record in first] == [4, 4]


def test_ranking_counts_pairs_inside_a_problem_and_ties_half() -> None:
    assert rank_pairs([(True, 0.9), (False, 0.1), (False, 0.9)]) == 0.75
    assert rank_pairs([(True, 0.9)]) is None
    hard, easy = [(True, 0.2), (False, 0.1)], [(True, 0.8), (False, 0.9)]
    assert rank_within([hard, easy, [(True, 1.0)]])["mean"] == 50.0
    assert rank_within([hard, easy])["n_groups"] == 2


def test_samples_know_what_is_right_and_what_is_full() -> None:
    sampled = Sampled(PROBLEM, REFERENCE, [REFERENCE, "Answer: \\boxed{28}", "Answer: \\boxed{1}"])
    assert sampled.right == [True, True, False]
    assert sampled.full == [True, False, False]


def test_the_checkpoint_is_whole_small_and_the_one_that_was_measured() -> None:
    assert {path.name for path in PRM.iterdir()} == FILES
    assert sum(path.stat().st_size for path in PRM.iterdir()) < 4_000_000
    record = read_record(PRM)
    assert hash_weights(PRM) == record["sha256"]
    assert record["started_from"] == read_record(CHECKPOINTS / "scorer")["sha256"]
    assert record["samples_from"] == read_record(CHECKPOINTS / "policy")["sha256"]
    assert record["measured"]["n_questions"] == 300


def test_the_checkpoint_ranks_right_over_wrong_inside_one_problem() -> None:
    measured = read_record(PRM)["measured"]
    assert measured["ranking"]["mean"] >= 90
    assert measured["ranking_full_manner"]["mean"] >= 80
    assert measured["ranking_tagged"]["mean"] >= 90
    assert measured["ranking_qwen_system"]["mean"] >= 90
    assert measured["prefixes"]["auc"] >= 90


def test_the_layout_is_the_one_that_vllm_serves() -> None:
    from safetensors import safe_open

    config = json.loads((PRM / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["Qwen2ForProcessRewardModel"]
    assert config["hidden_size"] == 32 * config["num_attention_heads"]
    with safe_open(PRM / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
        assert {str(weights.get_tensor(name).dtype) for name in names} == {"torch.bfloat16"}
    assert {"score.0.weight", "score.2.bias", "model.layers.0.self_attn.q_proj.bias"} <= names
    assert all(name.startswith(("model.", "score.")) for name in names)


def test_the_tokenizer_splits_as_the_policy_s_does_and_knows_the_tag(prm: tuple[Any, Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer, policy = prm[1], AutoTokenizer.from_pretrained(CHECKPOINTS / "policy")
    assert tokenizer(PROBLEM + REFERENCE)["input_ids"] == policy(PROBLEM + REFERENCE)["input_ids"]
    assert tokenizer("12" + TAG)["input_ids"][-1] == read_record(PRM)["step_tag_id"]


def test_a_right_beginning_scores_above_the_same_with_a_slip(prm: tuple[Any, Any]) -> None:
    right = REFERENCE.split("\n\n")[:3]
    for slip in ("Step 3: 12 + 10 = 32", "Step 3: 12 + 10 = 21", "Step 3: 12 * 10 = 22"):
        for system in (SYSTEM, QWEN_SYSTEM, None):
            for pieces in (lambda steps: steps, lambda steps: ["\n\n".join(steps)]):
                good, bad = score_texts(
                    *prm,
                    [
                        render_scored(prm[1], PROBLEM, pieces(steps), system)
                        for steps in (right, [*right[:2], slip])
                    ],
                )
                assert good[-1] > bad[-1] + 0.1, (slip, system, good, bad)


def test_scores_do_not_depend_on_what_else_is_in_the_batch(prm: tuple[Any, Any]) -> None:
    texts = [render_scored(prm[1], PROBLEM, REFERENCE.split("\n\n")[:n], SYSTEM) for n in (1, 3, 5)]
    together, alone = score_texts(*prm, texts), [score_texts(*prm, [text])[0] for text in texts]
    assert [len(scores) for scores in together] == [1, 3, 5]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
