"""Solutions in steps, each with the share of right leaves below it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from handmade import make_context, make_question
from handmade_trees import RIGHT_END, WRONG_END, make_tree, make_tree_group, node, random_trees
from handmade_trees import sum_tree as make_sum_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.recipe_rows import StepLabelsSpec
from butwait.schemas.row import StepRow
from butwait.transforms.apply import make_rows
from butwait.transforms.step_labels import step_labels
from butwait.transforms.tree_facts import fold
from butwait.transforms.verify import verify


def make(tree, run_seed=0, **spec):
    spec = StepLabelsSpec(transform="step_labels", **spec)
    return step_labels(make_question(), make_tree_group(tree), spec, run_seed)


def make_all(tree, question=None, **spec):
    spec = StepLabelsSpec(transform="step_labels", **spec)
    question = question or make_question()
    return make_rows(question, make_tree_group(tree), "steps", spec, make_context())


def row_to(leaf, **spec):
    """The row that ends at a leaf of the sum's tree."""
    rows = make_all(make_sum_tree(), **spec).rows
    return next(row for row in rows if row.provenance.parents[0].endswith(f"-{leaf}"))


def test_a_right_solution_s_steps_carry_the_shares_below_them():
    row = row_to(3)
    assert row.completions == ("Take 2 and 3.", "Add them.", "It makes 5.", RIGHT_END)
    assert row.values == (0.5, 1 / 3, 1.0, 1.0)
    assert row.n_rollouts == (4, 3, 1, 1)
    assert row.labels == (True,) * 4
    assert row.scores == (0.8, 0.9, 0.9, 0.95)
    assert (row.separator, row.verdict, row.answer) == ("\n\n", "correct", "5")
    assert row.prompt == "What is 2 + 3?"
    assert row.id.endswith("-steps")
    assert row.provenance.seed == 1003


def test_a_wrong_solution_is_right_until_no_right_leaf_is_left():
    row = row_to(5)
    assert row.labels == (True, True, False, False)
    assert row.values == (0.5, 1 / 3, 0.0, 0.0)
    assert row.verdict == "incorrect"


def test_soft_labels_ask_for_a_share_of_right_leaves():
    assert row_to(3, labels="soft").labels == (True, False, True, True)
    assert row_to(3, labels="soft", threshold=0.3).labels == (True,) * 4


def test_a_row_ends_before_a_step_with_too_few_leaves_below_and_says_so():
    rows = make_all(make_sum_tree(), min_rollouts=2).rows
    assert {row.completions for row in rows} == {
        ("Take 2 and 3.",),
        ("Take 2 and 3.", "Add them."),
        ("Take 2 and 3.", "Add them.", "It makes 6."),
    }
    assert {row.verdict for row in rows} == {"incomplete"}
    assert make(make_sum_tree(), min_rollouts=9).reason == "no_labelled_step"


def test_right_and_wrong_leaves_come_in_turn():
    for seed in range(9):
        verdicts = [s.verdict for s in make(make_sum_tree(), seed).solutions]
        assert verdicts == ["correct", "incorrect"] * 2
    assert len(make(make_sum_tree(), per_question=3).solutions) == 3


def test_a_step_that_the_token_limit_broke_is_one_step_with_what_continues_it():
    nodes = [
        node(None, "Take 2"),
        node(0, " and 3.\n\n", score=0.4),
        node(1, "The answer is \\bo"),
        node(2, "xed{5}.", "correct"),
    ]
    [row] = make_all(make_tree(nodes)).rows
    assert row.completions == ("Take 2 and 3.", RIGHT_END)
    assert row.scores == (0.4, None)


def test_a_visible_separator_stands_between_the_steps_and_not_in_them():
    nodes = [node(None, "Add.\n\n## "), node(0, RIGHT_END, "correct")]
    [row] = make_all(make_tree(nodes, separator="\n\n## ")).rows
    assert row.completions == ("Add.", RIGHT_END)
    assert row.separator.join(row.completions) == f"Add.\n\n## {RIGHT_END}"


