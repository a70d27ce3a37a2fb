"""One question's search from its first request to its record, with policy and judge in memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from search_world import (
    POLICY,
    QUESTION,
    SEPARATOR,
    Judge,
    Policy,
    make_plan,
    rate_by_luck,
    read_spec,
    search,
    tell_step,
    tell_whole,
)

from butwait.pipelines.cache.asked import Asked
from butwait.pipelines.cached import NotCached
from butwait.pipelines.sampling.steps import Grown, StepSampler
from butwait.schemas.errors import RequestRefused, SamplerError
from butwait.schemas.recipe_search import SearchSpec, budget_parts
from butwait.schemas.sampling import Completion, SampleRequest
from butwait.schemas.scoring import ScoreRequest
from butwait.schemas.tree import SearchTree

FILTERS: dict[str, dict[str, Any]] = {
    "particle": {},
    "entropic_particle": {},
    "particle_gibbs": {"iterations": 2},
    "islands": {"islands": 2, "iterations": 2, "temperatures": (2.0, 1.0)},
}
METHODS: dict[str, dict[str, Any]] = {
    "best_of_n": {},
    "weighted_best_of_n": {},
    "self_consistency": {},
    "beam": {"width": 2},
    "dvts": {"width": 2},
    **FILTERS,
}
BUDGET = 8
every_method = pytest.mark.parametrize("method", METHODS)


def spec_of(method: str, **more: Any) -> SearchSpec:
    return read_spec(method, **{"budget": BUDGET, "max_steps": 8, **METHODS[method], **more})


def tell_for(method: str) -> Any:
    whole = method in ("best_of_n", "weighted_best_of_n", "self_consistency")
    return tell_whole if whole else tell_step


@every_method
def test_a_tree_holds_everything_that_grew_and_what_became_of_it(method: str) -> None:
    outcome = search(spec_of(method))
    tree = outcome.tree
    assert outcome.letter is None
    assert SearchTree.model_validate_json(tree.model_dump_json()) == tree
    parents = {node.parent for node in tree.nodes}
    for node in tree.nodes:
        assert (node.fate == "continued") == (node.id in parents)
        assert (node.fate == "finished") == (node.end is not None)
        assert (node.fate == "cut") == (node.cut is not None)
        assert (node.verdict is not None) == (node.fate == "finished")
        assert node.step == (0 if node.parent is None else tree.nodes[node.parent].step + 1)
        assert node.score is not None and 0.0 <= node.score <= 1.0
    lost = {node.fate for node in tree.nodes} - {"continued", "finished", "cut"}
    assert lost <= {"resampled_out" if method in FILTERS else "pruned"}
    assert sum(map(math.exp, tree.final_log_weights)) == pytest.approx(1.0)
    assert all(tree.nodes[leaf].fate == "finished" for leaf in tree.final)
    assert tree.selected in tree.final and tree.answer is not None
    assert sum(vote.n for vote in tree.votes) == len(tree.final)


@every_method
def test_every_method_begins_its_budget_and_counts_alike(method: str) -> None:
    spec = spec_of(method)
    judge, policy = Judge(), Policy(tell_for(method))
    usage = search(spec, policy, judge).tree.usage
    # A reference is not begun anew: it stands for one of an iteration's particles.
    again = {"particle_gibbs": 1, "islands": 2}.get(method, 0)
    assert usage.n_samples == BUDGET - again
    assert usage.n_steps == sum(request.n for request in policy.requests)
    assert usage.n_scored == len(judge.requests) == usage.n_steps
    assert usage.n_tokens > usage.n_steps and usage.n_prompt_tokens >= 10 * usage.n_steps
    assert BUDGET % budget_parts(spec) == 0


@every_method
def test_the_order_of_replies_changes_nothing(method: str) -> None:
    tell = tell_for(method)
    trees = [
        search(spec_of(method), Policy(tell, delay_seed=s), Judge(delay_seed=s)).tree
        for s in (None, 1, 2)
    ]
    assert trees[0] == trees[1] == trees[2]


@every_method
def test_another_seed_is_another_search(method: str) -> None:
    one, other = (search(spec_of(method), seed=seed).tree for seed in (0, 1))
    assert one.nodes != other.nodes


class Memory:
    """A cache in memory."""

    def __init__(self) -> None:
        self.items: dict[str, Completion] = {}

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        return {key: self.items[key] for key in keys if key in self.items}

    def put(self, items: Mapping[str, Completion], asked: Asked) -> None:
        for key, item in items.items():
            self.items.setdefault(key, item)


class Unseeded:
    """An engine that never says the same twice, as vLLM does without a seed."""

    identity = POLICY

    def __init__(self, seed: int, tell: Any) -> None:
        self._rng = np.random.default_rng(seed)
        self._policy = Policy(tell)

    async def sample_each(self, request: SampleRequest, indices: Any) -> list[Grown]:
        heard = request.model_copy(update={"seed": int(self._rng.integers(2**40))})
        grown = await self._policy.grow(heard)
        named = [(i, {"index": i, "seed": request.seed + i}) for i in indices]
        return [
            answer.model_copy(update=name) if isinstance(answer := grown[i], Completion) else answer
            for i, name in named
        ]


def unseeded(seed: int, tell: Any) -> Any:
    return Unseeded(seed, tell)


@every_method
def test_the_cache_alone_grows_the_same_tree_again(method: str) -> None:
    cache, spec, tell = Memory(), spec_of(method), tell_for(method)
    first = search(spec, StepSampler(unseeded(1, tell), cache, POLICY)).tree
    replayed = StepSampler(None, cache, POLICY)
    assert search(spec, replayed).tree == first
    assert replayed.n_hits == first.usage.n_steps
    assert search(spec, StepSampler(unseeded(2, tell), cache, POLICY)).tree == first
    fresh = search(spec, StepSampler(unseeded(2, tell), Memory(), POLICY)).tree
    assert fresh.nodes != first.nodes


def test_without_an_engine_what_is_not_cached_is_named() -> None:
    with pytest.raises(NotCached, match=QUESTION.id):
        search(spec_of("particle"), StepSampler(None, Memory(), POLICY))


@every_method
def test_a_refusal_costs_one_sample_and_no_other(method: str) -> None:
    def refuse(request: SampleRequest, index: int) -> str | None:
        return "server_error" if index == 1 and request.step == "search-0-root" else None

    outcome = search(spec_of(method), Policy(tell_for(method), refuse=refuse))
    refused = [node for node in outcome.tree.nodes if node.cut == "refused"]
    assert [(node.id, node.text, node.n_tokens, node.score) for node in refused] == [
        (1, "", 0, None)
    ]
    assert outcome.letter is None and outcome.tree.selected is not None
    assert 1 not in outcome.tree.final


@every_method
@pytest.mark.parametrize("said", ["nan", "two", "above", "refused"])
def test_what_the_judge_does_not_score_is_never_given_a_number(method: str, said: str) -> None:
    def rate(request: ScoreRequest) -> tuple[float, ...]:
        if "w1" not in request.steps[0]:
            return rate_by_luck(request)
        if said == "refused":
            raise RequestRefused("timeout", "the judge took too long")
        return {"nan": (math.nan,), "two": (0.5, 0.5), "above": (1.5,)}[said]

    tree = search(spec_of(method), judge=Judge(rate)).tree
    unscored = [node for node in tree.nodes if node.cut == "unscored"]
    assert unscored and all(node.score is None and node.step_score is None for node in unscored)
    assert not {node.id for node in unscored} & set(tree.final)


def test_a_judge_that_never_answers_leaves_a_letter_with_its_reason() -> None:
    def rate(request: ScoreRequest) -> tuple[float, ...]:
        raise RequestRefused("timeout", "the judge took too long")

    outcome = search(spec_of("particle"), judge=Judge(rate))
    assert outcome.letter is not None and outcome.letter.reason == "timeout"
    assert "8 unscored" in outcome.letter.detail
    assert outcome.tree.final == () and outcome.tree.selected is None and outcome.tree.votes == ()


@pytest.mark.parametrize("seed", [None, 3, 4, 5])
def test_a_letters_reason_does_not_depend_on_which_refusal_came_last(seed: int | None) -> None:
    def refuse(request: SampleRequest, index: int) -> str | None:
        return "timeout" if index % 3 else "server_error"

    letter = search(spec_of("particle"), Policy(refuse=refuse, delay_seed=seed)).letter
    assert letter is not None
    assert (letter.reason, letter.detail) == (
        "timeout",
        "sample 1 of search-0-root (all particles: 8 refused)",
    )


def test_a_dead_server_is_an_error_and_not_a_tree() -> None:
    class Gone(Policy):
        async def grow(self, request: SampleRequest) -> list[Any]:
            raise SamplerError("the server is gone")

    with pytest.raises(SamplerError, match="gone"):
        search(spec_of("beam"), Gone())


@pytest.mark.parametrize(
    ("tell", "cut", "reason"),
    [
        (lambda request, name: ("", True), "empty", "all_particles_dead"),
        (lambda request, name: ("on" * 300, False), "max_steps", "no_separator"),
        (lambda request, name: ("on", False), "max_steps", "all_particles_dead"),
    ],
)
@pytest.mark.parametrize("method", ["particle", "beam", "dvts", "particle_gibbs"])
def test_a_policy_that_comes_to_nothing_is_told_by_name(
    method: str, tell: Any, cut: str, reason: str
) -> None:
    outcome = search(spec_of(method, max_step_tokens=20), Policy(tell))
    assert outcome.letter is not None and outcome.letter.reason == reason
    cuts = Counter(node.cut for node in outcome.tree.nodes if node.fate == "cut")
    assert set(cuts) == {cut} and f"{cuts[cut]} {cut}" in outcome.letter.detail  # type: ignore[index]
    if reason == "no_separator":
        assert repr(SEPARATOR) in outcome.letter.detail
    assert outcome.tree.final_log_weights == ()


def test_a_policy_that_says_nothing_at_all_is_cut_in_whole_samples_too() -> None:
    outcome = search(spec_of("best_of_n"), Policy(lambda request, name: (" ", True)))
    assert {node.cut for node in outcome.tree.nodes} == {"empty"}
    assert outcome.letter is not None and outcome.tree.usage.n_scored == 0


def test_a_context_that_is_full_is_named_whether_refused_or_cut_short() -> None:
    def refuse(request: SampleRequest, index: int) -> str | None:
        return "context_overflow" if request.prefix.count(SEPARATOR) == 2 and index == 0 else None

    tree = search(spec_of("particle"), Policy(refuse=refuse)).tree
    assert {node.cut for node in tree.nodes if node.fate == "cut"} == {"context_overflow"}
    every = Policy(refuse=lambda request, index: "context_overflow")
    letter = search(spec_of("particle"), every).letter
    assert letter is not None and letter.reason == "context_overflow"

    class Short(Policy):
        def _sample(self, request: SampleRequest, index: int) -> Any:
            grown: Any = super()._sample(request, index)
            return grown.model_copy(update={"finish_reason": "length", "stop_reason": None})

    outcome = search(spec_of("particle"), Short())
    assert {node.cut for node in outcome.tree.nodes} == {"context_overflow"}


@pytest.mark.parametrize("method", ["particle", "beam", "dvts", "particle_gibbs", "islands"])
def test_spent_tokens_cut_what_would_have_gone_on(method: str) -> None:
    whole = search(spec_of(method)).tree
    for share in (0.3, 0.6, 0.9):
        most = int(whole.usage.n_tokens * share)
        tree = search(spec_of(method, max_tokens_total=most)).tree
        assert {node.cut for node in tree.nodes} <= {None, "budget"}
        # Only the round under way goes over it.
        assert most <= tree.usage.n_tokens <= whole.usage.n_tokens
        if share < 0.5:
            assert len(tree.nodes) < len(whole.nodes)
        parents = {node.parent for node in tree.nodes}
        assert all((node.fate == "continued") == (node.id in parents) for node in tree.nodes)
    first = search(spec_of(method, max_tokens_total=1))
    assert first.letter is not None and "budget" in first.letter.detail
    assert {node.cut for node in first.tree.nodes} <= {"budget", None}


@pytest.mark.parametrize("method", ["best_of_n", "weighted_best_of_n", "self_consistency"])
def test_whole_samples_are_asked_for_in_waves_until_the_tokens_are_spent(method: str) -> None:
    whole = search(spec_of(method, budget=16)).tree
    most = whole.usage.n_tokens // 2
    tree = search(spec_of(method, budget=16, max_tokens_total=most)).tree
    assert most <= tree.usage.n_tokens < whole.usage.n_tokens
    assert 2 <= tree.usage.n_samples < 16
    free = search(spec_of(method, budget=16, max_tokens_total=10**9)).tree
    assert free.usage.n_samples == 16


def test_a_second_sweep_that_is_cut_leaves_its_references_whole() -> None:
    spec = spec_of("particle_gibbs", budget=16, scheme="systematic")
    n_tokens = search(spec).tree.usage.n_tokens
    for most in range(n_tokens // 2, n_tokens, max(1, n_tokens // 20)):
        tree = search(spec.model_copy(update={"max_tokens_total": most})).tree
        parents = {node.parent for node in tree.nodes}
        assert not [node for node in tree.nodes if node.cut == "budget" and node.id in parents]
        assert tree.final


def test_a_search_without_a_judge_counts_votes_alone() -> None:
    tree = search(spec_of("self_consistency"), aggregation=None).tree
    assert tree.prm is None and all(node.score is None for node in tree.nodes)
    assert np.exp(tree.final_log_weights) == pytest.approx([1 / BUDGET] * BUDGET)
    assert tree.answer is not None and tree.answer.n == max(vote.n for vote in tree.votes)
    assert tree.usage.n_scored == 0


@pytest.mark.parametrize("aggregation", ["model", "prod", "min", "last"])
def test_the_judge_is_asked_about_whole_prefixes_or_about_their_steps(aggregation: Any) -> None:
    judge = Judge()
    tree = search(spec_of("particle"), judge=judge, aggregation=aggregation).tree
    deep = max(judge.requests, key=lambda request: len("".join(request.steps)))
    assert "".join(deep.steps) in {tree.text(node.id) for node in tree.nodes}
    assert (len(deep.steps) == 1) == (aggregation == "model")
    assert deep.log_probs is not None and len(deep.log_probs) == len(deep.steps)
    for node in tree.nodes:
        if aggregation == "prod" and node.parent is not None:
            before = tree.nodes[node.parent].score
            assert before is not None and node.step_score is not None
            assert node.score == pytest.approx(before * node.step_score)


@pytest.mark.parametrize("method", ["particle", "particle_gibbs", "beam"])
def test_every_request_continues_the_very_tokens_that_were_sampled(method: str) -> None:
    policy = Policy()
    search(spec_of(method), policy)
    names = [request.step for request in policy.requests]
    assert len(set(names)) == len(names)
    for request in policy.requests:
        assert request.parameters == policy.requests[0].parameters  # in every iteration
        assert request.messages == policy.requests[0].messages and request.messages
        if request.prefix:
            assert request.prefix_tokens == tuple(map(ord, request.prefix))
            assert request.prefix.endswith(SEPARATOR)


def test_text_goes_where_a_separator_may_share_a_token_with_what_follows() -> None:
    policy = Policy(lambda request, name: ("so", "so##so" in request.prefix))
    search(spec_of("particle", separator="##", budget=2), policy)
    assert all(request.prefix_tokens is None for request in policy.requests)


def test_a_question_without_gold_is_answered_and_not_judged() -> None:
    import asyncio

    from butwait.pipelines.search.question import QuestionSearch

    plan = make_plan(spec_of("particle"))
    run = QuestionSearch(QUESTION, plan, Policy(), Judge(), has_gold=False).run()  # type: ignore[arg-type]
    tree = asyncio.run(run).tree
    assert all(node.verdict is None for node in tree.nodes)
    assert tree.answer is not None and tree.votes
