"""The pocket questions: repeatable, disjoint, and right in every step."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butwait.pipelines.pocket.corpus import MIXED, PLAIN, SYSTEM, TAGGED, draw_record, write_corpus
from butwait.pipelines.pocket.problems import FAMILY_SHARES, LARGEST, apply_op, draw_problem
from butwait.pipelines.pocket.questions import (
    DATA_DIR,
    SEED,
    SPLIT_SIZES,
    draw_split,
    main,
    write_row,
    write_splits,
)

STEP = re.compile(r"Step (\d+): (\d+) ([-+*/]) (\d+) = (\d+)")
seeds = st.integers(0, 2**32)


def read_rows(split: str) -> list[dict]:
    lines = (DATA_DIR / f"{split}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def signature_of(row: dict) -> str:
    return ";".join(a + op + b for _, a, op, b, _ in STEP.findall(row["solution"]))


def compute(left: int, op: str, right: int) -> float:
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / max(right, 1)}[op]


def test_the_generator_reproduces_the_committed_questions_byte_for_byte(tmp_path: Path) -> None:
    write_splits(tmp_path, SEED, SPLIT_SIZES)
    for split in SPLIT_SIZES:
        name = f"{split}.jsonl"
        assert (tmp_path / name).read_bytes() == (DATA_DIR / name).read_bytes()


def test_the_committed_files_stay_small() -> None:
    assert sum((DATA_DIR / f"{split}.jsonl").stat().st_size for split in SPLIT_SIZES) < 600_000


def test_no_signature_stands_in_two_splits_or_twice_in_one() -> None:
    signatures = [signature_of(row) for split in SPLIT_SIZES for row in read_rows(split)]
    assert len(signatures) == sum(SPLIT_SIZES.values())
    assert len(set(signatures)) == len(signatures)


def test_rows_have_the_numina_columns_and_every_family_occurs() -> None:
    rows = [row for split in SPLIT_SIZES for row in read_rows(split)]
    for row in rows:
        assert list(row) == ["source", "problem", "solution", "messages"]
        user, assistant = row["messages"]
        assert user == {"role": "user", "content": row["problem"]}
        assert assistant == {"role": "assistant", "content": row["solution"]}
    assert {row["source"] for row in rows} == {f"pocket_{family}" for family in FAMILY_SHARES}


def test_every_committed_step_is_right_and_the_last_result_is_the_boxed_answer() -> None:
    for split in SPLIT_SIZES:
        for row in read_rows(split):
            *steps, answer = row["solution"].split("\n\n")
            for number, paragraph in enumerate(steps, 1):
                found = STEP.fullmatch(paragraph)
                assert found is not None
                index, left, op, right, result = found.groups()
                assert int(index) == number
                assert compute(int(left), op, int(right)) == int(result)
            assert answer == f"Answer: \\boxed{{{result}}}"


@given(seeds)
def test_numbers_stay_between_0_and_the_largest_and_chains_hold(seed: int) -> None:
    problem = draw_problem(random.Random(seed))
    assert 2 <= len(problem.steps) <= 6
    for step in problem.steps:
        assert apply_op(step.left, step.op, step.right) == step
        assert min(step.left, step.right, step.result) >= 0
        assert max(step.left, step.right, step.result) <= LARGEST


@given(seeds)
def test_an_equation_s_answer_solves_it(seed: int) -> None:
    rng = random.Random(seed)
    problem = next(p for p in iter(lambda: draw_problem(rng), None) if p.family == "lineq")
    left, right = problem.text.removeprefix("Solve ").removesuffix(" for x.").split(" = ")
    value = left.replace("x", str(problem.answer))
    found = re.fullmatch(r"\(?(\d+) ([-+*/]) (\d+)\)? ([-+*/]) (\d+)", value)
    assert found is not None
    a, op, b, last_op, c = found.groups()
    assert compute(int(compute(int(a), op, int(b))), last_op, int(c)) == int(right)


@given(seeds)
def test_the_same_seed_draws_the_same_problem(seed: int) -> None:
    assert draw_problem(random.Random(seed)) == draw_problem(random.Random(seed))


def test_another_seed_draws_other_questions_from_the_same_side_of_the_fence() -> None:
    first, second = (next(draw_split("test", seed)) for seed in (1, 2))
    assert write_row(first) != write_row(second)
    assert first.split == second.split == "test"


@pytest.mark.parametrize(
    ("left", "op", "right"), [(60, "+", 60), (1, "-", 2), (20, "*", 9), (7, "/", 2), (7, "/", 0)]
)
def test_a_step_that_leaves_the_numbers_is_refused(left: int, op: str, right: int) -> None:
    with pytest.raises(ValueError, match=rf"^{left} "):
        apply_op(left, op, right)


def test_the_command_writes_as_many_questions_as_asked(tmp_path: Path) -> None:
    main(["--out", str(tmp_path), "--n-train", "3", "--n-validation", "2", "--n-test", "1"])
    counts = {p.stem: len(p.read_text("utf-8").splitlines()) for p in tmp_path.iterdir()}
    assert counts == {"train": 3, "validation": 2, "test": 1}


@given(seeds, st.sampled_from([PLAIN, MIXED]))
def test_what_the_corpus_lets_learn_holds_no_wrong_step(seed: int, shares: object) -> None:
    record = draw_record(random.Random(seed), shares)  # type: ignore[arg-type]
    learned = "".join(text for text, learn in record["spans"] if learn)
    for _, left, op, right, result in STEP.findall(learned):
        assert compute(int(left), op, int(right)) == int(result)


@given(seeds)
def test_a_slip_is_always_followed_by_a_learned_correction(seed: int) -> None:
    spans = draw_record(random.Random(seed), MIXED)["spans"]
    for (_, learn), (following, next_learn) in pairwise(spans):
        if not learn:
            assert next_learn
            assert re.match(r"\n\n(Hold on!|Wait|But wait,|Alternatively)", following)
    assert spans[-1][1]


def test_the_corpus_says_the_phrases_and_writes_the_tags_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    write_corpus(path, 2_000, "0/plain", PLAIN)
    text = path.read_text("utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    assert len(records) == 2_000
    for phrase in ("Hold on! I made a mistake.", "Wait", "But wait, let me check", "<think>"):
        assert text.count(phrase) >= 10, phrase
    systems = {record["system"] for record in records}
    assert {None, SYSTEM, *TAGGED} <= systems


def test_the_plain_corpus_has_no_shortcut_and_the_mixed_one_has() -> None:
    rng = random.Random(0)
    firsts = {
        name: [draw_record(rng, shares)["spans"][0][0] for _ in range(300)]
        for name, shares in (("plain", PLAIN), ("mixed", MIXED))
    }
    assert not any(text.startswith("Answer") for text in firsts["plain"])
    assert sum(text.startswith("Answer") for text in firsts["mixed"]) > 30