def test_a_step_without_a_word_is_left_out():
    nodes = [node(None, "\n\n"), node(0, "Add.\n\n"), node(1, WRONG_END, "incorrect")]
    [row] = make_all(make_tree(nodes)).rows
    assert row.completions == ("Add.", WRONG_END)


def test_missing_trees_and_leaves_are_named():
    assert make(None).reason == "no_tree"
    assert make(make_tree([node(None, "Hm.", "no_answer")])).reason == "no_judged_leaf"
    assert make(make_tree([node(None, " ", "incorrect")])).reason == "no_labelled_step"


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        (WRONG_END, "correct", "answer_mismatch"),
        (RIGHT_END, "incorrect", "wrong_is_right"),
        (f"<|im_end|> {RIGHT_END}", "correct", "template_tokens"),
        (f"\x00 {RIGHT_END}", "correct", "control_characters"),
        ("x" * 70000, "incorrect", "too_long"),
    ],
)
def test_a_row_that_breaks_an_invariant_is_refused_by_name(text, verdict, reason):
    made = make_all(make_tree([node(None, text, verdict)]))
    assert (made.rows, made.reason) == ((), reason)
    assert made.dead_letters[0].item == "q0123456789abcdef01234567-step_labels-0-steps"


def test_columns_that_are_not_parallel_are_no_row():
    row = row_to(3)
    with pytest.raises(ValueError, match="parallel"):
        StepRow(**{**dict(row), "labels": row.labels[1:]})
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        StepRow(**{**dict(row), "values": (2.0,) * 4})


SPECS = st.builds(
    StepLabelsSpec,
    transform=st.just("step_labels"),
    labels=st.sampled_from(["hard", "soft"]),
    threshold=st.sampled_from([0.3, 0.5, 1.0]),
    min_rollouts=st.integers(1, 3),
    per_question=st.sampled_from([1, 2, 9]),
)


@settings(deadline=None)
@given(random_trees(), SPECS, st.integers(0, 99))
def test_a_right_leaf_below_a_step_is_below_every_step_before_it(tree, spec, run_seed):
    made = step_labels(make_question(), make_tree_group(tree), spec, run_seed)
    assert made == step_labels(make_question(), make_tree_group(tree), spec, run_seed)
    assert bool(made.solutions) == (made.reason is None)
    assert len(made.solutions) <= spec.per_question
    for solution in made.solutions:
        for before, after in pairwise(solution.steps):
            assert before.n_rollouts >= after.n_rollouts >= spec.min_rollouts
            n_right = before.value * before.n_rollouts, after.value * after.n_rollouts
            assert n_right[0] >= n_right[1] - 1e-9
            if spec.labels == "hard":
                assert before.label >= after.label, "a wrong step is never followed by a right one"
        for step in solution.steps:
            wanted = step.value > 0 if spec.labels == "hard" else step.value >= spec.threshold
            assert step.label == wanted
        if solution.verdict == "correct":
            assert all(step.value > 0 for step in solution.steps)
        if solution.verdict == "incorrect":
            assert all(step.value < 1 for step in solution.steps)


@settings(deadline=None)
@given(random_trees(), SPECS)
def test_rows_say_what_the_tree_says_and_end_as_their_verdict(tree, spec):
    made = make_rows(make_question(), make_tree_group(tree), "steps", spec, make_context())
    assert bool(made.rows) == (made.reason is None)
    for row in made.rows:
        text = row.separator.join(row.completions)
        node_id = int(row.provenance.parents[0].rsplit("-", 1)[1])
        said = fold(tree.text(node_id)).replace("#", "").replace(" ", "")
        assert fold(text).replace("#", "").replace(" ", "") == said
        if row.verdict != "incomplete":
            assert verify("5", text).correct == (row.verdict == "correct")
