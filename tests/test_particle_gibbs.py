"""Particle Gibbs and parallel tempering: a sweep leaves its target as it is, references survive."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from benchmarks.search.toy import Drive, Toy, z_score
from butwait.schemas.recipe_search import Islands, ParticleGibbs, Scheme
from butwait.transforms.particle import filter as filter_module
from butwait.transforms.particle.filter import FilterSearch, FilterState
from butwait.transforms.particle.population import Chain, Particle
from butwait.transforms.particle.resample import resample
from butwait.transforms.particle.tempering import choose_references, exchange, exchange_chance
from butwait.transforms.search.protocol import Child, Draw

TOY = Toy(n_steps=3)
N_RUNS = 500
SEEN: tuple[Callable[[str], float], ...] = (
    lambda x: float(x[-1] == "A"),
    lambda x: float(len(x) == 1),
    lambda x: float(x[0] == "A"),
)
TEXTBOOK: dict[str, Any] = {"weighting": "incremental", "finished": "absorb"}


def gibbs(**more: Any) -> ParticleGibbs:
    return ParticleGibbs(method="particle_gibbs", **{"budget": 6, **TEXTBOOK, **more})


def sweep(
    search: FilterSearch, toy: Toy, rng: np.random.Generator, power: float, chain: int = 0
) -> str:
    """Draw a reference of the chain's target, run one conditional filter, draw the next one."""
    drive = Drive(toy, rng)
    start = search.init().chains[chain]
    reference = Particle(script=drive.script(toy.draw_solution(rng, power)), is_reference=True)
    last = search.spec.iterations - 1  # type: ignore[union-attr]
    begun = Chain(
        0,
        (reference, *start.particles[1:]),
        start.temperature,
        iteration=last,
        target_temperature=start.target_temperature,
    )
    state = drive.run(search, FilterState((begun,)))
    [drawn] = choose_references(state.chains[0], 1, drive.draw, "incremental")
    return drive.prefixes[drawn.path[-1].node]


def z_scores(spec: Any, toy: Toy = TOY, power: float = 1.0, chain: int = 0) -> list[float]:
    """Distance of what sweeps end with from the target, which they began with."""
    rng, search = np.random.default_rng(5), FilterSearch(spec)
    drawn = [sweep(search, toy, rng, power, chain) for _ in range(N_RUNS)]
    total = toy.total(lambda x: 1.0, power)
    return [z_score([of(x) for x in drawn], toy.total(of, power) / total)[1] for of in SEEN]


@pytest.mark.parametrize(
    "options",
    [
        {"scheme": "multinomial"},
        {"scheme": "systematic"},
        {"scheme": "stratified", "finished": "compete"},
        {"scheme": "residual"},
        {"resample": 0.6, "scheme": "systematic"},
        {"softmax_temperature": 2.5},
        {"budget": 4, "finished": "compete", "softmax_temperature": 0.5},
    ],
    ids=str,
)
def test_a_sweep_that_begins_with_the_posterior_ends_with_it(options: dict[str, Any]) -> None:
    scores = z_scores(gibbs(**options))
    assert max(map(abs, scores)) < 4.0, scores


@pytest.mark.parametrize("chain", [0, 1])
def test_a_chain_of_another_temperature_keeps_its_own_target(chain: int) -> None:
    temperatures = (2.5, 1.0)
    spec = Islands(
        method="islands", budget=8, islands=2, iterations=2, temperatures=temperatures, **TEXTBOOK
    )
    scores = z_scores(spec, power=1.0 / temperatures[chain], chain=chain)
    assert max(map(abs, scores)) < 4.0, scores


def overwrite(
    scheme: Scheme, pool: tuple[Particle, ...], tempered: Any, rng: np.random.Generator
) -> Any:
    """The defective draw: free, with the reference's slot overwritten afterwards."""
    ancestors = resample(scheme, tempered, len(pool), rng)
    for slot, particle in enumerate(pool):
        if particle.is_reference:
            ancestors[slot] = slot
    return ancestors


