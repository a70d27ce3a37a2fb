"""Facts of a search tree against slow definitions of the same."""

from __future__ import annotations

from time import process_time

import pytest
from handmade_trees import RIGHT_END, big_tree, make_tree, node, random_trees, sum_tree
from hypothesis import given, settings

from butwait.transforms.tree_facts import TreeParent, fold, parent_named, read_facts


def texts_to(tree, i):
    """What is said up to each step of a node's path, and whether a new word may follow it."""
    return tuple(
        (
            fold(tree.text(k)),
            tree.nodes[k].fate == "finished" or tree.nodes[k].text[-1:].isspace(),
        )
        for k in tree.path(i)
    )


def leaves_below(tree, i, verdicts):
    """Ids of leaves whose steps begin with the steps to a node."""
    steps = texts_to(tree, i)
    return [
        leaf.id
        for leaf in tree.nodes
        if leaf.verdict in verdicts and texts_to(tree, leaf.id)[: len(steps)] == steps
    ]


def test_the_sum_s_facts():
    facts = read_facts(sum_tree())
    assert facts.roots == (0, 12)
    assert facts.children[1] == (2, 4, 7)
    assert (facts.n_right[0], facts.n_judged[0], facts.value(0)) == (2, 4, 0.5)
    assert (facts.n_right[4], facts.n_judged[4], facts.value(4)) == (0, 2, 0.0)
    assert facts.value(7) is None
    assert (facts.verdict(3), facts.verdict(5), facts.verdict(2)) == ("correct", "incorrect", None)
    assert facts.siblings(2) == [4, 7]
    assert facts.siblings(0) == [12]


def test_the_same_step_drawn_twice_is_one_node_with_the_children_of_both():
    nodes = [
        node(None, "Add.\n\n", score=None),
        node(None, "Add. \n\n", score=0.4),
        node(0, RIGHT_END, "correct"),
        node(1, "Hm.", "incorrect"),
        node(1, RIGHT_END, "correct"),
    ]
    facts = read_facts(make_tree(nodes))
    assert facts.same_as == (0, 0, 2, 3, 2)
    assert facts.children[0] == (2, 3)
    assert facts.scores[0] == 0.4
    assert (facts.n_right[0], facts.n_judged[0]) == (2, 3), "both draws of the right leaf count"
    assert [leaf.id for leaf in facts.leaves("correct")] == [2], "but it is one text"


def test_a_leaf_that_several_final_particles_hold_counts_once():
    tree = sum_tree(final=(3, 3, 3, 5), final_log_weights=(-1.4,) * 4)
    assert read_facts(tree).n_judged[0] == 4


def test_a_node_as_a_parent_is_named_and_found_by_its_name():
    tree = sum_tree()
    parent = TreeParent(tree, tree.nodes[11])
    assert parent.id == "q0123456789abcdef01234567-node-11"
    assert parent_named(tree, parent.id) == parent


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("1", "1", True),
        ("1", "1 ", False),
        ("1 ", "1\n\n", True),
        ("\n1 ", "1 ", True),
    ],
)
def test_white_space_tells_steps_apart_only_where_it_keeps_words_apart(one, other, are_same):
    nodes = [node(None, one), node(0, "2", "cut"), node(None, other), node(2, "2", "cut")]
    assert len(read_facts(make_tree(nodes)).roots) == 2 - are_same


def test_a_leading_space_counts_behind_a_step_that_was_broken_off():
    nodes = [node(None, "1"), node(0, "2", "cut"), node(0, " 2", "cut")]
    assert read_facts(make_tree(nodes)).children[0] == (1, 2)


def test_an_end_of_text_and_a_blank_line_behind_the_same_words_are_one():
    nodes = [node(None, RIGHT_END, "correct"), node(None, f"{RIGHT_END}\n\n", "resampled_out")]
    facts = read_facts(make_tree(nodes))
    assert facts.roots == (0,)
    assert facts.fates[0] == {"finished", "resampled_out"}


@settings(deadline=None)
@given(random_trees())
def test_counts_and_siblings_are_those_of_the_definition(tree):
    facts = read_facts(tree)
    for i in range(len(tree.nodes)):
        first = facts.same_as[i]
        assert texts_to(tree, first) == texts_to(tree, i)
        assert facts.n_right[first] == len(leaves_below(tree, i, {"correct"}))
        assert facts.n_judged[first] == len(leaves_below(tree, i, {"correct", "incorrect"}))
        siblings = {
            texts_to(tree, k)
            for k in range(len(tree.nodes))
            if len(texts_to(tree, k)) == len(texts_to(tree, i))
            and texts_to(tree, k)[:-1] == texts_to(tree, i)[:-1]
        } - {texts_to(tree, i)}
        found = [texts_to(tree, k) for k in facts.siblings(first)]
        assert len(found) == len(siblings)
        assert {*found} == siblings


@pytest.mark.alone
def test_a_tree_of_twenty_thousand_nodes_is_read_in_a_moment():
    tree = big_tree()
    begun = process_time()
    facts = read_facts(tree)
    assert process_time() - begun < 2.0
    assert facts.n_judged[0] + sum(facts.n_judged[i] for i in facts.roots[1:]) == 512
