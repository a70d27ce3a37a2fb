"""Searches inside a build: trees beside the samples, an honest ledger, and the commands on top."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from build_world import build, dataset_bytes, recipe_document, write_questions
from fake_openai import FakeOpenAI
from fake_prm import FakePrm
from handmade import make_question
from pydantic import TypeAdapter

from butwait.pipelines.cli import run_command
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.sampling.batches import BatchClient
from butwait.pipelines.sampling.connect import connect
from butwait.pipelines.sampling.steps import StepSampler
from butwait.pipelines.search.question import SearchPlan
from butwait.pipelines.search.searcher import Searcher
from butwait.pipelines.stages.sample_question import AskPlan
from butwait.pipelines.summary import read_ledger
from butwait.pipelines.tables import read_records
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.recipe import SamplingSpec
from butwait.schemas.recipe_search import PrmSpec, SearchSpec
from butwait.schemas.tree import SearchTree

_SUM = re.compile(r"What is (\d+) plus (\d+)\?")
_DRAWS = count()
N_QUESTIONS = 12


def step_by_step(payload: dict[str, Any], index: int) -> str:
    """Go on with a sum after what has been said; every draw is another, as without a seed."""
    said = payload["prompt"].rpartition("<|assistant|>")[2]
    a, b = (int(n) for n in _SUM.findall(payload["prompt"])[-1])
    luck = hashlib.sha256(f"{payload['prompt']}{next(_DRAWS)}".encode()).digest()[0]
    told = re.search(r"That gives (\d+)", said)
    if not said.strip():
        return f"I take {a} and add {b}.\n\n"
    if told is None:
        return f"That gives {a + b if luck < 128 else a + b + 1 + luck % 3}.\n\n"
    return f"The answer is \\boxed{{{told.group(1)}}}."


def judge(text: str, row: Any) -> Any:
    """Reward a right sum; the request's other steps stay as they are."""
    if not _SUM.search(text):
        return row  # what a new connection asks
    a, b = (int(n) for n in _SUM.findall(text)[-1])
    told = re.search(r"That gives (\d+)", text)
    reward = 0.6 if told is None else 0.8 if int(told.group(1)) == a + b else 0.4
    return [[1 - reward, reward]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Path, dict[str, Any], FakeOpenAI, FakePrm]]:
    """Questions, a recipe with a search, a policy and a reward model."""
    write_questions(tmp_path / "sums.jsonl", N_QUESTIONS)
    prm = FakePrm(model="fake/prm")
    prm.spoil = judge
    with FakeOpenAI(answer=step_by_step).running() as policy, prm.running():
        document = recipe_document(
            policy.url,
            sampling={"n": 0, "max_tokens": 200},
            search={"method": "particle", "budget": 6, "max_step_tokens": 50},
            prm={
                "model": {"id": "fake/prm"},
                "server": {"url": prm.url, "served_name": "fake/prm", "n_retries": 3},
            },
            rows={
                "default": {"transform": "backtrack", "format": "think_boxed"},
                "faithful": {"transform": "backtrack", "dead": "faithful"},
                "correct_only": {"transform": "correct_only"},
                "preference": {"transform": "preference"},
                "step_labels": {"transform": "step_labels"},
            },
        )
        yield tmp_path, document, policy, prm


def read_trees(run: RunFolder) -> list[SearchTree]:
    return [tree for part in run.tree_parts() for tree in read_records(part, SearchTree)]


def test_a_build_keeps_a_tree_a_question_and_makes_rows_of_them(world: Any) -> None:
    folder, document, policy, _ = world
    run = build(folder, document)
    trees = read_trees(run)
    assert len(trees) == N_QUESTIONS
    assert all(tree.usage.n_samples == 6 and len(tree.final) == 6 for tree in trees)
    assert all(node.score is not None for tree in trees for node in tree.nodes)
    assert all(node.log_prob is not None for tree in trees for node in tree.nodes)
    # The reward model is right, so the chosen answer is, wherever a right one was met.
    for tree in trees:
        verdicts = {leaf.verdict for leaf in tree.leaves()}
        assert tree.selected is not None
        assert tree.nodes[tree.selected].verdict == (
            "correct" if "correct" in verdicts else "incorrect"
        )
    ledger = read_ledger(run.root)
    assert ledger.searches is not None and ledger.leaves is not None
    assert ledger.searches.total == N_QUESTIONS
    assert ledger.leaves.total == sum(
        node.fate != "continued" for tree in trees for node in tree.nodes
    )
    for name, account in ledger.rows.items():
        assert account.total > 0, name
    assert all("seed" not in payload for payload in policy.payloads)


