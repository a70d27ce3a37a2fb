"""A managed server's life: refused early, ended with its parent, nothing left behind.

The supervisor is shown with real process trees that behave as vLLM's do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from butwait.pipelines.sampling import engine, supervise, vllm_server
from butwait.pipelines.sampling.identity import ResolvedModel
from butwait.pipelines.sampling.life import read_end, report_stuck
from butwait.pipelines.sampling.vllm_server import (
    ManagedServer,
    choose_port,
    find_death,
    is_cpu_build,
    read_log_end,
    write_command,
    write_environment,
)
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Message
from butwait.schemas.sampling import Completion, SampleRequest, SamplingParameters

MODEL = ResolvedModel(
    location="/models/pocket", id="pocket", revision=None, is_local=True, n_weight_bytes=10**6
)
TREE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
{end}
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


def answer(endpoint: engine.Endpoint) -> list[list[Completion]]:
    """Ask sixty questions, eight at a time."""
    limits = replace(endpoint.patience, max_in_flight=8)
    parameters = SamplingParameters(temperature=1.0, top_p=1.0, max_tokens=50)

    async def gather() -> list[list[Completion]]:
        sampler = engine.make_sampler(endpoint.model_copy(update={"patience": limits}))
        requests = [
            SampleRequest(
                question_id=f"q{i}",
                step="sample",
                messages=(Message(role="user", content=f"1 + {i}?"),),
                prompt=None,
                n=2,
                seed=1,
                parameters=parameters,
            )
            for i in range(60)
        ]
        try:
            return list(await asyncio.gather(*map(sampler.sample, requests)))
        finally:
            await sampler.close()

    return asyncio.run(gather())


def is_running(pid: int) -> bool:
    return find_death(pid, Path(os.devnull)) is None


def wait_until(met: Callable[[], bool], limit_s: float = 10.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if met():
            return True
        time.sleep(0.05)
    return met()


def start_supervised(code: str, parent: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-S", supervise.__file__, str(parent)]
    return subprocess.Popen(
        [*command, sys.executable, "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_closed_pipe_ends_the_whole_group() -> None:
    process = start_supervised(TREE.format(end="time.sleep(60)"), os.getpid())
    child = int(read_line(process))
    assert is_running(child)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)
    assert wait_until(lambda: not is_running(child))


def test_what_the_first_process_leaves_behind_is_ended_with_it() -> None:
    process = start_supervised(TREE.format(end="sys.exit(3)"), os.getpid())
    child = int(read_line(process))
    assert process.wait(10) == 3
    assert wait_until(lambda: not is_running(child))


def test_a_parent_that_is_killed_takes_the_server_with_it(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, subprocess, sys, time\n"
        "command = [sys.executable, '-S', sys.argv[1], str(os.getpid())]\n"
        "command += [sys.executable, '-S', '-c', sys.argv[2]]\n"
        "held = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    tree = TREE.format(end="time.sleep(60)")
    command = [sys.executable, "-S", str(script), supervise.__file__, tree]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(read_line(parent))
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    assert wait_until(lambda: not is_running(child))


@pytest.mark.slow
def test_a_server_that_ignores_the_polite_signal_is_ended_by_the_next() -> None:
    process = start_supervised(STUBBORN, os.getpid())
    assert read_line(process) == "ready"
    assert process.stdin is not None
    process.stdin.close()
    began = time.monotonic()
    process.wait(30)
    assert time.monotonic() - began < sum(supervise.GRACE_S.values()) + 5


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = ManagedServer(MODEL, ServerSpec(port=port), tmp_path / "vllm.log", print)
        with pytest.raises(ConfigError, match=f"port {port} is taken"):
            server.start()
    assert not (tmp_path / "vllm.log").exists()
    assert choose_port(port) == port
    server.stop()


def test_the_cpu_build_is_kept_from_splitting_a_prefill() -> None:
    command = write_command(MODEL, ServerSpec(args=("--dtype", "float32")), 8000, cpu=True)
    assert "--no-enable-chunked-prefill" in command
    assert command[-2:] == ["--dtype", "float32"]
    on_gpu = write_command(MODEL, ServerSpec(max_model_len=512), 8000, cpu=False)
    assert "--no-enable-chunked-prefill" not in on_gpu and "--enforce-eager" not in on_gpu
    assert on_gpu[on_gpu.index("--max-model-len") + 1] == "512"
    for line in (command, on_gpu):
        assert line[line.index("--generation-config") + 1] == "vllm"
        assert line[line.index("--host") + 1] == "127.0.0.1"


def test_the_recipes_environment_wins_over_the_callers_and_that_over_ours() -> None:
    spec = ServerSpec(env={"VLLM_CPU_KVCACHE_SPACE": "8"})
    inherited = {"OMP_NUM_THREADS": "2", "VLLM_CPU_KVCACHE_SPACE": "3"}
    written = write_environment(MODEL, spec, inherited, cpu=True)
    assert written["VLLM_CPU_KVCACHE_SPACE"] == "8" and written["OMP_NUM_THREADS"] == "2"
    assert written["HF_HUB_OFFLINE"] == "1"
    from_hub = MODEL.model_copy(update={"is_local": False})
    assert "HF_HUB_OFFLINE" not in write_environment(from_hub, spec, {}, cpu=False)


def test_the_installed_build_is_told_without_importing_it() -> None:
    code = (
        "import sys; from butwait.pipelines.sampling.vllm_server import is_cpu_build;"
        "is_cpu_build(); sys.exit('vllm' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert isinstance(is_cpu_build(), bool)


def test_the_end_of_a_log_shows_the_error_that_scrolled_by(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("RuntimeError: out of memory\n" + "closing\n" * 100)
    end = read_log_end(log)
    assert end.startswith("RuntimeError: out of memory")
    assert len(end.splitlines()) < 20
    assert "no log" in read_log_end(tmp_path / "none.log")


def test_the_callers_key_for_another_server_is_not_handed_down() -> None:
    inherited = {"VLLM_API_KEY": "sesame", "VLLM_LOGGING_LEVEL": "DEBUG"}
    written = write_environment(MODEL, ServerSpec(), inherited, cpu=False)
    assert "VLLM_API_KEY" not in written and written["VLLM_LOGGING_LEVEL"] == "DEBUG"


@pytest.mark.alone
@pytest.mark.parametrize(("said", "ending"), [("", ""), ("loading", " ends with:\nloading")])
def test_a_start_that_takes_too_long_quotes_the_log_only_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, ending: str
) -> None:
    code = f"import sys, time; sys.stdout.write({said!r}); sys.stdout.flush(); time.sleep(60)"
    slow = [sys.executable, "-S", "-c", code]
    monkeypatch.setattr(vllm_server, "write_command", lambda *_, **__: slow)
    log = tmp_path / "vllm.log"
    server = ManagedServer(MODEL, ServerSpec(start_timeout_s=1.5), log, print)
    with pytest.raises(SamplerError) as caught:
        server.start()
    assert str(caught.value).endswith(f"; log {log}{ending}")
    assert not is_running(server.pid)


def test_a_death_without_a_word_is_told_without_an_empty_quotation(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("")
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait(10)
    assert find_death(process.pid, log) == f"the vLLM server has ended; log {log}"


LIVES = """
import http.server, os, sys, time
port, lives = int(sys.argv[1]), sys.argv[2]
n = int(open(lives).read()) + 1
open(lives, "w").write(str(n))
print(f"this is life {n}", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/die":
            print("RuntimeError: out of memory", flush=True)
            os._exit(1)
    def log_message(self, *_): pass
if n in {refuses}: sys.exit("no card is free")
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def open_mortal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], refuses: tuple[int, ...] = ()
) -> ManagedServer:
    """Make a managed server that dies when it is asked to."""
    (folder / "lives").write_text("0")
    code = LIVES.replace("{refuses}", repr(set(refuses) or {0}))

    def write(model: ResolvedModel, spec: ServerSpec, port: int, **_: object) -> list[str]:
        return [sys.executable, "-S", "-c", code, str(port), str(folder / "lives")]

    monkeypatch.setattr(vllm_server, "write_command", write)
    monkeypatch.setattr(vllm_server, "WATCH_EVERY_S", 0.05)
    return ManagedServer(MODEL, ServerSpec(start_timeout_s=20), folder / "vllm.log", said.append)


