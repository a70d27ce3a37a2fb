"""Shared fixtures: the real data when it is beside the checkout, and a friendly word when the
package is not installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

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

POCKET_SERVER_FILES = {
    "test_pocket_vllm.py",
    "test_quickstart.py",
    "test_sampling_vllm.py",
    "test_search_vllm.py",
}

ROOT = Path(__file__).resolve().parents[1]

if importlib.util.find_spec("butwait") is None:
    pytest.exit("butwait is not installed in this environment: run `make setup` first", 3)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the files that share a vLLM server in one worker, and every other file in one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "pocket_server" if Path(file).name in POCKET_SERVER_FILES else file

    # Not its loadgroup: that groups nothing under pytest 9.2 (pytest-xdist issue 1386).
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the vLLM servers: a minute each, not to be met at the end by one worker alone."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("vllm") is None)


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
