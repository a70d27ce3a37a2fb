"""Dead branches, transitions, and the way back to a path that ends right."""

from __future__ import annotations

from itertools import pairwise

import pytest
from handmade import make_context, make_question
from handmade_trees import (
    RIGHT_END,
    WRONG_END,
    make_tree,
    make_tree_group,
    node,
    random_trees,
    sum_tree,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.recipe_rows import HOLD_ON, BacktrackSpec
from butwait.transforms.apply import make_rows
from butwait.transforms.backtrack import backtrack
from butwait.transforms.tree_facts import fold, parent_named, read_facts
from butwait.transforms.verify import verify

TURN = f"\n\n{HOLD_ON}\n\n"
CRITERIA = ("faithful", "prm_margin", "rollout_verified", "wrong_leaf")
RENDERERS = ("bespoke", "thinking_answer", "think_boxed", "plain")


def make(tree, run_seed=0, **spec):
    spec = BacktrackSpec(transform="backtrack", **spec)
    return backtrack(make_question(), make_tree_group(tree), spec, run_seed)


def make_row(tree, **spec):
    spec = BacktrackSpec(transform="backtrack", **spec)
    made = make_rows(make_question(), make_tree_group(tree), "default", spec, make_context())
    assert made.dead_letters == ()
    return made.rows[0]


def branches(tree, seeds=20, **spec):
    """Every wrong branch that some seed tells."""
    return {
        segment.text
        for seed in range(seeds)
        for trace in make(tree, seed, per_question=8, **spec).traces
        for segment in trace.thought
        if segment.role == "wrong_branch"
    }


ONE_FORK = [
    node(None, "Add.\n\n", score=0.9),
    node(0, "It makes 5.\n\n", score=0.9),
    node(1, RIGHT_END, "correct", 0.9),
    node(0, "It makes 7.\n\n", score=0.5),
    node(3, "Or 8.\n\n", "resampled_out", 0.3),
]


def test_a_trace_is_path_dead_branch_transition_and_the_path_from_the_fork():
    trace = make(make_tree(ONE_FORK)).traces[0]
    assert [(s.role, s.text) for s in trace.thought] == [
        ("path", "Add.\n\n"),
        ("wrong_branch", "It makes 7.\n\nOr 8."),
        ("transition", TURN),
        ("path", "It makes 5."),
    ]
    assert trace.solution_text == RIGHT_END
    assert [name.rsplit("-", 1)[1] for name in trace.parents] == ["4", "2"]
    assert trace.n_transitions == 1


def test_the_good_path_may_be_told_again_from_its_start():
    trace = make(make_tree(ONE_FORK), resume="start").traces[0]
    assert trace.thought_text == f"Add.\n\nIt makes 7.\n\nOr 8.{TURN}Add.\n\nIt makes 5."
    assert trace.solution_text == RIGHT_END


def test_a_branch_beside_the_first_step_stands_before_everything():
    nodes = [*ONE_FORK[:3], node(None, "Guess.\n\n", "resampled_out", 0.1)]
    trace = make(make_tree(nodes)).traces[0]
    assert trace.thought_text == f"Guess.{TURN}Add.\n\nIt makes 5."


@pytest.mark.parametrize("separator", ["\n\n", "\n", " ", "\n\n\n", ""])
@pytest.mark.parametrize("resume", ["divergence", "start"])
def test_one_blank_line_stands_at_each_joint_whatever_separates_the_steps(separator, resume):
    nodes = [{**n, "text": n["text"].rstrip() + separator} for n in ONE_FORK]
    nodes[2]["text"] = "\n\n" + RIGHT_END
    text = make(make_tree(nodes, separator=separator or "x"), resume=resume).traces[0].thought_text
    wrong = separator.join(["It makes 7.", "Or 8."])
    assert f"Add.\n\n{wrong}{TURN}" in text
    assert separator == "\n\n\n" or "\n\n\n" not in text


def test_the_visible_part_of_a_separator_goes_with_the_step_that_it_introduces():
    nodes = [{**n, "text": "B:\n" + n["text"].replace("\n\n", "\n\n## ")} for n in ONE_FORK]
    nodes[0]["text"] = "## A:\nAdd.\n\n## "
    trace = make(make_tree(nodes, separator="\n\n## ")).traces[0]
    assert trace.thought_text == (
        f"## A:\nAdd.\n\n## B:\nIt makes 7.\n\n## B:\nOr 8.{TURN}## B:\nIt makes 5."
    )
    assert trace.solution_text == f"## B:\n{RIGHT_END}"


CONCLUSION = [
    node(None, "Add.\n\n", score=0.9),
    node(0, RIGHT_END, "correct", 0.9),
    node(0, WRONG_END, "incorrect", 0.2),
]


def test_a_mistake_in_the_conclusion_moves_it_into_the_thought():
    row = make_row(make_tree(CONCLUSION), dead="wrong_leaf", format="think_boxed")
    assert row.completion[0].content == (
        f"<think>\nAdd.\n\n{WRONG_END}{TURN}{RIGHT_END}\n</think>\n\n"
        "The final answer is $\\boxed{5}$."
    )


def test_without_markers_the_conclusion_follows_the_transition_and_is_said_once():
    row = make_row(make_tree(CONCLUSION), dead="wrong_leaf", format="plain")
    assert row.completion[0].content == f"Add.\n\n{WRONG_END}{TURN}{RIGHT_END}"
    assert [s.role for s in row.spans] == ["path", "wrong_branch", "transition", "answer"]


def test_markers_of_the_sampled_texts_stay_outside_the_pieces():
    nodes = [
        node(None, "<think>\nAdd.\n\n", score=0.9),
        node(0, "It makes 5.\n</think>\n\n", score=0.9),
        node(1, RIGHT_END, "correct", 0.9),
        node(0, "It makes 6.\n</think>\n\n", score=0.4),
        node(3, WRONG_END, "incorrect", 0.4),
        node(None, "<think>\nGuess.\n\n", score=0.4),
        node(5, WRONG_END, "incorrect", 0.4),
        node(1, WRONG_END, "incorrect", 0.4),
    ]
    traces = [make(make_tree(nodes), s, dead="wrong_leaf").traces[0] for s in range(12)]
    guess = f"Guess.\n\n{WRONG_END}"
    assert {t.thought_text for t in traces} == {
        f"Add.\n\nIt makes 6.{TURN}It makes 5.",
        f"{guess}{TURN}Add.\n\nIt makes 5.",
        f"{guess}{TURN}Add.\n\nIt makes 6.{TURN}It makes 5.",
    }, "a fork behind the closing marker is none"
    assert {t.solution_text for t in traces} == {RIGHT_END}


def test_faithful_takes_what_was_resampled_out_whatever_its_reward():
    assert branches(sum_tree(), dead="faithful") == {
        "It makes 7.", "Multiply them.\n\nIt makes 8.", "Is it 23?"
    }  # fmt: skip


def test_prm_margin_asks_for_a_reward_far_enough_below_the_step_in_its_place():
    assert branches(sum_tree()) == {"It makes 7.", "Multiply them.\n\nIt makes 8."}
    assert branches(sum_tree(), margin=0.3, dead="prm_margin") == {
        "It makes 7.", "Multiply them.\n\nIt makes 8."
    }  # fmt: skip
    assert branches(sum_tree(), margin=0.5) == {"It makes 7."}
    assert branches(sum_tree(), margin=0.9) == set()


def test_a_difference_of_exactly_the_margin_is_enough():
    nodes = [
        node(None, f"Add.\n\n{RIGHT_END}", "correct", 0.9),
        node(None, "Guess.", "resampled_out", 0.7),
    ]
    assert 0.9 - 0.7 < 0.2000001
    assert branches(make_tree(nodes), margin=0.2) == {"Guess."}


@pytest.mark.parametrize("unscored", [1, 4])
def test_a_missing_reward_never_qualifies(unscored):
    nodes = [{**n, "score": None} if i == unscored else n for i, n in enumerate(ONE_FORK)]
    assert make(make_tree(nodes)).reason == "no_dead_branch"
    assert branches(make_tree(nodes), dead="faithful")


def test_a_beam_s_pruned_branch_counts_for_the_margin_but_was_not_resampled_out():
    nodes = [{**n, "fate": "pruned"} if i == 4 else n for i, n in enumerate(ONE_FORK)]
    assert branches(make_tree(nodes)) == {"It makes 7.\n\nOr 8."}
    assert make(make_tree(nodes), dead="faithful").reason == "no_dead_branch"


def test_rollout_verified_tells_a_branch_as_far_as_enough_wrong_solutions_grew_from_it():
    assert branches(sum_tree(), dead="rollout_verified") == {"It makes 6."}
    assert branches(sum_tree(), dead="rollout_verified", min_rollouts=1) == {
        f"It makes 6.\n\n{WRONG_END}", "It makes 6.\n\nThe total is \\boxed{6}."
    }  # fmt: skip
    assert branches(sum_tree(), dead="rollout_verified", min_rollouts=3) == set()


def test_wrong_leaf_ends_in_a_wrong_answer_and_is_not_cut_before_it():
    both = {f"It makes 6.\n\n{WRONG_END}", "It makes 6.\n\nThe total is \\boxed{6}."}
    assert branches(sum_tree(), dead="wrong_leaf") == both
    assert branches(sum_tree(), dead="wrong_leaf", max_branch_steps=2) == both
    assert branches(sum_tree(), dead="wrong_leaf", max_branch_steps=1) == set()


def test_other_branches_are_cut_to_their_first_steps_and_judged_there():
    assert branches(make_tree(ONE_FORK), max_branch_steps=1) == {"It makes 7."}
    assert branches(make_tree(ONE_FORK), max_branch_steps=1, margin=0.5) == set()


def test_a_branch_that_something_lives_in_was_not_resampled_out():
    nodes = [*ONE_FORK, node(3, "I do not know.", "no_answer", 0.1)]
    assert make(make_tree(nodes), dead="faithful").reason == "no_dead_branch"
    assert make(make_tree(nodes)).reason == "no_dead_branch"


def test_a_branch_that_says_what_the_good_path_says_is_no_mistake():
    nodes = [
        node(None, "Add.\n\n", score=0.9),
        node(0, "It makes 5.\n\n", score=0.9),
        node(1, RIGHT_END, "correct", 0.9),
        node(0, "It makes  5. \n\n", "resampled_out", 0.1),
        node(None, "Add.\n\nIt makes 5.\n\n", "resampled_out", 0.1),
    ]
    assert make(make_tree(nodes[:4]), dead="faithful").reason == "no_dead_branch"
    assert make(make_tree(nodes), dead="faithful").reason == "branch_unusable"


def test_a_branch_that_another_right_solution_says_is_no_mistake_but_for_the_faithful_rule():
    nodes = [
        *ONE_FORK,
        node(0, "It makes 7.\n\nOr 8.\n\nNo, 5.\n\n", score=0.1),
        node(5, RIGHT_END, "correct", 0.1),
    ]
    assert branches(make_tree(nodes)) == set()
    assert branches(make_tree(nodes), dead="faithful") == {"It makes 7.\n\nOr 8."}


def test_a_branch_with_a_marker_inside_is_not_told():
    nodes = [*ONE_FORK[:3], node(0, "No </answer> yet.\n\n", "resampled_out", 0.1)]
    assert make(make_tree(nodes)).reason == "branch_unusable"


def test_missing_trees_leaves_and_branches_are_named():
    assert make(None).reason == "no_tree"
    assert make(make_tree([node(None, "Hm.", "incorrect")])).reason == "no_correct_leaf"
    assert make(make_tree(ONE_FORK[:3])).reason == "no_dead_branch"
    assert make(make_tree(ONE_FORK), n_backtracks=2).reason == "too_few_dead_branches"


def test_mistakes_stand_at_different_steps_in_the_order_of_the_path():
    traces = [make(sum_tree(), s, dead="faithful", n_backtracks=3).traces[0] for s in range(9)]
    for trace in traces:
        wrong = [s.text for s in trace.thought if s.role == "wrong_branch"]
        assert wrong == ["Is it 23?", "Multiply them.\n\nIt makes 8.", "It makes 7."]
        assert trace.n_transitions == 3


def test_traces_of_a_question_differ_and_take_the_right_leaves_in_turn():
    traces = make(sum_tree(), dead="faithful", per_question=8).traces
    assert len({t.thought_text for t in traces}) == len(traces) > 2
    assert len({t.id for t in traces}) == len(traces)
    assert {t.parents[-1].rsplit("-", 1)[1] for t in traces} == {"3", "11"}


def test_transitions_are_drawn_from_the_list():
    said = {
        s.text.strip()
        for seed in range(20)
        for s in make(make_tree(ONE_FORK), seed, transitions=("A.", "B.")).traces[0].thought
        if s.role == "transition"
    }
    assert said == {"A.", "B."}


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("dead", CRITERIA)
@pytest.mark.parametrize("resume", ["divergence", "start"])
def test_a_row_is_sound_in_every_layout(dead, renderer, resume):
    row = make_row(sum_tree(), dead=dead, format=renderer, resume=resume)
    text = row.completion[0].content
    assert verify("5", text).correct
    assert text.count(HOLD_ON) == row.n_transitions >= 1
    assert "\n\n\n" not in text
    assert row.provenance.seed in (1003, 1011)


SPECS = st.builds(
    BacktrackSpec,
    transform=st.just("backtrack"),
    dead=st.sampled_from(CRITERIA),
    margin=st.sampled_from([0.2, 0.4]),
    min_rollouts=st.integers(1, 2),
    n_backtracks=st.sampled_from([(1, 1), (1, 3), (2, 3)]),
    max_branch_steps=st.sampled_from([None, 1, 2]),
    resume=st.sampled_from(["divergence", "start"]),
    format=st.sampled_from(RENDERERS),
    per_question=st.integers(1, 4),
)


def mistakes_of(tree, trace):
    """For each mistake its first and last node, and the good step in whose place it stands."""
    facts = read_facts(tree)
    *ends, leaf = [parent_named(tree, name).node.id for name in trace.parents]
    good = facts.path(leaf)
    for end in ends:
        path = facts.path(end)
        at = next(i for i, n in enumerate(path) if i >= len(good) or n != good[i])
        yield path[at], path[-1], good[at]


@settings(deadline=None, max_examples=300)
@given(random_trees(), SPECS, st.integers(0, 99))
def test_a_trace_without_its_mistakes_is_the_good_path(tree, spec, run_seed):
    made = backtrack(make_question(), make_tree_group(tree), spec, run_seed)
    assert bool(made.traces) == (made.reason is None)
    assert made == backtrack(make_question(), make_tree_group(tree), spec, run_seed)
    for trace in made.traces:
        roles = [s.role for s in trace.thought]
        assert roles.count("transition") == roles.count("wrong_branch") == trace.n_transitions
        least, most = spec.n_backtracks
        assert least <= trace.n_transitions <= most
        for before, after in pairwise(roles):
            assert (before == "wrong_branch") == (after == "transition")
        leaf = parent_named(tree, trace.parents[-1]).node
        assert leaf.verdict == "correct"
        last = len(roles) - 1 - roles[::-1].index("transition")
        kept = trace.thought if spec.resume == "divergence" else trace.thought[last + 1 :]
        path = "".join(s.text for s in kept if s.role == "path")
        good = fold(tree.text(leaf.id))
        assert good in (fold(path), fold(f"{path} {trace.solution_text}"))


@settings(deadline=None, max_examples=300)
@given(random_trees(), SPECS, st.integers(0, 99))
def test_a_strict_rule_never_calls_a_branch_wrong_that_a_right_solution_grew_from(
    tree, spec, run_seed
):
    facts = read_facts(tree)
    for trace in backtrack(make_question(), make_tree_group(tree), spec, run_seed).traces:
        places = []
        for first, end, good in mistakes_of(tree, trace):
            places.append(good)
            rights = [fold(tree.text(leaf.id)) for leaf in facts.leaves("correct")]
            if spec.dead == "faithful":
                rights = [fold(tree.text(parent_named(tree, trace.parents[-1]).node.id))]
            assert not any(right.startswith(fold(facts.text(end))) for right in rights)
            steps = len(facts.path(end)) - len(facts.path(first)) + 1
            assert spec.max_branch_steps is None or steps <= spec.max_branch_steps
            if spec.dead != "faithful":
                assert facts.n_right[first] == 0
            if spec.dead == "prm_margin":
                assert facts.scores[good] - facts.scores[end] >= spec.margin - 1e-9
            if spec.dead == "rollout_verified":
                assert facts.n_judged[end] >= spec.min_rollouts
            if spec.dead == "wrong_leaf":
                assert facts.verdict(end) == "incorrect"
            if spec.dead in ("faithful", "prm_margin"):
                assert facts.n_judged[first] == 0
        assert len(set(places)) == len(places), "at most one mistake a step"


@settings(deadline=None, max_examples=300)
@given(random_trees(), SPECS)
def test_rows_end_right_and_their_spans_are_the_trace_s_pieces(tree, spec):
    question, group = make_question(), make_tree_group(tree)
    made = make_rows(question, group, "default", spec, make_context())
    assert bool(made.rows) == (made.reason is None)
    traces = {f"{t.id}-default": t for t in backtrack(question, group, spec, 7).traces}
    for row in made.rows:
        text, trace = row.completion[0].content, traces[row.id]
        assert verify("5", text).correct
        pieces = [(s.role, text[s.start : s.end]) for s in row.spans]
        thought = [(s.role, s.text) for s in trace.thought]
        assert pieces[: len(thought)] == thought
        assert pieces[-1][0] == "answer"
        assert row.provenance.parents == trace.parents
