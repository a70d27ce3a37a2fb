"""A transform of one's own: found, called, checked, and not trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from butwait.pipelines.own_transforms import find_own, load_own
from butwait.pipelines.recipe_file import check_recipe
from butwait.pipelines.tables import read_records
from butwait.schemas.errors import ConfigError
from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import OwnSpec, RowsSpec
from butwait.schemas.row import SftRow
from butwait.schemas.trace import Segment, TraceDraft
from butwait.schemas.trajectory import QuestionGroup
from butwait.transforms.apply import MadeRows, make_rows
from butwait.transforms.own import OwnTransform
from tests.build_world import add, build, recipe_document, write_questions
from tests.fake_openai import FakeOpenAI
from tests.handmade import make_context, make_group, make_question, make_sample
from tests.handmade_trees import make_tree_group, sum_tree

RIGHT = "Two and three are five.\n\nThe final answer is $\\boxed{5}$."
DOC = Path(__file__).parents[1] / "docs" / "own-transform.md"
"""The page's example is the file that the tests run."""


def example() -> str:
    """The transform that the page shows."""
    return DOC.read_text().split("```python\n")[1].split("```")[0]


def spec(name: str = "mine.py:checked_twice", **changes: Any) -> OwnSpec:
    return OwnSpec.model_validate({"transform": name, **changes})


def load(tmp_path: Path, source: str, **changes: Any) -> tuple[OwnSpec, OwnTransform]:
    (tmp_path / "mine.py").write_text(source)
    name = changes.pop("name", "mine.py:f")
    section = spec(name, **changes)
    codes = find_own({"default": section}, tmp_path)
    return section, load_own(codes)[name]


def run(section: OwnSpec, function: OwnTransform, group: QuestionGroup | None = None) -> MadeRows:
    context = replace(make_context(), own={section.transform: function})
    group = group or make_group([make_sample(0, RIGHT, answer="5")])
    return make_rows(make_question(), group, "default", section, context)


def draft(question: Question, group: QuestionGroup, seed: int) -> Iterator[TraceDraft]:
    del question, seed
    yield TraceDraft(
        thought=(Segment(role="path", text="Two and three are five."),),
        solution=(Segment(role="answer", text="It is $\\boxed{5}$."),),
        parents=(group.samples[0].id,),
    )


def test_the_pages_example_has_at_most_twenty_lines_and_makes_a_row(tmp_path: Path) -> None:
    source = example()
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    section, function = load(tmp_path, source, name="mine.py:checked_twice")
    made = run(section, function)
    (row,) = made.rows
    assert isinstance(row, SftRow)
    assert row.n_transitions == 1 and set(row.provenance.parents) == {f"{row.question_id}-sample-0"}
    assert row.provenance.transform == "mine.py:checked_twice"


def test_options_reach_the_function_and_the_rows_say_which(tmp_path: Path) -> None:
    section, function = load(
        tmp_path, example(), name="mine.py:checked_twice", options={"phrase": "Once more:"}
    )
    (row,) = run(section, function).rows
    assert isinstance(row, SftRow)
    assert "Once more:" in row.completion[0].content
    assert json.loads(row.provenance.transform_parameters)["options"] == {"phrase": "Once more:"}


def test_a_function_that_raises_is_a_dead_letter_with_its_name() -> None:
    def broken(question: Question, group: QuestionGroup, seed: int) -> Iterator[TraceDraft]:
        raise KeyError("no such thing")

    made = run(spec("mine.py:broken"), broken)
    (letter,) = made.dead_letters
    assert made.reason == letter.reason == "own_transform_failed"
    assert "mine.py:broken" in letter.detail and "KeyError" in letter.detail


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (["a text"], "gave a str"),
        (7, "TypeError"),
        ([None], "gave a NoneType"),
    ],
)
def test_what_is_no_draft_is_refused(answer: object, said: str) -> None:
    made = run(spec(), lambda *_: answer)  # type: ignore[arg-type,return-value]
    assert said in made.dead_letters[0].detail


def test_a_parent_of_another_question_is_refused() -> None:
    def stranger(question: Question, group: QuestionGroup, seed: int) -> Iterator[TraceDraft]:
        (made,) = draft(question, group, seed)
        yield made.model_copy(update={"parents": ("q-sample-9",)})

    made = run(spec(), stranger)
    assert made.rows == () and "'q-sample-9'" in made.dead_letters[0].detail


