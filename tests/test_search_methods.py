"""Beam search, DVTS, whole samples, the choice of one answer, and the case of figure 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.search.statistics import RIGHT, WRONG, figure_1, keeps_right_step
from butwait.schemas.recipe_search import (
    Beam,
    BestOfN,
    Dvts,
    EntropicParticle,
    Islands,
    Particle,
    ParticleGibbs,
    SelfConsistency,
    WeightedBestOfN,
)
from butwait.transforms.particle.filter import FilterSearch
from butwait.transforms.search.beam import BeamSearch, BeamState, beam_search, dvts
from butwait.transforms.search.methods import make_search
from butwait.transforms.search.protocol import Child, Final
from butwait.transforms.search.select import Answered, count_votes, join_answers, select_leaf
from butwait.transforms.search.weigh import weigh_by_reward
from butwait.transforms.search.whole import WholeSearch


def no_draw(*names: str | int) -> np.random.Generator:
    raise AssertionError("this method is deterministic")


class Script:
    """Grows children of told rewards: ``0.7`` goes on, ``-0.7`` ends, None is cut."""

    def __init__(self, search: BeamSearch) -> None:
        self.search = search
        self.state: BeamState = search.init()
        self.rewards: list[float | None] = []

    def step(self, *rewards: float | None) -> list[int]:
        """Grow one round; return the nodes that are asked to grow next."""
        given_ = iter(rewards)
        children: dict[int | None, list[Child]] = {}
        for grow in self.search.grow(self.state):
            for _ in range(grow.n):
                reward = next(given_)
                child = Child(
                    len(self.rewards),
                    None if reward is None else abs(reward),
                    is_end=reward is not None and reward < 0,
                    is_dead=reward is None,
                )
                self.rewards.append(reward)
                children.setdefault(grow.parent, []).append(child)
        assert next(given_, "none left") == "none left"
        self.state, records = self.search.step(self.state, children, no_draw)
        assert records == ()
        return [g.parent for g in self.search.grow(self.state) if g.parent is not None]

    def final(self) -> list[int]:
        return [leaf.node for leaf in self.search.final(self.state).leaves]


def beam(budget: int = 4, width: int = 2) -> Script:
    return Script(beam_search(Beam(method="beam", budget=budget, width=width)))


def trees(budget: int = 4, width: int = 2) -> Script:
    return Script(dvts(Dvts(method="dvts", budget=budget, width=width)))


def test_a_beam_grows_the_best_of_all_candidates() -> None:
    script = beam()
    assert script.step(0.1, 0.9, 0.3, 0.8) == [1, 3]
    assert script.step(0.2, 0.3, 0.95, 0.4) == [6, 7]
    script.step(-0.5, -0.6, -0.7, -0.1)
    assert script.final() == [10, 9]


def test_of_equal_candidates_the_older_one_stays() -> None:
    assert beam().step(0.5, 0.5, 0.5, 0.5) == [0, 1]


def test_a_finished_candidate_holds_its_place_and_does_not_grow() -> None:
    script = beam()
    assert script.step(-0.9, 0.8, 0.1, 0.1) == [1]
    assert script.step(0.7, 0.6) == [4]  # one place is taken
    assert script.step(0.1, 0.2) == [7]
    assert script.step(-0.99, -0.3) == []
    assert sorted(script.final()) == [0, 8]


def test_a_finished_candidate_that_better_ones_push_out_still_answers_if_they_die() -> None:
    script = beam()
    assert script.step(-0.2, 0.8, 0.9, 0.1) == [2, 1]
    assert script.step(None, None, None, None) == []
    assert script.final() == [0]


def test_a_cut_candidate_is_never_kept_while_another_lives() -> None:
    script = beam()
    assert script.step(None, 0.1, None, None) == [1]
    assert script.step(0.5, None) == [4]


def test_a_beam_with_everything_cut_ends_without_a_solution() -> None:
    script = beam()
    assert script.step(None, None, None, None) == []
    assert script.final() == []


def test_subtrees_never_look_at_one_another() -> None:
    script = trees()
    assert script.step(0.1, 0.2, 0.8, 0.9) == [1, 3]  # best of each, not the best two
    assert script.step(0.3, 0.2, 0.1, 0.05) == [4, 6]


def test_a_subtree_whose_candidates_are_all_cut_ends_and_the_others_stay_whole() -> None:
    script = trees(budget=6)
    assert script.step(None, None, 0.3, None, 0.2, 0.6) == [2, 5]
    assert script.step(0.9, 0.1, None, None) == [6]  # the third subtree dies now
    groups = script.state.groups
    assert groups is not None and [len(group) for group in groups] == [0, 1, 0]
    assert script.step(-0.5, -0.4) == []
    assert script.final() == [10]


def test_a_finished_subtree_waits_for_the_others() -> None:
    script = trees()
    assert script.step(-0.9, 0.1, 0.5, 0.6) == [3]
    assert script.step(0.2, 0.3) == [5]
    assert script.step(-0.1, 0.05) == []
    assert script.final() == [0, 6]


@settings(max_examples=40)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.one_of(st.none(), st.floats(-0.99, 0.99)), min_size=200, max_size=200),
)
def test_any_rewards_leave_each_group_its_best_survivors(
    n_groups: int, keep: int, expand: int, rewards: list[float | None]
) -> None:
    script = Script(BeamSearch(n_groups, keep, expand))
    left = iter(rewards)
    for _ in range(3):
        wanted = script.search.grow(script.state)
        growing = script.step(*[next(left) for grow in wanted for _ in range(grow.n)])
        assert len(growing) <= n_groups * keep
        assert len(set(growing)) == len(growing)
        for group in script.state.groups or ():
            assert len(group) <= keep and not any(child.is_dead for child in group)
            assert list(group) == sorted(group, key=lambda c: (-(c.reward or 0.0), c.node))
    assert all((script.rewards[node] or 0.0) <= 0.0 for node in script.final())


def test_a_beam_of_one_loses_the_right_step_that_scored_low_and_a_filter_may_keep_it() -> None:
    # arXiv 2502.01618, figure 1: 0.945 on the wrong first step, 0.516 on the right one.
    script = beam(budget=2, width=1)
    assert script.step(WRONG, RIGHT) == [0]
    odds_wrong, odds_right = 0.945 / 0.055, 0.516 / 0.484
    chance = odds_right / (odds_right + odds_wrong)
    assert chance == pytest.approx(0.0584, abs=1e-4)
    row = figure_1(3000)
    assert row.exact == pytest.approx(1 - (1 - chance) ** 2)
    assert abs(row.z) < 4.0
    # A softmax over the rewards themselves would keep it far more often.
    by_reward = math.exp(RIGHT) / (math.exp(RIGHT) + math.exp(WRONG))
    assert by_reward > 0.39


@pytest.mark.parametrize("scheme", ["systematic", "stratified", "residual"])
def test_the_right_step_is_kept_by_its_odds_under_every_scheme(scheme: Any) -> None:
    search = FilterSearch(Particle(method="particle", budget=2, scheme=scheme))
    rng = np.random.default_rng(1)
    kept = [keeps_right_step(search, rng)[1] for _ in range(1500)]
    chance = 2 * 0.0584  # mean number of slots
    assert abs(np.mean(kept) - chance) < 4.0 * np.std(kept) / math.sqrt(1500)


def test_whole_samples_are_weighted_by_their_reward() -> None:
    search = WholeSearch(BestOfN(method="best_of_n", budget=3))
    [grow] = search.grow(search.init())
    assert search.whole and (grow.parent, grow.n) == (None, 3)
    children = [
        Child(0, 0.2, is_end=True),
        Child(1, None, is_dead=True),
        Child(2, 0.6, is_end=True),
    ]
    state, records = search.step(search.init(), {None: children}, no_draw)
    assert records == () and search.grow(state) == ()
    final = search.final(state)
    assert [leaf.node for leaf in final.leaves] == [0, 2]
    assert np.exp(final.log_weights) == pytest.approx([0.25, 0.75])


def test_leaves_without_a_reward_weigh_the_same_and_a_reward_of_zero_is_not_minus_infinity() -> (
    None
):
    even = weigh_by_reward([Child(0, is_end=True), Child(1, is_end=True)])
    assert np.exp(even.log_weights) == pytest.approx([0.5, 0.5])
    assert all(
        math.isfinite(w) for w in weigh_by_reward([Child(0, 0.0), Child(1, 1.0)]).log_weights
    )
    assert weigh_by_reward([]) == Final((), ())


@pytest.mark.parametrize(
    ("spec", "n_first"),
    [
        (BestOfN(method="best_of_n", budget=8), 8),
        (WeightedBestOfN(method="weighted_best_of_n", budget=8), 8),
        (SelfConsistency(method="self_consistency", budget=8), 8),
        (Beam(method="beam", budget=8), 8),
        (Dvts(method="dvts", budget=8), 8),
        (Particle(method="particle", budget=8), 8),
        (EntropicParticle(method="entropic_particle", budget=8), 8),
        (ParticleGibbs(method="particle_gibbs", budget=8), 4),
        (Islands(method="islands", budget=8), 8),
    ],
    ids=lambda value: getattr(value, "method", value),
)
def test_every_method_begins_as_many_solutions_as_its_budget(spec: Any, n_first: int) -> None:
    search = make_search(spec)
    [grow] = search.grow(search.init())
    assert (grow.parent, grow.n) == (None, n_first)
    assert search.final(search.init()).leaves == ()


def answered(*rows: tuple[int, str | None, float, float | None]) -> list[Answered]:
    """Final particles as (leaf, answer, weight, reward)."""
    return [
        Answered(leaf, answer, answer, math.log(weight), reward)
        for leaf, answer, weight, reward in rows
    ]


def select(found: Sequence[Answered], how: Any) -> int | None:
    return select_leaf(found, count_votes(found), how, np.random.default_rng(0))


def test_equal_answers_are_one_vote_however_they_are_written() -> None:
    found = answered((0, "1/2", 0.3, 0.9), (1, "0.5", 0.3, 0.8), (2, "2", 0.4, 0.7))
    votes = count_votes(found)
    assert [(v.n, round(v.weight, 6), v.leaf, v.leaves) for v in votes] == [
        (2, 0.6, 0, (0, 1)),
        (1, 0.4, 2, (2,)),
    ]


def test_each_way_of_choosing_can_choose_another_leaf() -> None:
    found = answered(
        (0, "7", 0.1, 0.95), (1, "8", 0.2, 0.5), (2, "8", 0.05, 0.4), (3, "8.0", 0.05, 0.3),
        (4, "9", 0.6, 0.6),
    )  # fmt: skip
    assert select(found, "argmax") == 0
    assert select(found, "vote") == 1
    assert select(found, "weighted_vote") == 4


def test_ties_go_to_weight_then_to_the_older_leaf() -> None:
    found = answered((0, "7", 0.2, 0.5), (1, "8", 0.3, 0.5), (2, "9", 0.3, 0.5))
    assert select(found, "argmax") == 0
    assert select(found, "vote") == 1
    assert select(found, "weighted_vote") == 1


def test_a_draw_follows_the_weights() -> None:
    found = answered((0, "7", 0.2, None), (1, "8", 0.8, None))
    rng = np.random.default_rng(0)
    drawn = [select_leaf(found, (), "sample", rng) for _ in range(2000)]
    assert abs(np.mean(drawn) - 0.8) < 0.04  # type: ignore[arg-type]


def test_what_has_no_answer_has_no_vote_and_is_chosen_only_where_nothing_has_one() -> None:
    found = answered((0, None, 0.9, 0.99), (1, "7", 0.06, 0.1), (2, " ", 0.04, 0.9))
    [vote] = count_votes(found)
    assert (vote.leaf, vote.n, vote.weight) == (1, 1, 1.0)
    assert select(found, "vote") == 1 and select(found, "weighted_vote") == 1
    speechless = answered((0, None, 0.5, 0.2), (1, None, 0.5, 0.3))
    assert count_votes(speechless) == ()
    assert select(speechless, "argmax") == 1
    assert select(speechless, "vote") is None and select(speechless, "weighted_vote") is None
    assert select([], "argmax") is None and select([], "sample") is None


def test_answers_beside_a_particle_that_outweighs_them_all_keep_their_shares() -> None:
    found = [
        Answered(0, None, None, 0.0, 0.9),
        Answered(1, "7", "7", -2000.0, 0.5),
        Answered(2, "8", "8", -2001.0, 0.5),
    ]
    assert [v.weight for v in count_votes(found)] == pytest.approx([0.731059, 0.268941], abs=1e-6)


def test_hostile_and_unreadable_answers_are_votes_of_their_own_and_break_nothing() -> None:
    texts = [
        "\\frac{1}{",
        "__import__('os')",
        "9**9**9**9",
        "\\text{no}",
        "{" * 50,
        "𝟟",
        "x" * 5000,
    ]
    found = [Answered(i, text, None, -1.0, 0.5) for i, text in enumerate([*texts, texts[0]])]
    votes = count_votes(found)
    assert sum(vote.n for vote in votes) == len(found)
    assert max(votes, key=lambda v: v.n).leaves == (0, 7)


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "1.0", "2", "2/1", "3", None]), st.floats(-30.0, 0.0)),
        min_size=1,
        max_size=12,
    )
)
def test_votes_share_all_weight_that_has_an_answer(rows: list[tuple[str | None, float]]) -> None:
    found = [Answered(i, a, None, weight, None) for i, (a, weight) in enumerate(rows)]
    votes = count_votes(found)
    n_able = sum(a is not None for a, _ in rows)
    assert sum(v.n for v in votes) == n_able
    assert sum(v.weight for v in votes) == pytest.approx(1.0 if n_able else 0.0)
    assert len(votes) == len({a and a[0] for a, _ in rows} - {None})
    assert list(votes) == sorted(votes, key=lambda v: -v.weight)


def test_leaves_are_joined_with_their_answers_repetitions_included() -> None:
    leaf = Child(3, 0.5, is_end=True)
    final = Final((leaf, leaf), (math.log(0.5),) * 2)
    joined = join_answers(final, {3: ("7", "7")})
    assert [a.leaf for a in joined] == [3, 3] and count_votes(joined)[0].n == 2
    assert join_answers(final, {})[0].answer is None
