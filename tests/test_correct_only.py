"""Right leaves of a search as plain traces."""

from __future__ import annotations

import pytest
from handmade import make_context, make_question
from handmade_trees import RIGHT_END, make_tree, make_tree_group, node, sum_tree

from butwait.schemas.recipe_rows import CorrectOnlySpec
from butwait.transforms.apply import make_rows
from butwait.transforms.correct_only import correct_only


def make(tree, **spec):
    spec = CorrectOnlySpec(transform="correct_only", **spec)
    return correct_only(make_question(), make_tree_group(tree), spec, 0)


def test_the_path_to_the_best_right_leaf_is_told_without_dead_branches():
    trace = make(sum_tree()).traces[0]
    assert [(s.role, s.text) for s in trace.thought] == [
        ("path", "Take 2 and 3.\n\nAdd them.\n\nIt makes 5.")
    ]
    assert trace.solution_text == RIGHT_END
    assert trace.parents == ("q0123456789abcdef01234567-node-3",)
    assert (trace.n_transitions, trace.pass_rate) == (0, None)


@pytest.mark.parametrize(
    ("pick", "order"), [("best", [3, 11]), ("shortest", [3, 11]), ("longest", [11, 3])]
)
def test_which_right_leaf_comes_first_is_chosen_by_name(pick, order):
    traces = make(sum_tree(), pick=pick, per_question=4).traces
    assert [int(t.parents[0].rsplit("-", 1)[1]) for t in traces] == order


def test_an_unscored_leaf_stands_behind_scored_ones_and_one_text_is_taken_once():
    nodes = [
        node(None, f"So.\n\n{RIGHT_END}", "correct"),
        node(None, f"Thus.\n\n{RIGHT_END}", "correct", 0.0),
        node(None, f"Thus. \n\n{RIGHT_END}", "correct", 0.9),
    ]
    traces = make(make_tree(nodes), per_question=9).traces
    assert [t.parents[0][-1] for t in traces] == ["1", "0"]


def test_missing_trees_leaves_and_texts_are_named():
    assert make(None).reason == "no_tree"
    assert make(make_tree([node(None, "Hm.", "incorrect")])).reason == "no_correct_leaf"
    assert make(make_tree([])).reason == "no_correct_leaf"
    assert make(make_tree([node(None, "  \n", "correct")])).reason == "no_solution"


def test_a_row_names_the_search_it_comes_from():
    tree = sum_tree(r1_derived=True)
    spec = CorrectOnlySpec(transform="correct_only")
    made = make_rows(make_question(), make_tree_group(tree), "default", spec, make_context())
    origin = made.rows[0].provenance
    assert made.rows[0].id == "q0123456789abcdef01234567-correct_only-0-default"
    assert (origin.model, origin.model_revision, origin.engine) == ("pocket", "abc", "vllm")
    assert (origin.prompt_preset, origin.temperature, origin.top_p) == ("qwen", 0.7, 0.95)
    assert (origin.seed, origin.max_tokens, origin.r1_derived) == (1003, None, True)
    assert origin.parents == ("q0123456789abcdef01234567-node-3",)
    assert origin.transform_parameters == '{"per_question":1,"pick":"best"}'
