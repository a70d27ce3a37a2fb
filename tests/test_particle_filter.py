"""The particle filter against a world that can be enumerated, and its records.

What is unbiased at any number of particles is the unnormalised estimate (mean over slots of weight
times function); the weighted mean of final particles is a ratio and only consistent, so it is
tested with many particles and a margin. ``make bench-search`` has the longer runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.search.toy import Drive, Toy, estimate, z_score
from butwait.schemas.recipe_search import EntropicParticle, FilterSpec, Islands, Particle
from butwait.schemas.tree import Resampling
from butwait.transforms.particle.filter import FilterSearch, FilterState
from butwait.transforms.search.protocol import Child

TOY = Toy(n_steps=3)
N_RUNS = 500
SEEN: tuple[Callable[[str], float], ...] = (
    lambda x: 1.0,
    lambda x: float(x[-1] == "A"),
    lambda x: float(len(x) == 1),
)
TEXTBOOK: dict[str, Any] = {"weighting": "incremental", "finished": "absorb"}


def particle(**more: Any) -> Particle:
    return Particle(method="particle", **{"budget": 4, **more})


def z_scores(spec: FilterSpec, toy: Toy, exact: list[float], n_runs: int = N_RUNS) -> list[float]:
    """Distance of each estimate from its exact value, in standard errors."""
    rng, search = np.random.default_rng(11), FilterSearch(spec)
    values: list[list[float]] = [[] for _ in SEEN]
    for _ in range(n_runs):
        drive = Drive(toy, rng)
        state = drive.run(search)
        for column, of in zip(values, SEEN, strict=True):
            column.append(estimate(drive, state, of))
    return [z_score(column, value)[1] for column, value in zip(values, exact, strict=True)]


def step_by_hand(
    search: FilterSearch, state: FilterState, rewards: list[tuple[float, str]], first: int = 0
) -> tuple[FilterState, tuple[Resampling, ...]]:
    """Give a state's particles children of given rewards: ``go``, ``end`` or ``dead``."""
    drive = Drive(TOY, np.random.default_rng(first))
    children: dict[int | None, list[Child]] = {}
    given = iter(rewards)
    node = first
    for grow in search.grow(state):
        for _ in range(grow.n):
            reward, what = next(given)
            odds = math.log(reward / (1 - reward))
            child = Child(node, reward, odds, what == "end", what == "dead")
            children.setdefault(grow.parent, []).append(child)
            node += 1
    return search.step(state, children, drive.draw)


@pytest.mark.parametrize(
    "options",
    [
        {"scheme": "multinomial"},
        {"scheme": "systematic"},
        {"scheme": "stratified"},
        {"scheme": "residual"},
        {"resample": 0.5},
        {"resample": 0.7, "scheme": "systematic", "softmax_temperature": 0.6},
        {"softmax_temperature": 2.0},
        {"anneal": (3.0, 0.8, 2), "scheme": "residual"},
        {"finished": "compete"},
        {"finished": "compete", "resample": 0.6, "softmax_temperature": 1.7},
        {"budget": 1},
        {"budget": 2, "scheme": "residual"},
    ],
    ids=str,
)
def test_incremental_weights_estimate_policy_times_odds_without_bias(
    options: dict[str, Any],
) -> None:
    exact = [TOY.total(of) for of in SEEN]
    scores = z_scores(particle(**{**TEXTBOOK, **options}), TOY, exact)
    assert max(map(abs, scores)) < 4.0, scores


def test_tempered_and_islanded_filters_have_the_same_target() -> None:
    exact = [TOY.total(of) for of in SEEN]
    entropic = EntropicParticle(
        method="entropic_particle", budget=4, ess_threshold=1.0, early_phase=1.0, **TEXTBOOK
    )
    islands = Islands(
        method="islands", budget=6, islands=3, temperatures=(2.0, 1.0, 0.7), **TEXTBOOK
    )
    for spec in (entropic, islands):
        scores = z_scores(spec, TOY, exact)
        assert max(map(abs, scores)) < 4.0, (spec.method, scores)


def test_the_faithful_weights_estimate_policy_times_the_product_of_all_odds() -> None:
    # By hand: A or B with chance 0.4 and 0.6, then again; no early end, nothing cut.
    toy = Toy(n_steps=2, end=(0.0, 0.0), cut=0.0)
    odds = {x: math.exp(toy.log_odds(x)) for x in ("A", "B", "AA", "AB", "BA", "BB")}
    chance = {"AA": 0.4 * 0.7, "AB": 0.4 * 0.3, "BA": 0.6 * 0.35, "BB": 0.6 * 0.65}
    product = {x: chance[x] * odds[x[0]] * odds[x] for x in chance}
    ends_in_a = product["AA"] + product["BA"]
    assert toy.total_counted_again(SEEN[0]) == pytest.approx(sum(product.values()))
    assert toy.total_counted_again(SEEN[1]) == pytest.approx(ends_in_a)
    faithful = particle(weighting="full_prefix", finished="compete")
    scores = z_scores(faithful, toy, [sum(product.values()), ends_in_a, 0.0])
    assert max(map(abs, scores)) < 4.0
    # And that is another target than policy times odds of the whole.
    wrong = z_scores(faithful, toy, [toy.total(of) for of in SEEN])
    assert max(map(abs, wrong[:2])) > 8.0


