"""The nine defects of public implementations: each check fails on the version that has it.

The defective versions are written here, small and by description; ``docs/search.md`` lists them
with the names of these tests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_world import Judge, Policy, read_spec, search, tell_step

from benchmarks.search.statistics import EARLY, N_TAKEOVER, exact_takeover, takeover_shares
from benchmarks.search.toy import Drive, Toy, estimate, z_score
from butwait.pipelines.search.spool import TreeSpool
from butwait.pipelines.tables import read_records
from butwait.schemas.errors import RequestRefused, SamplerError
from butwait.schemas.recipe_search import Particle, ParticleGibbs, Scheme
from butwait.schemas.sampling import SampleRequest
from butwait.schemas.tree import SearchTree
from butwait.transforms.particle import filter as filter_module
from butwait.transforms.particle.filter import FilterSearch, FilterState
from butwait.transforms.particle.population import Chain, advance
from butwait.transforms.particle.population import Particle as Walker
from butwait.transforms.particle.resample import resample
from butwait.transforms.particle.weights import Floats
from butwait.transforms.search import steps as steps_module
from butwait.transforms.search.protocol import Child
from butwait.transforms.search.steps import has_answer_box

TEXTBOOK: dict[str, Any] = {"weighting": "incremental", "finished": "absorb"}
TOY = Toy(n_steps=3)
IS_A: Callable[[str], float] = lambda x: float(x[-1] == "A")  # noqa: E731


def particle(**more: Any) -> Particle:
    return Particle(method="particle", **{"budget": 4, **more})


# 1. The score of the prefix is the whole weight of every step.


def distance_from_posterior(spec: Particle) -> float:
    rng, search_, values = np.random.default_rng(3), FilterSearch(spec), []
    for _ in range(400):
        drive = Drive(TOY, rng)
        values.append(estimate(drive, drive.run(search_), IS_A))
    return abs(z_score(values, TOY.total(IS_A))[1])


def test_a_prefix_is_counted_once() -> None:
    assert distance_from_posterior(particle(**TEXTBOOK)) < 4.0
    assert distance_from_posterior(particle(weighting="full_prefix", finished="absorb")) > 6.0


# 2. Finished particles are weighted again at every later step.


def test_an_early_finisher_does_not_take_over() -> None:
    by_hand = exact_takeover()
    assert by_hand == pytest.approx((0.78, 0.99), abs=0.005)
    assert pytest.approx(by_hand[0]) == EARLY / (1 - EARLY) / (99 + 7 * 4)
    frozen = takeover_shares(200, "absorb")
    assert set(frozen[0]) == set(frozen[1]) == {1 / N_TAKEOVER}
    defective = takeover_shares(600, "compete")
    for shares, exact in zip(defective, by_hand, strict=True):
        assert abs(z_score(shares, exact)[1]) < 4.0 and np.mean(shares) > 0.7


# 3. Resampled once more after the last step, then weighted again.


def expected_share(final_of: Callable[[Floats, np.random.Generator], tuple[Any, Floats]]) -> float:
    """Mean weight of the first of two finished particles with odds 4 and 1, over many runs."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3000):
        who, weights = final_of(np.log([4.0, 1.0]), rng)
        found.append(float(weights[np.asarray(who) == 0].sum()))
    return float(np.mean(found))


def ours(log_odds: Floats, rng: np.random.Generator) -> tuple[Any, Floats]:
    search_ = FilterSearch(particle(budget=2))
    rewards = 1 / (1 + np.exp(-log_odds))
    children = [Child(i, rewards[i], log_odds[i], is_end=True) for i in range(2)]
    state, records = search_.step(search_.init(), {None: children}, lambda *names: rng)
    assert records == ()
    final = search_.final(state)
    return [leaf.node for leaf in final.leaves], np.exp(final.log_weights)


def squared(log_odds: Floats, rng: np.random.Generator) -> tuple[Any, Floats]:
    """The defective version."""
    who = resample("multinomial", log_odds, 2, rng)
    weights = np.exp(log_odds[who])
    return who, weights / weights.sum()


def test_final_weights_are_used_once() -> None:
    assert expected_share(ours) == pytest.approx(0.8)
    # 0.64 of the time both slots hold it, 0.32 of the time one with weight 0.8: not 0.8.
    assert expected_share(squared) == pytest.approx(0.64 + 0.32 * 0.8, abs=0.02)


# 4. A reference is weighted one step ahead; later iterations lose sampling parameters or prompt.


