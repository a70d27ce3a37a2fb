"""Two continuations of one prefix, the better one and the worse."""

from __future__ import annotations

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

from butwait.schemas.errors import SchemaError
from butwait.schemas.recipe_rows import PreferenceSpec
from butwait.schemas.record import Message
from butwait.schemas.row import PreferenceRow
from butwait.transforms.apply import make_rows
from butwait.transforms.preference import preference
from butwait.transforms.tree_facts import fold, parent_named, read_facts
from butwait.transforms.tree_rows import check_preference_row, preference_row
from butwait.transforms.verify import verify


def make(tree, run_seed=0, **spec):
    spec = PreferenceSpec(transform="preference", **spec)
    return preference(make_question(), make_tree_group(tree), spec, run_seed)


def make_all(tree, question=None, **spec):
    spec = PreferenceSpec(transform="preference", **spec)
    question = question or make_question()
    return make_rows(question, make_tree_group(tree), "pairs", spec, make_context())


def ends(made):
    """Node ids of each pair, chosen first, in order."""
    return sorted((p.chosen.parent.node.id, p.rejected.parent.node.id) for p in made.pairs)


def test_an_outcome_pair_holds_the_prefix_and_two_whole_solutions():
    tree = make_tree(
        [
            node(None, " Add.\n\n", score=0.9),
            node(0, "It makes 5.\n\n", score=0.8),
            node(1, f"{RIGHT_END}\n", "correct", 0.7),
            node(0, "It makes 6.\n\n", score=0.3),
            node(3, WRONG_END, "incorrect", 0.2),
        ]
    )
    [row] = make_all(tree).rows
    assert row.chosen == (Message(role="assistant", content=f"Add.\n\nIt makes 5.\n\n{RIGHT_END}"),)
    assert row.rejected[0].content == f"Add.\n\nIt makes 6.\n\n{WRONG_END}"
    assert row.chosen[0].content[: row.prefix_characters] == "Add.\n\n"
    assert (row.chosen_value, row.rejected_value) == (1.0, 0.0)
    assert (row.chosen_score, row.rejected_score) == (0.7, 0.2)
    assert row.id == "q0123456789abcdef01234567-preference-0-pairs"
    assert [m.role for m in row.prompt] == ["system", "user"]
    origin = row.provenance
    assert [name.rsplit("-", 1)[1] for name in origin.parents] == ["4", "2"]
    assert (origin.seed, origin.renderer, origin.temperature) == (1002, None, 0.7)
    assert '"by":"outcome"' in origin.transform_parameters


def test_an_outcome_step_pair_leads_right_and_only_wrong():
    assert ends(make(sum_tree(), span="step")) == [(2, 4)]
    [row] = make_all(sum_tree(), span="step").rows
    assert row.chosen[0].content == "Take 2 and 3.\n\nAdd them.\n\nIt makes 5."
    assert row.prefix_characters == len("Take 2 and 3.\n\nAdd them.\n\n")


def test_a_prefix_gives_one_pair_at_most_and_its_sides_part_at_once():
    for seed in range(20):
        pairs = ends(make(sum_tree(), seed))
        assert len(pairs) == 2
        assert pairs[0] in {(3, 5), (3, 6), (11, 5), (11, 6)}
        assert {pair[0] for pair in pairs} == {3, 11}
    facts = read_facts(sum_tree())
    for pair in make(sum_tree(), 1).pairs:
        paths = [facts.path(s.parent.node.id) for s in (pair.chosen, pair.rejected)]
        assert len(set(zip(*paths, strict=False))) <= max(map(len, paths))


def test_one_child_that_is_both_right_and_wrong_makes_no_pair_with_itself():
    nodes = [
        node(None, "Add.\n\n"),
        node(0, "So.\n\n"),
        node(1, RIGHT_END, "correct"),
        node(1, WRONG_END, "incorrect"),
        node(0, "Hm.\n\n", "resampled_out"),
    ]
    assert ends(make(make_tree(nodes))) == [(2, 3)], "below the child itself, not above it"


def test_values_must_differ_by_the_margin_and_rest_on_enough_leaves():
    assert ends(make(sum_tree(), by="value", span="step", margin=0.3)) == [(2, 4), (10, 1)]
    assert ends(make(sum_tree(), by="value", span="step", margin=0.7)) == [(2, 4)]
    assert ends(make(sum_tree(), by="value", span="step", min_rollouts=2)) == []
    pairs = ends(make(sum_tree(), by="value", span="solution", margin=0.6))
    assert pairs in ([(3, 5), (11, 5)], [(3, 5), (11, 6)], [(3, 6), (11, 5)], [(3, 6), (11, 6)])


def test_rewards_must_differ_by_the_margin():
    assert ends(make(sum_tree(), by="prm", span="step", margin=0.3)) == [(1, 8), (2, 7)]
    assert ends(make(sum_tree(), by="prm", span="step", margin=0.85)) == []
    assert make(sum_tree(), by="prm", span="step", margin=0.85).reason == "no_pair"
    assert ends(make(sum_tree(), by="prm", span="solution", margin=0.6)) == [(3, 6), (11, 6)]


def test_a_reward_does_not_prefer_what_is_known_to_end_worse():
    nodes = [
        node(None, "Guess.\n\n", score=0.9),
        node(0, WRONG_END, "incorrect", 0.9),
        node(None, "Add.\n\n", score=0.2),
        node(2, RIGHT_END, "correct", 0.2),
    ]
    for span in ("step", "solution"):
        assert make(make_tree(nodes), by="prm", span=span).reason == "no_pair"
    assert ends(make(make_tree(nodes[:1] + nodes[2:3]), by="prm", span="step")) == [(0, 1)]