def test_faithful_weights_with_frozen_ends_still_count_every_prefix() -> None:
    toy = Toy(n_steps=3, cut=0.0)
    faithful = particle(weighting="full_prefix", finished="absorb", resample=0.9)
    scores = z_scores(faithful, toy, [toy.total_counted_again(of) for of in SEEN])
    assert max(map(abs, scores)) < 4.0, scores


def test_the_weighted_mean_of_many_final_particles_is_near_the_posterior() -> None:
    of = SEEN[1]
    posterior = TOY.total(of) / TOY.total(SEEN[0])
    search = FilterSearch(particle(budget=400, scheme="systematic", **TEXTBOOK))
    means = []
    for seed in range(6):
        drive = Drive(TOY, np.random.default_rng(seed))
        final = search.final(drive.run(search))
        weights = np.exp(final.log_weights)
        assert weights.sum() == pytest.approx(1.0)
        values = [of(drive.prefixes[leaf.node]) for leaf in final.leaves]
        means.append(float(weights @ values))
    assert np.mean(means) == pytest.approx(posterior, abs=0.02)


def test_islands_weigh_by_evidence_and_counted_again_weights_share_equally() -> None:
    for options, share in ((TEXTBOOK, 16 / 17), ({}, 0.5)):
        search = FilterSearch(Islands(method="islands", budget=2, islands=2, **options))
        state, _ = step_by_hand(search, search.init(), [(0.8, "end"), (0.2, "end")])
        assert math.exp(search.final(state).log_weights[0]) == pytest.approx(share)


def test_islands_that_end_at_different_rounds_do_not_wait_for_one_another() -> None:
    search = FilterSearch(Islands(method="islands", budget=4, islands=2, **TEXTBOOK))
    state, records = step_by_hand(
        search, search.init(), [(0.8, "end"), (0.7, "end"), (0.5, "go"), (0.5, "go")]
    )
    assert [(r.chain, r.step) for r in records] == [(1, 1)]
    assert {g.parent for g in search.grow(state)} <= {2, 3}
    state, records = step_by_hand(search, state, [(0.5, "end"), (0.6, "end")], first=4)
    assert records == () and search.grow(state) == ()
    assert len(search.final(state).leaves) == 4


def test_one_particle_is_one_sample_with_its_odds() -> None:
    search = FilterSearch(particle(budget=1))
    state, records = step_by_hand(search, search.init(), [(0.3, "go")])
    assert records[0].ancestors == (0,) and records[0].ess == 1.0
    state, records = step_by_hand(search, state, [(0.9, "end")], first=1)
    assert records == () and search.grow(state) == ()
    assert search.final(state).log_weights == (0.0,)


def test_a_filter_whose_particles_are_all_dead_ends_without_a_solution() -> None:
    search = FilterSearch(particle(budget=3))
    state, records = step_by_hand(search, search.init(), [(0.5, "dead")] * 3)
    assert records == () and search.grow(state) == ()
    assert search.final(state).leaves == ()


@pytest.mark.parametrize("finished", ["compete", "absorb"])
@pytest.mark.parametrize("weighting", ["full_prefix", "incremental"])
def test_the_dead_lose_their_slots_to_the_living(finished: Any, weighting: Any) -> None:
    search = FilterSearch(particle(budget=4, finished=finished, weighting=weighting))
    state, [record] = step_by_hand(
        search, search.init(), [(0.5, "dead"), (0.5, "go"), (0.9, "dead"), (0.9, "dead")]
    )
    assert record.log_weights == (None, 0.0, None, None)
    assert record.ancestors == (1, 1, 1, 1) and record.ess == 1.0
    assert [g.n for g in search.grow(state)] == [4]
    mean = math.exp(state.chains[0].particles[0].log_weight)
    assert mean == pytest.approx(1 / 4)  # three of four died: evidence is lost, not forgotten


def test_the_dead_stay_dead_where_weights_are_too_even_to_resample() -> None:
    search = FilterSearch(particle(budget=4, resample=0.3, **TEXTBOOK))
    state, [record] = step_by_hand(
        search, search.init(), [(0.5, "dead"), (0.5, "go"), (0.5, "go"), (0.5, "go")]
    )
    assert record.ancestors == (0, 1, 2, 3) and record.ess == pytest.approx(3.0)
    state, _ = step_by_hand(search, state, [(0.5, "end")] * 3, first=4)
    assert len(search.final(state).leaves) == 3