def weights_of_equal_prefixes() -> list[float | None]:
    """Weights of a reference and of a fresh particle that have said the same."""
    search_ = FilterSearch(ParticleGibbs(method="particle_gibbs", budget=4))
    drive = Drive(TOY, np.random.default_rng(0))
    reference = Walker(script=drive.script("BAA"), is_reference=True)
    state = FilterState((Chain(0, (reference, Walker()), 1.0, iteration=1),))
    same = Child(9, reference.script[0].reward, reference.script[0].log_odds)
    _, [record] = search_.step(state, {None: [same]}, drive.draw)
    return list(record.log_weights)


def look_ahead(walker: Walker, child: Child, weighting: Any) -> Walker:
    """The defective version: a reference is weighted by the reward of its next step."""
    moved = advance(walker, child, weighting)
    if not walker.is_reference:
        return moved
    ahead = moved.script[0].log_odds if moved.script else child.log_odds
    return Walker(moved.path, ahead, moved.is_done, moved.script, is_reference=True)


def test_a_reference_is_weighted_by_the_step_at_which_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert weights_of_equal_prefixes() == pytest.approx([math.log(0.5)] * 2)
    monkeypatch.setattr(filter_module, "advance", look_ahead)
    assert weights_of_equal_prefixes() != pytest.approx([math.log(0.5)] * 2)


def parameters_and_prompts(policy: Policy) -> set[Any]:
    return {(request.parameters, request.messages) for request in policy.requests}


def test_every_iteration_samples_with_the_same_parameters_and_prompt() -> None:
    policy = Policy()
    search(read_spec("particle_gibbs", budget=8, iterations=4), policy)
    assert len(policy.requests) > 8 and len(parameters_and_prompts(policy)) == 1
    later = policy.requests[-1]
    colder = later.parameters.model_copy(update={"temperature": 1.0})
    policy.requests.append(later.model_copy(update={"parameters": colder}))
    assert len(parameters_and_prompts(policy)) == 2


# 5. The resampling scheme is accepted and not passed on.


def is_systematic(spec: Particle) -> bool:
    """Whether slot counts never differ from n times weight by one or more."""
    search_, rng = FilterSearch(spec), np.random.default_rng(0)
    odds = np.array([0.3, 2.0, 1.0, 0.7])
    for _ in range(40):
        children = [Child(i, o / (1 + o), math.log(o)) for i, o in enumerate(odds)]
        _, [record] = search_.step(search_.init(), {None: children}, lambda *names: rng)
        counts = np.bincount(record.ancestors, minlength=4)
        if np.abs(counts - 4 * odds / odds.sum()).max() >= 1.0:
            return False
    return True


def test_the_resampling_scheme_that_was_asked_for_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_systematic(particle(scheme="systematic"))
    assert not is_systematic(particle(scheme="multinomial"))

    def always_multinomial(scheme: Scheme, weights: Floats, n: int, rng: Any) -> Any:
        return resample("multinomial", weights, n, rng)

    monkeypatch.setattr(filter_module, "resample", always_multinomial)
    assert not is_systematic(particle(scheme="systematic"))


# 6. Systematic resampling runs past the end where rounded weights add up to less than 1.


class NearOne:
    """A generator that draws the largest number below 1."""

    def random(self, n: int | None = None) -> Any:
        value = np.nextafter(1.0, 0.0)
        return value if n is None else np.full(n, value)


def walk_along(weights: Floats, n: int, rng: Any) -> list[int]:
    """The defective version: step to the next particle until the cumulative sum is reached."""
    points = (np.arange(n) + rng.random()) / n
    cumulative, found, j = np.cumsum(weights), [], 0
    for point in points:
        while point >= cumulative[j]:
            j += 1
        found.append(j)
    return found


def test_a_sum_of_weights_below_one_is_no_way_out() -> None:
    weights = np.array([0.1] * 10)
    assert weights.cumsum()[-1] < 1.0
    near_one: Any = NearOne()
    for n in (1, 10):
        assert max(resample("systematic", np.log(weights), n, near_one)) == 9
    with pytest.raises(IndexError):
        walk_along(weights, 1, near_one)


# 7. One failing request stops the whole question.


def refuse_one(request: SampleRequest, index: int) -> str | None:
    return "timeout" if request.step == "search-0-root" and index == 2 else None