def test_missing_trees_leaves_and_pairs_are_named():
    assert make(None).reason == "no_tree"
    assert make(make_tree([node(None, "Hm.", "resampled_out")])).reason == "no_judged_leaf"
    assert make(make_tree([node(None, RIGHT_END, "correct")])).reason == "no_pair"
    assert make(make_tree([]), by="prm").reason == "no_pair"


def test_a_chosen_text_that_does_not_verify_is_refused_and_so_is_a_rejected_one_that_does():
    question = make_question(gold="6")
    made = make_all(sum_tree(), question)
    assert (made.rows, made.reason) == ((), "answer_mismatch")
    assert made.dead_letters[0].item == "q0123456789abcdef01234567-preference-0-pairs"
    nodes = [node(None, RIGHT_END, "correct"), node(None, f"So: {RIGHT_END}", "incorrect")]
    assert make_all(make_tree(nodes)).reason == "rejected_is_right"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("<|im_end|>", "template_tokens"), ("\x00", "control_characters"), ("x" * 70000, "too_long")],
)
def test_a_text_that_breaks_an_invariant_is_refused_by_name(text, reason):
    nodes = [node(None, RIGHT_END, "correct"), node(None, f"{text} {WRONG_END}", "incorrect")]
    assert make_all(make_tree(nodes)).reason == reason


def test_a_row_whose_sides_do_not_share_their_prefix_is_no_row():
    [row] = make_all(sum_tree(), per_question=1).rows
    for changes in (
        {"prefix_characters": row.prefix_characters + 9},
        {"rejected": row.prompt[-1:]},
        {"chosen": (Message(role="assistant", content="Other."),)},
    ):
        with pytest.raises(ValueError, match="validation error"):
            PreferenceRow(**{**dict(row), **changes})


def test_a_score_outside_its_range_is_named():
    question, spec = make_question(), PreferenceSpec(transform="preference")
    nodes = [node(None, RIGHT_END, "correct", 1.5), node(None, WRONG_END, "incorrect")]
    pair = make(make_tree(nodes)).pairs[0]
    with pytest.raises(SchemaError, match="invalid_row: chosen_score"):
        preference_row(question, pair, "x", spec, make_context())
    assert make_all(make_tree(nodes)).reason == "invalid_row"


SPECS = st.builds(
    PreferenceSpec,
    transform=st.just("preference"),
    by=st.sampled_from(["outcome", "value", "prm"]),
    span=st.sampled_from(["step", "solution"]),
    margin=st.sampled_from([0.2, 0.5]),
    min_rollouts=st.integers(1, 2),
    per_question=st.sampled_from([1, 9]),
)


@settings(deadline=None)
@given(random_trees(), SPECS, st.integers(0, 99))
def test_a_pair_keeps_its_promise(tree, spec, run_seed):
    made = preference(make_question(), make_tree_group(tree), spec, run_seed)
    assert made == preference(make_question(), make_tree_group(tree), spec, run_seed)
    assert bool(made.pairs) == (made.reason is None)
    facts, prefixes = read_facts(tree), []
    for pair in made.pairs:
        n, sides = pair.prefix_characters, (pair.chosen, pair.rejected)
        assert sides[0].text[:n] == sides[1].text[:n]
        better, worse = (facts.path(side.parent.node.id) for side in sides)
        shared = [a for a, b in zip(better, worse, strict=False) if a == b]
        prefixes.append(tuple(shared))
        first, second = better[len(shared)], worse[len(shared)]
        if spec.span == "solution":
            assert pair.chosen.verdict == "correct"
        else:
            assert (len(better), len(worse)) == (len(shared) + 1,) * 2
        if spec.by == "outcome":
            assert facts.n_right[first] and facts.n_wrong(second)
            assert spec.span == "solution" or not facts.n_right[second]
        if spec.by == "value":
            assert pair.chosen.value - pair.rejected.value >= spec.margin - 1e-9
            assert min(facts.n_judged[first], facts.n_judged[second]) >= spec.min_rollouts
        if spec.by == "prm":
            assert pair.chosen.score - pair.rejected.score >= spec.margin - 1e-9
            assert facts.value(first) is None or facts.value(first) > 0
    assert len(set(prefixes)) == len(prefixes), "at most one a prefix"


@settings(deadline=None)
@given(random_trees(), SPECS)
def test_rows_share_their_prefix_and_end_as_they_should(tree, spec):
    question, group = make_question(), make_tree_group(tree)
    made = make_rows(question, group, "pairs", spec, make_context())
    assert bool(made.rows) == (made.reason is None)
    for row in made.rows:
        chosen, rejected = row.chosen[0].content, row.rejected[0].content
        assert fold(chosen) != fold(rejected)
        if spec.span == "solution":
            assert verify("5", chosen).correct
        if spec.span == "solution" and spec.by != "prm":
            assert not verify("5", rejected).correct
        assert {parent_named(tree, name).id for name in row.provenance.parents} == {
            *row.provenance.parents
        }


def test_a_checked_row_is_left_as_it_is():
    question, spec, context = (
        make_question(),
        PreferenceSpec(transform="preference"),
        make_context(),
    )
    pair = make(sum_tree()).pairs[0]
    check_preference_row(
        preference_row(question, pair, "x", spec, context), question, pair, context
    )
