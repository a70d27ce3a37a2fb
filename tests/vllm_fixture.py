"""The one real vLLM server of a test session, serving the pocket checkpoint.

``tests/conftest.py`` imports ``pocket_server``. Tests that use it carry ``@pytest.mark.vllm``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from butwait.pipelines.sampling.engine import Endpoint, open_sampler
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec

ROOT = Path(__file__).resolve().parents[1]
POCKET = "./trainer/pocket/checkpoints/policy"


@pytest.fixture(scope="session")
def pocket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A managed vLLM with the pocket policy, as a build starts it."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    folder = tmp_path_factory.mktemp("vllm")
    spec = ServerSpec(mode="managed", start_timeout_s=300)
    with open_sampler(ModelSpec(id=POCKET), spec, base=ROOT, log_dir=folder, say=print) as endpoint:
        yield endpoint