def test_a_build_again_from_the_cache_is_the_same_byte_for_byte_without_a_server(
    world: Any,
) -> None:
    folder, document, policy, _ = world
    first = build(folder, document)
    n_asked = policy.n_completions
    before = dataset_bytes(first), read_trees(first)
    lines: list[str] = []
    again = build(folder, document, out="runs2", say=lines.append)
    assert policy.n_completions == n_asked
    assert dataset_bytes(again) == before[0]
    assert read_trees(again) == before[1]
    assert any("no model is started" in line for line in lines)


def test_samples_and_searches_of_one_build_stand_side_by_side(world: Any) -> None:
    folder, document, _, _ = world
    document["sampling"]["n"] = 3
    document["rows"]["verified"] = {"transform": "verified"}
    run = build(folder, document)
    ledger = read_ledger(run.root)
    assert ledger.samples.total == 3 * N_QUESTIONS
    assert ledger.searches is not None and ledger.searches.total == N_QUESTIONS


def test_a_question_whose_rewards_are_no_numbers_is_a_dead_letter_and_asked_again_later(
    world: Any,
) -> None:
    folder, document, _, prm = world

    def spoil(text: str, row: Any) -> Any:
        return [[0.5, 1.7]] if "What is 13 plus" in text else judge(text, row)

    prm.spoil = spoil
    run = build(folder, document)
    letters = [x for p in run.dead_letters.glob("*.parquet") for x in read_records(p, DeadLetter)]
    [letter] = [x for x in letters if x.item.endswith("-search")]
    assert letter.reason == "bad_score"
    assert "1.7" in letter.detail
    ledger = read_ledger(run.root)
    assert ledger.searches is not None and ledger.searches.bins["failed: bad_score"] == 1
    spoiled = next(t for t in read_trees(run) if t.question_id == letter.question_id)
    assert {node.cut for node in spoiled.nodes} == {"unscored"}
    prm.spoil = judge
    mended = read_ledger(build(folder, document).root)
    assert mended.searches is not None and "failed: bad_score" not in mended.searches.bins


def test_failures_that_pass_cost_nothing(world: Any) -> None:
    folder, document, policy, prm = world
    policy.faults.extend(["500", "reset", "cut", "fewer"])
    later = ["500", "cut"]  # the first request of a connection asks what the server can

    def spoil(text: str, row: Any) -> Any:
        if _SUM.search(text) and later:
            prm.faults.append(later.pop())  # type: ignore[arg-type]
        return judge(text, row)

    prm.spoil = spoil
    run = build(folder, document)
    assert all(len(tree.final) == 6 for tree in read_trees(run))
    assert not list(run.dead_letters.glob("trajectories-*.parquet"))


def test_the_commands_show_a_tree_score_the_run_and_solve_a_question(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, document, _, _ = world
    run = build(folder, document)
    tree = read_trees(run)[0]
    assert run_command(["tree", str(run.root)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == N_QUESTIONS
    assert run_command(["tree", str(run.root), tree.question_id[:14]]) == 0
    shown = capsys.readouterr().out
    assert "particle, budget 6" in shown and "<- chosen" in shown
    assert run_command(["tree", str(run.root), tree.question_id, "--json"]) == 0
    assert SearchTree.model_validate_json(capsys.readouterr().out) == tree
    assert run_command(["tree", str(run.root), "nobody"]) == 2
    assert run_command(["score", str(run.root)]) == 0
    assert "chosen answer right" in capsys.readouterr().out
    recipe = folder / "recipe.json.yaml"
    recipe.write_text(json.dumps(document), encoding="utf-8")
    for method in ("particle", "beam", "self_consistency"):
        arguments = ["solve", "What is 30 plus 12?", "--method", method, "--budget", "8"]
        arguments += ["--recipe", str(recipe), "--cache", str(folder / "solve.sqlite"), "--json"]
        assert run_command([*arguments, "--gold", "42"]) == 0
        solved = json.loads(capsys.readouterr().out)
        assert solved["usage"]["n_samples"] == 8
        assert solved["method"] == method
        assert sum(vote["n"] for vote in solved["votes"]) <= 8
        if method != "self_consistency":  # the policy of this world says one step a request
            assert solved["verdict"] in ("correct", "incorrect")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"search": {"method": "beam", "budget": 6}}, "take 4, 8"),
        ({"prm": None}, "needs 'prm'"),
        ({"search": None, "prm": None}, "grow from trees"),
        ({"rows": {"default": {"transform": "verified"}}}, "sampling.n is 0"),
    ],
)
def test_a_search_that_cannot_run_is_refused_before_any_work(
    world: Any, change: dict[str, Any], said: str
) -> None:
    folder, document, policy, _ = world
    recipe = folder / "recipe.json.yaml"
    recipe.write_text(json.dumps({**document, **change}), encoding="utf-8")
    from butwait.pipelines.recipe_file import load_recipe
    from butwait.schemas.errors import ConfigError

    with pytest.raises(ConfigError, match=said):
        load_recipe(recipe)
    assert not policy.payloads


