"""What this machine has and lacks for butwait, each with the command that installs it.

Slow looks (does vLLM import, is the Hub there) happen in processes or requests with a limit, so
that a broken installation is a line and not a hang. The Hub token is never printed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from butwait.pipelines.cache import Place
from butwait.schemas.errors import ButwaitError
from butwait.schemas.record import Record

State = Literal["ok", "note", "missing"]
LOOK_S = 120.0
LEAST_FREE_GB = 5.0
_DEVICE = "from vllm.platforms import current_platform as p; print(p.device_name or p.device_type)"
_INSTALL = {
    "butwait[train]": ("torch", "transformers", "trl", "peft", "accelerate"),
    "butwait[vllm]": ("vllm",),
    "butwait[postgres]": ("psycopg",),
}


class Finding(Record):
    """One line of the examination."""

    name: str
    state: State
    """``missing``: some command will not run; ``note``: fine, with something to know."""
    found: str
    way_out: str = ""
    """The command that mends it."""


def examine(
    cache: Place, runs: Path, *, endpoint: str | None, is_online: bool = True
) -> Iterator[Finding]:
    """Yield what is found, slow looks last.

    Args:
        cache: The completion cache.
        runs: Folder of run folders.
        endpoint: Address of another Hub.
        is_online: Whether the Hub may be asked who the token belongs to.
    """
    yield _look_at_python()
    yield Finding(name="butwait", state="ok", found=version("butwait"))
    for package in ("apache-beam", "datasets", "huggingface-hub", "pyarrow", "pydantic", "sympy"):
        yield _look_at_package(package, "pip install butwait")
    for extra, packages in _INSTALL.items():
        for package in packages:
            yield _look_at_package(package, f"pip install '{extra}'", is_extra=True)
    yield _look_at_memory()
    yield _look_at_disk("disk for runs", runs)
    yield _look_at_disk("disk for models", Path(os.environ.get("HF_HOME", "~/.cache/huggingface")))
    yield _look_at_cache(cache)
    yield _look_at_gpu()
    yield _look_at_device()
    yield _look_at_hub(endpoint, is_online)


def _look_at_python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding(name="Python", state="ok", found=found)


def _look_at_package(name: str, way_out: str, *, is_extra: bool = False) -> Finding:
    try:
        return Finding(name=name, state="ok", found=version(name))
    except PackageNotFoundError:
        state: State = "note" if is_extra else "missing"
        return Finding(name=name, state=state, found="not installed", way_out=way_out)


def _look_at_memory() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{cores} cores"
    if hasattr(os, "sysconf"):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
        found += f", {total:.0f} GB memory"
    return Finding(name="machine", state="ok", found=found)


def _look_at_disk(name: str, folder: Path) -> Finding:
    place = folder.expanduser().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    found = f"{free:.0f} GB free at {folder}"
    if not os.access(place, os.W_OK):
        way_out = "choose a folder that you may write (--out, HF_HOME)"
        return Finding(name=name, state="missing", found=f"{place} is read-only", way_out=way_out)
    if free < LEAST_FREE_GB:
        return Finding(name=name, state="note", found=found, way_out="free some space")
    return Finding(name=name, state="ok", found=found)


def _look_at_cache(cache: Place) -> Finding:
    from butwait.pipelines.cache.passwords import hide_password

    shown = hide_password(str(cache))
    if isinstance(cache, Path) and not cache.exists():
        return Finding(name="completion cache", state="ok", found=f"{shown} (to be made)")
    from butwait.pipelines.cache.place import open_existing

    try:
        opened = open_existing(cache)
        size = opened.database.n_bytes()
        opened.close()
    except ButwaitError as error:
        way_out = "give another one: --cache or BUTWAIT_CACHE"
        return Finding(name="completion cache", state="missing", found=str(error), way_out=way_out)
    return Finding(name="completion cache", state="ok", found=f"{shown}, {size / 1e6:.1f} MB")


def _look_at_gpu() -> Finding:
    query = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader"]
    found = _run(["nvidia-smi", *query], 20.0)
    if not found:
        what = "none seen by nvidia-smi; vLLM's CPU build or a remote server will do"
        return Finding(name="GPU", state="note", found=what)
    cards = "; ".join(line.strip() for line in found.splitlines())
    return Finding(name="GPU", state="ok", found=f"{cards} (name, memory, free)")


def _look_at_device() -> Finding:
    """What vLLM would run on, found by vLLM itself."""
    try:
        name = f"vLLM {version('vllm')} runs on"
    except PackageNotFoundError:
        way_out = "pip install 'butwait[vllm]', or server: http://... of a running server"
        return Finding(name="engine", state="note", found="no vLLM here", way_out=way_out)
    found = _run([sys.executable, "-c", _DEVICE], LOOK_S)
    if not found or not found.splitlines()[-1].strip():
        way_out = f"{Path(sys.executable).name} -c 'import vllm' tells why; docs/install.md"
        return Finding(
            name="engine", state="missing", found=f"{name} nothing: it does not load",
            way_out=way_out,
        )  # fmt: skip
    return Finding(name="engine", state="ok", found=f"{name} {found.splitlines()[-1].strip()}")


def _look_at_hub(endpoint: str | None, is_online: bool) -> Finding:
    from huggingface_hub import HfApi, constants, get_token

    token, place = get_token(), endpoint or str(constants.ENDPOINT)
    if token is None:
        way_out = "hf auth login, or HF_TOKEN=... (to push and to read gated repositories)"
        return Finding(name="Hub login", state="note", found="no token", way_out=way_out)
    if not is_online:
        return Finding(name="Hub login", state="note", found=f"a token, not tried at {place}")
    try:
        who = HfApi(endpoint=place, token=token).whoami()
    except Exception as error:  # noqa: BLE001 - a look tells, whatever the Hub or network does
        what = f"a token, and {place} does not accept it or cannot be reached"
        shown = str(error).replace(token, "***").splitlines()
        detail = f" ({type(error).__name__}: {shown[0][:120] if shown else ''})"
        way_out = "hf auth login with a new token, or look at the network"
        return Finding(name="Hub login", state="note", found=what + detail, way_out=way_out)
    role = who.get("auth", {}).get("accessToken", {}).get("role", "unknown rights")
    state: State = "note" if role == "read" else "ok"
    way_out = "a token with write access is needed to push" if role == "read" else ""
    found = f"{who.get('name', 'unnamed')} ({role}) at {place}"
    return Finding(name="Hub login", state=state, found=found, way_out=way_out)


def _run(arguments: list[str], limit_s: float) -> str:
    """Standard output of a program; empty where there is none, it fails or takes too long."""
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def describe(finding: Finding) -> Iterator[str]:
    """Tell a finding in one line, and its way out in a second."""
    sign = {"ok": "ok  ", "note": "note", "missing": "MISS"}[finding.state]
    yield f"{sign}  {finding.name:16}  {finding.found}"
    if finding.way_out:
        yield f"      {'':16}  -> {finding.way_out}"