def test_weights_are_kept_until_the_effective_sample_size_falls() -> None:
    search = FilterSearch(particle(budget=2, resample=0.6, **TEXTBOOK))
    state, [even] = step_by_hand(search, search.init(), [(0.5, "go"), (0.6, "go")])
    assert even.ancestors == (0, 1) and even.ess > 1.2
    assert np.exp([p.log_weight for p in state.chains[0].particles]) == pytest.approx([1.0, 1.5])
    state, [uneven] = step_by_hand(search, state, [(0.5, "go"), (0.99, "go")], first=2)
    assert uneven.ess < 1.2
    weights = [p.log_weight for p in state.chains[0].particles]
    assert np.exp(weights) == pytest.approx([50.0, 50.0])  # the mean of 1 and 99


@pytest.mark.parametrize(("step", "temperature"), [(1, 3.0), (2, 2.0), (3, 1.0), (4, 1.0)])
def test_annealing_begins_with_the_first_resampling(step: int, temperature: float) -> None:
    search = FilterSearch(particle(budget=2, anneal=(3.0, 1.0, 2)))
    state = search.init()
    for t in range(step):
        state, [record] = step_by_hand(search, state, [(0.5, "go"), (0.6, "go")], first=2 * t)
    assert record.temperature == pytest.approx(temperature)
    raw = record.log_weights[1] - record.log_weights[0]  # type: ignore[operator]
    if record.particles[0] // 2 == record.particles[1] // 2:
        assert raw == pytest.approx(math.log(1.5) / temperature)


def test_entropic_tempering_stops_with_the_early_phase_and_heeds_the_base_temperature() -> None:
    rewards = [(0.999, "go"), (0.1, "go"), (0.1, "go"), (0.1, "go")]
    spec = EntropicParticle(method="entropic_particle", budget=4, max_steps=4)
    search = FilterSearch(spec)
    state, [early] = step_by_hand(search, search.init(), rewards)
    assert early.temperature == pytest.approx(4 / early.ess * 0.75)
    state, [late] = step_by_hand(search, state, rewards, first=4)
    assert late.temperature == 1.0  # half of max_steps is over
    warm = FilterSearch(spec.model_copy(update={"softmax_temperature": 2.0}))
    _, [record] = step_by_hand(warm, warm.init(), [(0.5, "go")] * 4)
    assert record.temperature == 2.0
    annealed = FilterSearch(spec.model_copy(update={"anneal": (3.0, 1.0, 2)}))
    _, [record] = step_by_hand(annealed, annealed.init(), [(0.5, "go")] * 4)
    assert record.temperature == 3.0


def grow_lineage(options: dict[str, Any], seed: int) -> tuple[Drive, list[Resampling], Any]:
    """Run a filter and check each record against the particles that it tells of."""
    search = FilterSearch(particle(budget=6, **options))
    drive = Drive(Toy(n_steps=5), np.random.default_rng(seed))
    state = search.init()
    records: list[Resampling] = []
    while wanted := search.grow(state):
        state, new = search.step(state, drive.grow(wanted), drive.draw)
        records.extend(new)
        for record in new:
            standing = [p.node for p in state.chains[0].particles]
            slots = [record.particles[a] for a in record.ancestors]
            assert standing == slots or options["finished"] == "absorb"
            assert not any(slot not in standing for slot in slots)
    return drive, records, search.final(state)


@pytest.mark.parametrize("finished", ["compete", "absorb"])
@pytest.mark.parametrize("resample", ["every_step", 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_records_tell_who_continued_whom(finished: str, resample: Any, seed: int) -> None:
    options = {"finished": finished, "resample": resample, "weighting": "incremental"}
    drive, records, final = grow_lineage(options, seed)
    slots = [record.ancestors and record.particles for record in records]
    for record, after in zip(records, slots[1:], strict=False):
        stands = [record.particles[a] for a in record.ancestors]
        # Slots keep their order; those whose child has finished may have left (absorb).
        at = 0
        for node in after:
            parents = [drive.prefixes[node][:-1], drive.prefixes[node]]
            while drive.prefixes[stands[at]] not in parents:
                assert finished == "absorb"
                at += 1
            at += 1
    assert len(final.leaves) == len(final.log_weights)


def test_nothing_is_resampled_after_the_last_step() -> None:
    for finished in ("compete", "absorb"):
        search = FilterSearch(particle(budget=5, finished=finished))
        drive = Drive(Toy(n_steps=3, end=(0.0, 0.0), cut=0.0), np.random.default_rng(0))
        final = search.final(drive.run(search))
        assert [record.step for record in drive.records] == [1, 2]
        odds = np.exp([leaf.log_odds for leaf in final.leaves])
        assert np.exp(final.log_weights) == pytest.approx(odds / odds.sum())


def test_a_filter_stopped_in_the_middle_answers_with_what_has_finished() -> None:
    search = FilterSearch(particle(budget=3, finished="absorb"))
    state, _ = step_by_hand(search, search.init(), [(0.8, "end"), (0.5, "go"), (0.5, "go")])
    assert search.grow(state)
    assert [leaf.node for leaf in search.final(state).leaves] == [0]