def test_a_text_with_the_wrong_answer_is_refused_as_from_any_transform() -> None:
    def wrong(question: Question, group: QuestionGroup, seed: int) -> Iterator[TraceDraft]:
        (made,) = draft(question, group, seed)
        yield made.model_copy(
            update={"solution": (Segment(role="answer", text="It is $\\boxed{6}$."),)}
        )

    assert run(spec(), wrong).reason == "answer_mismatch"


def test_nothing_made_is_a_reason_and_more_than_asked_is_not_taken() -> None:
    assert run(spec(), lambda *_: ()).reason == "nothing_made"

    def endless(question: Question, group: QuestionGroup, seed: int) -> Iterator[TraceDraft]:
        while True:
            yield from draft(question, group, seed)

    assert len(run(spec(per_question=3), endless).rows) == 3


def test_the_seed_depends_on_run_question_and_name_only() -> None:
    seeds: list[int] = []

    def note(question: Question, group: QuestionGroup, seed: int) -> Iterator[TraceDraft]:
        seeds.append(seed)
        return draft(question, group, seed)

    for name in ("a.py:f", "a.py:f", "a.py:g"):
        run(spec(name), note)
    assert seeds[0] == seeds[1] != seeds[2]


def test_tree_nodes_can_be_parents_where_the_section_reads_trees() -> None:
    tree = sum_tree()
    leaf = next(n for n in tree.nodes if n.verdict == "correct")

    def straight(question: Question, group: QuestionGroup, seed: int) -> Iterator[TraceDraft]:
        assert group.tree is not None
        yield TraceDraft(
            thought=(Segment(role="path", text="Two and three are five."),),
            solution=(Segment(role="answer", text="It is $\\boxed{5}$."),),
            parents=(f"{question.id}-node-{leaf.id}",),
        )

    section = spec("mine.py:straight", reads_trees=True)
    (row,) = run(section, straight, make_tree_group(tree)).rows
    assert row.provenance.model == tree.model
    assert RowsSpec({"default": section}).read_trees
    assert not RowsSpec({"default": spec()}).read_trees


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("none.py:f", "", "cannot be read"),
        ("nomodule_of_this_name:f", "", "neither a module 'nomodule_of_this_name'"),
        ("mine.py:f", "def g(): ...\n", "no function 'f' there; it has g"),
        ("mine.py:f", "def f(question): ...\n", "is called as function(question, group, seed)"),
        ("mine.py:f", "1/0\n", "does not load: ZeroDivisionError"),
        ("mine.py:f", "def f(:\n", "does not load: SyntaxError"),
        ("sub/mine:f", "", "is no Python file"),
    ],
)
def test_a_transform_that_cannot_be_called_stops_the_build_at_once(
    tmp_path: Path, name: str, source: str, said: str
) -> None:
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(ConfigError, match=said.replace("(", r"\(").replace(")", r"\)")):
        find_own({"default": spec(name)}, tmp_path)


def test_an_installed_module_is_found_by_its_name(tmp_path: Path) -> None:
    (code,) = find_own({"default": spec("re:sub", options={})}, tmp_path)
    assert code.source is None and load_own([code])["re:sub"] is re.sub


def test_an_unknown_transform_names_the_known_ones() -> None:
    document = {
        "name": "x",
        "sources": [{"path": "q.jsonl"}],
        "model": {"id": "m"},
        "rows": {"default": {"transform": "stich"}},
    }
    with pytest.raises(
        ConfigError, match=r"rows\.default\.transform: 'stich' is none of .*FILE\.py"
    ):
        check_recipe(document, "r.yaml")


def test_a_build_with_a_file_of_ones_own_makes_its_rows_anew_when_the_file_changes(
    tmp_path: Path,
) -> None:
    write_questions(tmp_path / "sums.jsonl", 12)
    (tmp_path / "mine.py").write_text(example())
    rows = {"default": {"transform": "verified"}, "twice": {"transform": "mine:checked_twice"}}
    said: list[str] = []
    with FakeOpenAI(add).running() as server:
        document = recipe_document(server.url, rows=rows)
        run_folder = build(tmp_path, document)
        first = texts(run_folder.row_shards("twice"))
        assert first and all("Let me check." in text for text in first)
        (tmp_path / "mine.py").write_text(example().replace("Let me check.", "Once more:"))
        n_asked = server.n_requests
        build(tmp_path, document, say=said.append)
        assert server.n_requests == n_asked
    assert any("code of mine:checked_twice" in line for line in said)
    assert all("Once more:" in text for text in texts(run_folder.row_shards("twice")))
    ledger = json.loads((run_folder.root / "ledger.json").read_text())
    assert ledger["questions"]["total"] == 12


def texts(shards: list[Path]) -> list[str]:
    return [row.completion[0].content for path in shards for row in read_records(path, SftRow)]
