"""Real vLLM servers that serve the pocket checkpoints: one for the session, one for a module.

``tests/conftest.py`` imports this. Tests that use one carry ``@pytest.mark.vllm``.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from butwait.pipelines.sampling.engine import Endpoint, open_sampler
from butwait.pipelines.sampling.identity import resolve_model
from butwait.pipelines.sampling.vllm_server import ManagedServer
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec

ROOT = Path(__file__).resolve().parents[1]
POCKET = "./trainer/pocket/checkpoints/policy"
PRM = "./trainer/pocket/checkpoints/prm"


@pytest.fixture(scope="session")
def pocket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A managed vLLM with the pocket policy, as a build starts it."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    folder = tmp_path_factory.mktemp("vllm")
    spec = ServerSpec(mode="managed", start_timeout_s=300)
    with open_sampler(ModelSpec(id=POCKET), spec, base=ROOT, log_dir=folder, say=print) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def pocket_prm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedServer]:
    """A managed vLLM that scores steps with the pocket's process reward model, named ``prm``."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    record = json.loads((ROOT / PRM / "training.json").read_text("utf-8"))
    pooler = {"pooling_type": "STEP", "step_tag_id": record["step_tag_id"]}
    spec = ServerSpec(
        mode="managed",
        served_name="prm",
        start_timeout_s=400,
        args=("--runner", "pooling", "--pooler-config", json.dumps(pooler)),
    )
    model = resolve_model(ModelSpec(id=PRM), ROOT)
    log = tmp_path_factory.mktemp("vllm-prm") / "vllm.log"
    with ManagedServer(model, spec, log, print) as server:
        yield server