class _Certainty:
    """Scores by the policy's own certainty."""

    async def score(self, request: Any) -> tuple[float, ...]:
        return tuple(math.exp(x) for x in request.log_probs)


def test_a_question_of_512_particles_does_not_hold_up_small_ones() -> None:
    sampling = SamplingSpec(max_tokens=200, prompt="none")
    ask = AskPlan(0, sampling, None, "none", None, False, 1.0, False)
    done: list[str] = []

    async def play(url: str) -> None:
        client = connect(url)
        steps = StepSampler(
            BatchClient(client, max_batch=32, max_in_flight=2), None, client.identity
        )

        async def run(name: str, budget: int) -> None:
            spec: Any = TypeAdapter(SearchSpec).validate_python(
                {"method": "particle", "budget": budget, "max_step_tokens": 50}
            )
            plan = SearchPlan(ask, spec, PrmSpec(layout="self_certainty"), client.identity)
            question = make_question(id=name, problem="What is 1 plus 2?", gold="3")
            await Searcher(plan, steps, _Certainty()).search(question)  # type: ignore[arg-type]
            done.append(name)

        large = asyncio.create_task(run("large", 512))
        await asyncio.sleep(0.05)
        await asyncio.gather(large, *(run(f"small-{i}", 4) for i in range(8)))

    with FakeOpenAI(answer=step_by_step, delay_s=0.02).running() as policy:
        asyncio.run(play(policy.url))
    assert done[-1] == "large"


class _Even:
    """Finds everything equally good."""

    async def score(self, request: Any) -> tuple[float, ...]:
        return (0.5,) * len(request.steps)


def test_the_transformers_engine_grows_steps_too(root: Path) -> None:
    from butwait.pipelines.sampling.steps import SeededSteps
    from butwait.pipelines.sampling.transformers_engine import TransformersSampler
    from butwait.schemas.sampling import ModelIdentity

    identity = ModelIdentity(id="pocket", revision=None, engine="transformers")
    folder = root / "trainer" / "pocket" / "checkpoints" / "policy"

    async def play() -> SearchTree:
        sampler = TransformersSampler(str(folder), identity)
        try:
            spec: Any = TypeAdapter(SearchSpec).validate_python(
                {"method": "particle", "budget": 4, "max_step_tokens": 60}
            )
            ask = AskPlan(0, SamplingSpec(prompt="qwen"), None, "qwen", None, False, 1.0, False)
            plan = SearchPlan(ask, spec, PrmSpec(layout="self_certainty"), identity)
            problem = "Eva has 45 pens. Eva buys 4 boxes with 9 pens each. How many has Eva now?"
            question = make_question(problem=problem, gold="81")
            searcher = Searcher(plan, SeededSteps(sampler), _Even())  # type: ignore[arg-type]
            return (await searcher.search(question)).tree
        finally:
            await sampler.close()

    tree = asyncio.run(play())
    assert tree == asyncio.run(play())  # seeds are sent: the same again without a cache
    assert max(node.step for node in tree.nodes) >= 1
    assert len(tree.final) == 4 and tree.selected is not None


def test_a_dry_run_whose_searches_were_all_refused_has_no_estimate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from butwait.pipelines.dry_run import _print_estimate

    refused: Any = SimpleNamespace(tokens=[0])  # a search that grew no step spent no token
    nothing: Any = None
    _print_estimate(nothing, nothing, [refused, refused], 1.0)
    assert "no estimate" in capsys.readouterr().out
