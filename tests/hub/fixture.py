"""Fixtures around the test Hub: a clean server for each test, and real clients to call it with.

The clients read ``HF_ENDPOINT`` when they are imported. ``hub_api`` passes the endpoint by hand;
what cannot (``datasets``) runs in a process of its own through ``run_client``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hub.server import HubServer, run_server
from hub.state import ALICE_WRITE

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from butwait.pipelines.publish import PushResult

# Read once at import of huggingface_hub: the lane over LFS is the one in which faults can be set.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# Here, and not in the first test that needs it: some tests run commands without these variables.
import huggingface_hub.constants  # noqa: F401


def pytest_configure(config: pytest.Config) -> None:
    """Let huggingface_hub upload the way it does: its HTTP library advises against ``data=``."""
    ignored = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
    config.addinivalue_line("filterwarnings", ignored)


class ClientRunner(Protocol):
    """Runs Python code in a fresh process whose Hub is the test Hub."""

    def __call__(
        self,
        code: str,
        *,
        token: str | None = ALICE_WRITE,
        xet: bool = False,
        check: bool = True,
        home: Path | None = None,
        timeout_s: float = 180.0,
    ) -> subprocess.CompletedProcess[str]: ...


class Push(Protocol):
    """Pushes to the test Hub and keeps what was told."""

    told: list[str]
    waits: list[float]

    def __call__(
        self,
        run: Path,
        repo_id: str = "alice/tiny",
        *,
        token: str | None = ALICE_WRITE,
        **more: Any,
    ) -> PushResult: ...


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """One test Hub for the whole session; use ``hub``, which is clean."""
    with run_server(tmp_path_factory.mktemp("hub_store")) as server:
        yield server


@pytest.fixture
def hub(hub_server: HubServer) -> Iterator[HubServer]:
    """The test Hub without repositories, faults or recorded requests."""
    hub_server.reset()
    yield hub_server
    hub_server.faults.clear()


@pytest.fixture
def hub_api(hub: HubServer) -> Callable[[str | None], HfApi]:
    """Make a real HfApi client for a token (None: nobody)."""
    from huggingface_hub import HfApi

    def make(token: str | None = ALICE_WRITE) -> HfApi:
        return HfApi(endpoint=hub.endpoint, token=token or False)

    return make


def client_environment(hub: HubServer, home: Path, token: str | None, xet: bool) -> dict[str, str]:
    """Return the environment in which the real clients see only the test Hub."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    env |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }
    if token is not None:
        env["HF_TOKEN"] = token
    if not xet:
        env["HF_HUB_DISABLE_XET"] = "1"
    return env


@pytest.fixture
def run_client(hub: HubServer, tmp_path: Path) -> ClientRunner:
    """Run a Python snippet in a process with the test Hub's environment and a fresh home."""
    homes = iter(range(1000))

    def run(
        code: str,
        *,
        token: str | None = ALICE_WRITE,
        xet: bool = False,
        check: bool = True,
        home: Path | None = None,
        timeout_s: float = 180.0,
    ) -> subprocess.CompletedProcess[str]:
        home = home or tmp_path / f"hf_home_{next(homes)}"
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=client_environment(hub, home, token, xet),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"the client ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.fixture
def push(hub: HubServer) -> Push:
    """Push without waiting between attempts."""

    def call(
        run: Path, repo_id: str = "alice/tiny", *, token: str | None = ALICE_WRITE, **more: Any
    ) -> PushResult:
        from butwait.pipelines.publish import PushOptions, push_run

        return push_run(
            run,
            repo_id,
            PushOptions(**more),
            token=token,
            endpoint=hub.endpoint,
            progress=call.told.append,  # type: ignore[attr-defined]
            sleep=call.waits.append,  # type: ignore[attr-defined]
        )

    call.told, call.waits = [], []  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]
