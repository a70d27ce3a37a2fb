"""The real rows beside the checkout: each named oddity of theirs lands in the right bin."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from butwait.pipelines.recipe_file import load_recipe
from butwait.pipelines.sources import plan_pieces, read_piece, resolve_source
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.question import Question
from butwait.schemas.recipe_source import SourceSpec
from butwait.transforms.duplicates import resolve_duplicates

Bins = dict[int, str]


def read_bins(path: Path) -> tuple[Bins, list[Question]]:
    """Return every row's bin, duplicates resolved, and the questions kept."""
    source = resolve_source(SourceSpec(path=str(path)), path.parent)
    rows = [row for piece in plan_pieces(source) for row in read_piece(piece)]
    questions = [row for row in rows if isinstance(row, Question)]
    kept, dropped = resolve_duplicates(questions)
    letters = [row for row in rows if isinstance(row, DeadLetter)] + dropped
    bins = {q.row: "question" for q in kept} | {
        d.row: d.reason for d in letters if d.row is not None
    }
    assert len(bins) == len(rows)
    return bins, kept


@pytest.fixture(scope="module")
def cot(shared_data: Path) -> tuple[Bins, list[Question]]:
    return read_bins(shared_data / "numina_cot_latebench" / "numina_cot_107.jsonl")


@pytest.fixture(scope="module")
def nm20k(shared_data: Path) -> tuple[Bins, list[Question]]:
    return read_bins(shared_data / "numina_nm20k" / "numina_nm20k.jsonl")


@pytest.fixture(scope="module")
def limo(shared_data: Path) -> tuple[Bins, list[Question]]:
    return read_bins(shared_data / "limo_v2" / "limo_v2_subset40.jsonl")


def test_numina_rows_without_a_box_are_proofs_or_have_no_answer(
    cot: tuple[Bins, list[Question]], shared_data: Path
) -> None:
    bins, _ = cot
    path = shared_data / "numina_cot_latebench" / "numina_cot_107.jsonl"
    lines = path.read_text("utf-8").splitlines()
    boxless = [row for row, line in enumerate(lines) if "\\\\boxed" not in line]
    assert len(boxless) == 19
    assert {row for row in boxless if bins[row] == "no_answer"} == {9, 75}
    assert all(bins[row] == "proof" for row in boxless if row not in {9, 75})


def test_the_numina_duplicate_cluster_and_the_empty_boxes_are_no_questions(
    cot: tuple[Bins, list[Question]],
) -> None:
    bins, _ = cot
    assert [bins[row] for row in (20, 21, 22, 23)] == ["proof"] * 4
    assert [bins[row] for row in (0, 11, 12, 43)] == ["empty_box"] * 4  # row 0 is the Chinese one


def test_numina_proofs_with_a_box_are_proofs(cot: tuple[Bins, list[Question]]) -> None:
    bins, _ = cot
    for row in (17, 19, 25, 32, 33, 46, 48, 53, 55, 58, 59, 64):
        assert bins[row] == "proof", row
    for row in (4, 26, 44, 51, 52):  # these ask for a proof and for an answer
        assert bins[row] != "proof", row


def test_the_real_rows_with_lost_characters_and_images_are_refused(
    nm20k: tuple[Bins, list[Question]],
) -> None:
    bins, kept = nm20k
    assert bins[4326] == "bad_encoding" and bins[2850] == "several_problems"
    assert "the first or the second" in next(q.problem for q in kept if q.row == 15284)
    images = [row for row, name in bins.items() if name == "image_needed"]
    assert sorted(images) == [1810, 4674, 11643, 14090, 17579, 19795]


def test_real_duplicates_with_other_answers_all_go(nm20k: tuple[Bins, list[Question]]) -> None:
    bins, _ = nm20k
    for row in (5, 12244, 1784, 5926, 3662, 18129):
        assert bins[row] == "conflicting_duplicate", row


def test_real_chinese_rows_are_questions(nm20k: tuple[Bins, list[Question]]) -> None:
    bins, _ = nm20k
    for row in (146, 217, 1714, 7270, 15370):
        assert bins[row] == "question", row


def test_limo_rows_with_an_unclosed_box_keep_their_answer_unless_it_is_shown_wrong(
    limo: tuple[Bins, list[Question]],
) -> None:
    bins, kept = limo
    assert {row for row, name in bins.items() if name != "question"} == {2}
    assert bins[2] == "answer_conflicts_with_solution"
    golds = {q.row: q.gold for q in kept}
    assert (golds[8], golds[22], golds[32]) == ("13", "504", "900")
    assert all(q.r1_derived and q.gold_from == "column" for q in kept)


@pytest.mark.parametrize("folder", ["real", "replay"])
def test_the_recipes_of_real_data_resolve(folder: str, root: Path, shared_data: Path) -> None:
    recipes = sorted((root / "recipes" / folder).glob("*.yaml"))
    assert recipes
    for path in recipes:
        recipe = load_recipe(path)
        for spec in recipe.sources:
            source = resolve_source(spec, path.parent, limit=20)
            rows = [row for piece in plan_pieces(source) for row in read_piece(piece)]
            assert len(rows) == 20, path.name
            assert Counter(type(row) for row in rows)[Question] > 0, path.name
