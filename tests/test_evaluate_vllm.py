"""`butwait eval` on real vLLM servers: samples scored by a reward model, a filter and a vote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from butwait.evals.arm_score import score_arm
from butwait.evals.cells import read_arms
from butwait.evals.compare import compare_runs
from butwait.pipelines.sampling.engine import Endpoint
from butwait.pipelines.sampling.vllm_server import ManagedServer
from tests.eval_world import evaluate

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


def test_methods_of_one_budget_are_scored_side_by_side(
    tmp_path: Path, root: Path, pocket_server: Endpoint, pocket_prm_server: ManagedServer
) -> None:
    pocket = root / "trainer" / "pocket" / "checkpoints"
    attached: dict[str, Any] = {"mode": "attach", "served_name": pocket_server.served_name}
    document = {
        "name": "methods",
        "models": [{"name": "policy", "id": str(pocket / "policy")}],
        "benchmarks": [{"name": "pocket-validation", "limit": 40, "n_problems": 40}],
        "preset": "blog",  # 16,384 tokens do not fit into the pocket model's context
        "score_samples": True,
        "searches": [{"method": "particle", "budget": 8}],
        "prm": {"model": {"id": str(pocket / "prm")},
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