def is_up(server: ManagedServer) -> bool:
    return vllm_server._is_ready(server.url)


def kill(server: ManagedServer, life: int) -> None:
    """Let it die, and wait until its watcher has seen to it."""
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(f"{server.url}/die", timeout=5.0, trust_env=False)
    assert wait_until(lambda: server.n_restarts == life or bool(read_end(server.state_path)))
    assert wait_until(lambda: is_up(server) or bool(read_end(server.state_path)))


def test_a_managed_server_that_dies_comes_back_on_its_port_three_times_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with open_mortal(tmp_path, monkeypatch, said) as server:
        url, pids = server.url, {server.pid}
        for life in (1, 2, 3):
            kill(server, life)
            assert read_end(server.state_path) is None and is_up(server) and server.url == url
            pids.add(server.pid)
        assert len(pids) == 4
        kill(server, 4)
        end = read_end(server.state_path)
    assert end is not None and "RuntimeError: out of memory" in end and "this is life 4" in end
    assert end.endswith("it was started again 3 times and is given up")
    told = [line for line in said if "starting it again" in line]
    assert [line[-12:] for line in told] == [f"{i} of 3 times" for i in (1, 2, 3)]
    assert "RuntimeError: out of memory" in told[0]
    log = (tmp_path / "vllm.log").read_text()
    assert all(f"this is life {life}" in log for life in (1, 2, 3, 4)), "no life's log is lost"


