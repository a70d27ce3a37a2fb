"""Shared fixtures: the real data when it is beside the checkout, and a friendly word when the
package is not installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A deadline an example, or a slow first draw, measures the machine (on a new one hypothesis makes
# its Unicode tables first). CI draws the same examples every time, a laptop new ones.
settings.register_profile(
    "butwait",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("butwait")

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

pytest_plugins = ["hub.fixture", "vllm_fixture"]

ROOT = Path(__file__).resolve().parents[1]

if importlib.util.find_spec("butwait") is None:
    pytest.exit("butwait is not installed in this environment: run `make setup` first", 3)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real questions and recorded trajectories that may stand beside a checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data is not beside this checkout (../shared/data)")
    return folder