class OneDraw:
    """A generator whose only draw is known."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, n: int | None = None) -> Any:
        return self.value if n is None else np.full(n, self.value)

    def permutation(self, values: Any) -> Any:
        return values


def chance_to_fork(weight: float) -> float:
    """Chance that the second of two slots continues the reference, over the one systematic draw."""
    pool = (Particle(is_reference=True), Particle())
    tempered = np.log([weight, 1.0 - weight])
    draws: Any = [OneDraw((k + 0.5) / 1000) for k in range(1000)]
    found = [filter_module._draw_ancestors("systematic", pool, tempered, d)[1] for d in draws]
    return float(np.mean([ancestor == 0 for ancestor in found]))


def drift_of_a_sweep() -> float:
    """Largest change that one sweep of two particles over two steps makes to the posterior.

    Everything but the resampling is summed exactly: reference (a, b), fresh first step y, second
    step z of the other slot, and the draw of the next reference.
    """
    first, then = (0.54, 0.46), ((0.92, 0.08), (0.8, 0.2))
    odds, whole = (1.77, 7.48), ((1.19, 0.65), (3.39, 1.11))
    posterior = np.array([[first[a] * then[a][b] * whole[a][b] for b in (0, 1)] for a in (0, 1)])
    posterior /= posterior.sum()
    after = np.zeros((2, 2))
    for a, b, y in product((0, 1), repeat=3):
        fork = chance_to_fork(odds[a] / (odds[a] + odds[y]))
        for parent, chance in ((a, fork), (y, 1.0 - fork)):
            for z in (0, 1):
                p = posterior[a, b] * first[y] * chance * then[parent][z]
                mine, others = whole[a][b] / odds[a], whole[parent][z] / odds[parent]
                after[a, b] += p * mine / (mine + others)
                after[parent, z] += p * others / (mine + others)
    return float(np.abs(after - posterior).max())


def test_overwriting_the_references_slot_after_a_free_draw_would_be_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drift_of_a_sweep() < 0.001
    monkeypatch.setattr(filter_module, "_draw_ancestors", overwrite)
    assert drift_of_a_sweep() > 0.02


def test_references_tempered_twice_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = gibbs(softmax_temperature=2.5)
    published = choose_references

    def tempered_twice(chain: Chain, n: int, draw: Draw, weighting: Any) -> tuple[Particle, ...]:
        return published(chain, n, draw, "full_prefix")

    monkeypatch.setitem(globals(), "choose_references", tempered_twice)
    assert max(map(abs, z_scores(spec))) > 4.0


def test_a_reference_survives_every_resampling_and_may_be_forked() -> None:
    search = FilterSearch(gibbs(budget=8, resample="every_step"))
    n_forks = 0
    for seed in range(20):
        drive = Drive(TOY, np.random.default_rng(seed))
        state = search.init()
        followed: tuple[Child, ...] = ()
        while wanted := search.grow(state):
            state, records = search.step(state, drive.grow(wanted), drive.draw)
            [chain] = state.chains
            if chain.iteration == 1 and not chain.step:
                followed = chain.particles[0].script
            for record in records:
                if record.iteration == 1 and record.particles[0] in [c.node for c in followed]:
                    assert record.ancestors[0] == 0
                    n_forks += record.ancestors.count(0) - 1
        if followed:
            assert followed[-1] in search.final(state).leaves
    assert n_forks > 0


def test_a_fork_of_a_reference_grows_on_its_own_from_where_it_left() -> None:
    search = FilterSearch(gibbs(budget=4))
    drive = Drive(Toy(n_steps=3, end=(0.0, 0.0), cut=0.0), np.random.default_rng(0))
    reference = Particle(script=drive.script("AAA"), is_reference=True)
    fresh = Particle()
    state = FilterState((Chain(0, (reference, fresh), 1.0, iteration=1),))
    bad = Child(9, 0.001, -6.9)
    state, [record] = search.step(state, {None: [bad]}, drive.draw)
    assert record.ancestors == (0, 0)
    kept, fork = state.chains[0].particles
    assert kept.is_reference and len(kept.script) == 2
    assert fork.node == kept.node and not fork.is_reference and fork.script == ()
    assert search.grow(state)[0].parent == fork.node and search.grow(state)[0].n == 1


def test_a_reference_is_weighted_by_the_reward_of_the_step_at_which_it_stands() -> None:
    search = FilterSearch(gibbs(budget=4))
    drive = Drive(TOY, np.random.default_rng(0))
    script = drive.script("BAA")
    state = FilterState((Chain(0, (Particle(script=script, is_reference=True), Particle()), 1.0),))
    same = Child(7, script[0].reward, script[0].log_odds)
    _, [record] = search.step(state, {None: [same]}, drive.draw)
    assert record.log_weights == pytest.approx((math.log(0.5), math.log(0.5)))


def test_a_reference_that_walks_alone_needs_no_server() -> None:
    search = FilterSearch(gibbs(budget=4))
    drive = Drive(TOY, np.random.default_rng(0))
    reference = Particle(script=drive.script("BAA"), is_reference=True)
    state = FilterState((Chain(0, (reference, Particle()), 1.0, iteration=1),))
    end = Child(7, 0.5, 0.0, is_end=True)
    state, records = search.step(state, {None: [end]}, drive.draw)
    assert search.grow(state) == ()
    assert [record.step for record in records] == [1, 2]
    assert {leaf.node for leaf in search.final(state).leaves} == {2, 7}


def test_a_reference_that_finishes_early_stays_to_the_end() -> None:
    for finished in ("compete", "absorb"):
        search = FilterSearch(gibbs(budget=8, finished=finished))
        toy = Toy(n_steps=6, end=(0.0, 0.0), cut=0.0)
        drive = Drive(toy, np.random.default_rng(1))
        reference = Particle(script=drive.script("B"), is_reference=True)
        particles = (reference, Particle(), Particle(), Particle())
        state = drive.run(search, FilterState((Chain(0, particles, 1.0, iteration=1),)))
        assert state.chains[0].particles[0].path == reference.script


def test_a_chain_without_a_solution_begins_its_next_iteration_afresh() -> None:
    search = FilterSearch(gibbs(budget=6))
    drive = Drive(Toy(cut=1.0), np.random.default_rng(0))
    state = drive.run(search)
    assert state.chains[0].iteration == 1 and search.final(state).leaves == ()
    assert drive.prefixes and len(drive.prefixes) == 6


def test_an_iteration_cut_in_the_middle_leaves_the_word_to_the_one_before() -> None:
    search = FilterSearch(gibbs(budget=6))
    drive = Drive(Toy(n_steps=3, end=(0.0, 0.0), cut=0.0), np.random.default_rng(0))
    state = search.init()
    while state.chains[0].iteration == 0:
        state, _ = search.step(state, drive.grow(search.grow(state)), drive.draw)
    whole = search.final(state)
    assert len(whole.leaves) == 3
    quick = Child(99, 0.9, 2.2, is_end=True)
    slow = Child(100, 0.5, 0.0)
    state, _ = search.step(state, {None: [quick, slow]}, drive.draw)
    assert search.grow(state) and search.final(state) == whole


def test_all_chains_end_before_any_begins_again() -> None:
    spec = Islands(method="islands", budget=8, islands=2, iterations=2, **TEXTBOOK)
    search = FilterSearch(spec)
    for seed in range(10):
        drive = Drive(TOY, np.random.default_rng(seed))
        state = search.init()
        while wanted := search.grow(state):
            state, _ = search.step(state, drive.grow(wanted), drive.draw)
            assert len({chain.iteration for chain in state.chains}) == 1
        assert {chain.iteration for chain in state.chains} == {1}


def test_an_exchange_is_accepted_by_the_ratio_of_the_targets() -> None:
    def target(log_odds: float, temperature: float) -> float:
        return math.exp(log_odds / temperature)

    for mine, other, hot, cold in [(0.3, 2.0, 3.0, 1.0), (2.0, 0.3, 3.0, 1.0), (1.0, -1.0, 1.0, 2)]:
        up = target(other, hot) * target(mine, cold)
        down = target(mine, hot) * target(other, cold)
        assert exchange_chance(mine, other, hot, cold) == pytest.approx(min(1.0, up / down))


def test_exchanges_leave_both_targets_as_they_are() -> None:
    rng, temperatures = np.random.default_rng(3), (2.5, 1.0)
    ended: tuple[list[str], list[str]] = ([], [])
    for _ in range(1500):
        drive = Drive(TOY, rng)
        chains = tuple(Chain(i, (), t) for i, t in enumerate(temperatures))
        begun = [
            (Particle(path=drive.script(TOY.draw_solution(rng, 1.0 / t))),) for t in temperatures
        ]
        for place, [reference] in enumerate(exchange(chains, begun, drive.draw)):
            ended[place].append(drive.prefixes[reference.path[-1].node])
    for drawn, temperature in zip(ended, temperatures, strict=True):
        power = 1.0 / temperature
        total = TOY.total(lambda x: 1.0, power)
        for of in SEEN:
            exact = TOY.total(of, power) / total
            assert abs(z_score([of(x) for x in drawn], exact)[1]) < 4.0


def test_chains_of_one_temperature_exchange_nothing() -> None:
    drive = Drive(TOY, np.random.default_rng(0))
    begun = [(Particle(path=drive.script(x)),) for x in ("AB", "BB")]
    chains = (Chain(0, (), 1.0), Chain(1, (), 1.0))
    assert exchange(chains, begun, drive.draw) == begun