def test_a_restart_that_fails_counts_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with open_mortal(tmp_path, monkeypatch, said, refuses=(2, 3)) as server:
        kill(server, 3)
        assert is_up(server) and server.n_restarts == 3
        assert any("no card is free" in line for line in said)
    assert not is_running(server.pid)


def test_a_stuck_server_is_started_again_once_however_many_workers_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    left = tmp_path / "vllm.state.stuck-123"
    left.write_text("of an earlier run")
    with open_mortal(tmp_path, monkeypatch, said) as server:
        assert not left.exists()
        for _ in range(3):
            report_stuck(server.state_path, "no token within 300 s, while /health is fine")
        assert wait_until(lambda: server.n_restarts == 1 and is_up(server))
        time.sleep(0.3)
        assert server.n_restarts == 1
    assert any("stuck: no token within 300 s" in line for line in said)


def test_a_server_that_is_stopped_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_mortal(tmp_path, monkeypatch, []) as server:
        pass
    time.sleep(0.3)
    assert (tmp_path / "lives").read_text() == "1" and not is_running(server.pid)


def test_the_requests_in_flight_of_a_server_that_dies_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lives").write_text("0")
    script = Path(__file__).with_name("mortal_server.py")

    def write(model: ResolvedModel, spec: ServerSpec, port: int, **_: object) -> list[str]:
        return [sys.executable, str(script), str(port), str(tmp_path / "lives")]

    monkeypatch.setattr(vllm_server, "write_command", write)
    monkeypatch.setattr(engine, "resolve_model", lambda *_: MODEL)
    monkeypatch.setattr(engine, "_is_installed", lambda name: True)
    spec = ServerSpec(mode="managed", pause_s=0.05, start_timeout_s=60)
    said: list[str] = []
    with engine.open_sampler(
        ModelSpec(id="pocket"), spec, base=tmp_path, log_dir=tmp_path, say=said.append
    ) as endpoint:
        answers = answer(pickle.loads(pickle.dumps(endpoint)))
    assert [len(completions) for completions in answers] == [2] * 60
    assert (tmp_path / "lives").read_text() == "2"
    assert any("starting it again, 1 of 3 times" in line for line in said)
