"""Both pocket models on real vLLM servers: scores, and an evaluation of several methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from butwait.evals.arm_score import score_arm
from butwait.evals.cells import read_arms
from butwait.evals.compare import compare_runs
from butwait.pipelines.sampling.engine import Endpoint
from butwait.pipelines.sampling.vllm_server import ManagedServer
from butwait.trainer.pocket.model import CHECKPOINTS
from butwait.trainer.pocket.prm.model import load_prm, render_scored, score_texts
from butwait.trainer.pocket.tokens import SYSTEM
from tests.eval_world import evaluate

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
PROBLEM = (
    "Ivy buys 3 pens for 4 dollars each and 5 cups for 2 dollars each. "
    "Ivy pays with 50 dollars. How many dollars does Ivy get back?"
)
REFERENCE = (
    "Step 1: 3 * 4 = 12\n\nStep 2: 5 * 2 = 10\n\nStep 3: 12 + 10 = 22\n\n"
    "Step 4: 50 - 22 = 28\n\nAnswer: \\boxed{28}"
)


def test_methods_of_one_budget_are_scored_side_by_side(
    tmp_path: Path, pocket_server: Endpoint, pocket_prm_server: ManagedServer
) -> None:
    attached: dict[str, Any] = {"mode": "attach", "served_name": pocket_server.served_name}
    document = {
        "name": "methods",
        "models": [{"name": "policy", "id": str(CHECKPOINTS / "policy")}],
        "benchmarks": [{"name": "pocket-validation", "limit": 40, "n_problems": 40}],
        "preset": "blog",  # 16,384 tokens do not fit into the pocket model's context
        "score_samples": True,
        "searches": [{"method": "particle", "budget": 8}],
        "prm": {"model": {"id": str(CHECKPOINTS / "prm")},
                "server": {"mode": "attach", "url": pocket_prm_server.url, "served_name": "prm"}},
        "server": {**attached, "url": pocket_server.url},
    }  # fmt: skip
    run = evaluate(tmp_path, document)
    plain, particle = (score_arm(cells) for cells in read_arms(run))
    assert plain.n_missing == particle.n_missing == plain.outcomes["errored"] == 0
    assert plain.best_at_k is not None and plain.maj_at_k is not None
    assert plain.best_at_k.value > plain.expected_at_1.value + 0.1
    assert plain.pass_at_k is not None and plain.pass_at_k.value >= plain.best_at_k.value
    assert particle.any_right is not None
    assert particle.any_right.value >= particle.expected_at_1.value > plain.expected_at_1.value
    assert particle.behaviour.mean_spent is not None and particle.behaviour.mean_tokens is not None
    assert particle.behaviour.mean_spent > 2 * particle.behaviour.mean_tokens
    assert compare_runs([run]).rows[1].finding == "better"


def test_a_real_pooling_server_gives_the_same_scores(pocket_prm_server: ManagedServer) -> None:
    prm = load_prm(CHECKPOINTS / "prm")
    slipped = REFERENCE.replace("12 + 10 = 22", "12 + 10 = 32")
    texts = [
        render_scored(prm[1], PROBLEM, steps, system)
        for system in (SYSTEM, None)
        for text in (REFERENCE, slipped)
        for steps in (text.split("\n\n"), [text], text.split("\n\n")[:3])
    ]
    body = {"model": "prm", "input": texts, "task": "token_classify", "add_special_tokens": False}
    reply = httpx.post(f"{pocket_prm_server.url}/pooling", json=body, timeout=120, trust_env=False)
    reply.raise_for_status()
    served = [[right for _, right in row["data"]] for row in reply.json()["data"]]
    for ours, theirs in zip(score_texts(*prm, texts), served, strict=True):
        assert theirs == pytest.approx(ours, abs=0.08)