class AllOrNothing(Policy):
    """The defective version: a refused sample is everybody's error."""

    async def grow(self, request: SampleRequest) -> list[Any]:
        grown = await super().grow(request)
        if any(isinstance(sample, RequestRefused) for sample in grown):
            raise SamplerError("a request failed")
        return grown


def test_one_failing_request_costs_one_particle() -> None:
    tree = search(read_spec("particle", budget=8), Policy(refuse=refuse_one)).tree
    assert [node.cut for node in tree.nodes[:8]].count("refused") == 1
    assert len(tree.final) > 1 and tree.selected is not None
    with pytest.raises(SamplerError):
        search(read_spec("particle", budget=8), AllOrNothing(refuse=refuse_one))


# 8. The bare word boxed ends a solution.


def restate(request: SampleRequest, name: int) -> tuple[str, bool]:
    if not request.prefix:
        return "I am to put the answer in \\boxed{} at the end.", False
    return tell_step(request, name)


def are_whole(tree: SearchTree) -> bool:
    return all(node.end is None for node in tree.nodes if node.step == 0) and bool(tree.final)


def test_a_restated_instruction_does_not_end_a_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_spec("particle", budget=4)
    assert has_answer_box("\\boxed{7}") and not has_answer_box("\\boxed{}")
    assert are_whole(search(spec, Policy(restate)).tree)
    monkeypatch.setattr(steps_module, "has_answer_box", lambda text: "\\boxed" in text)
    assert not are_whole(search(spec, Policy(restate)).tree)


# 9. Who was resampled is not kept, or in pickles under a name with letters missing.


def retell(tree: SearchTree) -> list[list[int]]:
    """Nodes at which each slot stood, step by step, from records alone.

    Raises:
        ValueError: The records do not lead to the final particles.
    """
    told: list[list[int]] = []
    stands: list[int | None] = [None] * tree.budget
    places = [record.particles for record in tree.resamplings] + [tree.final]
    for place, record in zip(places, [*tree.resamplings, None], strict=True):
        # A finished particle stays where it is, any other goes on to a child.
        pairs = zip(place, stands, strict=True)
        if not all(n == at or tree.nodes[n].parent == at for n, at in pairs):
            raise ValueError(f"{place} do not continue {stands}")
        told.append(list(place))
        if record is not None:
            stands = [record.particles[a] for a in record.ancestors]
    return told


def test_every_resampling_is_kept_and_can_be_retold() -> None:
    for seed, scheme in product(range(5), ("multinomial", "systematic", "residual")):
        spec = read_spec("particle", budget=6, scheme=scheme, max_steps=12)
        tree = search(spec, seed=seed).tree
        if any(node.fate == "cut" for node in tree.nodes) or not tree.resamplings:
            continue
        told = retell(tree)
        assert len(told) == len(tree.resamplings) + 1 and told[-1] == list(tree.final)
        lost = {n.id for n in tree.nodes if n.fate == "resampled_out"}
        seen = {node for record in tree.resamplings for node in record.particles}
        assert lost <= seen
        with pytest.raises(ValueError, match="do not continue"):
            retell(tree.model_copy(update={"resamplings": ()}))


@pytest.mark.parametrize("question_id", ["qson.json", "njosn", "a" * 27])
def test_trees_are_stored_under_their_questions_whole_name(
    tmp_path: Path, question_id: str
) -> None:
    tree = search(read_spec("particle", budget=4)).tree
    tree = tree.model_copy(update={"question_id": question_id})
    spool = TreeSpool(tmp_path / "spool", tmp_path / "trees.parquet")
    spool.keep(tree)
    kept = [path.name for path in (tmp_path / "spool").iterdir()]
    assert kept == [f"{question_id}.json"]
    assert json.loads((tmp_path / "spool" / kept[0]).read_text())["question_id"] == question_id
    spool.write([question_id])
    assert list(read_records(tmp_path / "trees.parquet", SearchTree)) == [tree]
    defective = f"{question_id}.json".strip(".json")
    assert (defective == question_id) == (question_id == "a" * 27)


def test_a_tree_with_dead_particles_survives_its_files(tmp_path: Path) -> None:
    outcome = search(read_spec("particle", budget=8), Policy(refuse=refuse_one), Judge())
    tree = outcome.tree
    assert any(None in record.log_weights for record in tree.resamplings)
    spool = TreeSpool(tmp_path / "spool", tmp_path / "trees.parquet")
    spool.keep(tree)
    spool.write([tree.question_id])
    assert list(read_records(tmp_path / "trees.parquet", SearchTree)) == [tree]
