"""Which engine answers, and an address of it that worker processes can be given.

The driver owns the engine's server; workers get an ``Endpoint``, which can be pickled, and make
samplers of their own. Left out: one engine on several machines (start vLLM there and attach).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import SecretStr

from butwait.pipelines.sampling.identity import ResolvedModel, is_local, resolve_model
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Record
from butwait.schemas.sampling import ModelIdentity, Sampler

if TYPE_CHECKING:
    from butwait.pipelines.sampling.vllm_server import ManagedServer

Engine = Literal["vllm-managed", "attach", "transformers"]


class EngineChoice(NamedTuple):
    """An engine, and in one line why it was chosen."""

    engine: Engine
    why: str


class Endpoint(Record):
    """Where an engine answers: all that a worker process needs to make a sampler."""

    kind: Literal["http", "transformers"]
    identity: ModelIdentity
    url: str = ""
    served_name: str = ""
    folder: str = ""
    """What the transformers engine loads: a folder or a Hub id."""
    hub_revision: str | None = None
    """Revision of a Hub model that the transformers engine loads; None for a folder."""
    max_in_flight: int = 64
    request_timeout_s: float = 900.0
    n_retries: int = 5
    api_key: SecretStr | None = None
    server_pid: int | None = None
    """Supervisor of a managed server, to notice its death at once."""
    log_path: str = ""


def choose_engine(server: ServerSpec) -> EngineChoice:
    """Choose the engine of a recipe.

    Raises:
        ConfigError: The engine that was asked for is not installed, or the recipe gives an API
            key to a managed server.
    """
    if server.mode == "attach" or (server.mode == "auto" and server.url):
        if not server.url:
            raise ConfigError("server mode 'attach' needs 'url'")
        return EngineChoice("attach", f"server.url names a running server: {server.url}")
    if server.mode != "transformers" and _is_installed("vllm"):
        _refuse_api_key(server)
        why = "server.mode asks for it" if server.mode == "managed" else "vLLM is installed"
        return EngineChoice("vllm-managed", why)
    if server.mode == "managed":
        raise ConfigError(
            "server mode 'managed' needs vLLM, which is not installed here; install it, give "
            "server.url of a running server, or use server mode 'transformers' for a small model"
        )
    if not (_is_installed("torch") and _is_installed("transformers")):
        raise ConfigError(
            "no engine: neither vLLM nor torch and transformers are installed; "
            "install butwait[vllm] or butwait[train], or give server.url of a running server"
        )
    why = "server.mode asks for it" if server.mode == "transformers" else "vLLM is not installed"
    return EngineChoice("transformers", why)


@contextmanager
def open_sampler(
    model: ModelSpec,
    server: ServerSpec,
    *,
    base: Path,
    log_dir: Path,
    say: Callable[[str], None],
    api_key: str | None = None,
    log_name: str = "vllm.log",
) -> Iterator[Endpoint]:
    """Have an engine for the time of a ``with`` block.

    Args:
        model: The recipe's model.
        server: How it is served.
        base: Folder that the model's path is relative to.
        log_dir: Where a managed server's log goes.
        say: Told in one line what happens.
        api_key: For an attached server.
        log_name: Name of the log in ``log_dir``.

    Yields:
        The address, with the identity of the weights.

    Raises:
        ConfigError: The recipe's to correct.
        SamplerError: The engine does not start or does not answer.
    """
    choice = choose_engine(server)
    say(f"engine: {choice.engine} ({choice.why})")
    if choice.engine == "attach":
        yield _attach(model, server, base, api_key)
    elif choice.engine == "transformers":
        yield _load_later(resolve_model(model, base), server)
    else:
        from butwait.pipelines.sampling.vllm_server import ManagedServer

        resolved = resolve_model(model, base)
        with ManagedServer(resolved, server, log_dir / log_name, say) as running:
            yield _describe(running, resolved, server)


def make_sampler(endpoint: Endpoint) -> Sampler:
    """Make a sampler of an address, in whatever process this is.

    Raises:
        SamplerError: Nobody answers there, or the model cannot be loaded.
    """
    if endpoint.kind == "transformers":
        from butwait.pipelines.sampling.transformers_engine import TransformersSampler

        return TransformersSampler(
            endpoint.folder, endpoint.identity, revision=endpoint.hub_revision
        )
    from butwait.pipelines.sampling.connect import connect
    from butwait.pipelines.sampling.http import Patience, report_no_death
    from butwait.pipelines.sampling.vllm_server import find_death

    pid, log_path = endpoint.server_pid, Path(endpoint.log_path)
    return connect(
        endpoint.url,
        endpoint.served_name,
        identity=endpoint.identity,
        patience=Patience(
            max_in_flight=endpoint.max_in_flight,
            request_timeout_s=endpoint.request_timeout_s,
            n_retries=endpoint.n_retries,
        ),
        api_key=endpoint.api_key.get_secret_value() if endpoint.api_key else None,
        find_death=report_no_death if pid is None else partial(find_death, pid, log_path),
    )


def _attach(model: ModelSpec, server: ServerSpec, base: Path, api_key: str | None) -> Endpoint:
    """Look at a running server; a local folder in the recipe still says which weights it has."""
    from butwait.pipelines.sampling.connect import connect, normalize_url

    assert server.url is not None
    local = is_local(model)
    client = connect(
        server.url, server.served_name, hub_id=None if local else model.id, api_key=api_key
    )
    identity = client.identity.model_copy(update={"id": model.id, "revision": model.revision})
    if local:
        known = resolve_model(model, base)
        identity = identity.model_copy(update={"id": known.id, "revision": known.revision})
    return Endpoint(
        kind="http",
        identity=identity,
        url=normalize_url(server.url),
        served_name=client.served_name,
        max_in_flight=server.max_in_flight,
        request_timeout_s=server.request_timeout_s,
        n_retries=server.n_retries,
        api_key=SecretStr(api_key) if api_key else None,
    )


def _load_later(model: ResolvedModel, server: ServerSpec) -> Endpoint:
    from importlib.metadata import version

    return Endpoint(
        kind="transformers",
        identity=ModelIdentity(
            id=model.id,
            revision=model.revision,
            engine=f"transformers-{version('transformers')}",
        ),
        folder=model.location,
        hub_revision=None if model.is_local else model.revision,
        max_in_flight=server.max_in_flight,
    )


def _describe(running: ManagedServer, model: ResolvedModel, server: ServerSpec) -> Endpoint:
    """Describe a managed server to workers."""
    from butwait.pipelines.sampling.connect import read_engine

    return Endpoint(
        kind="http",
        identity=ModelIdentity(
            id=model.id, revision=model.revision, engine=read_engine(running.url)
        ),
        url=running.url,
        served_name=server.served_name or model.id,
        max_in_flight=server.max_in_flight,
        request_timeout_s=server.request_timeout_s,
        n_retries=server.n_retries,
        server_pid=running.pid,
        log_path=str(running.log_path),
    )


def _refuse_api_key(server: ServerSpec) -> None:
    """Refuse a key for a managed server: it would turn away the build that started it."""
    names = [arg.partition("=")[0].replace("_", "-") for arg in server.args]
    where = "server.args has --api-key" if "--api-key" in names else ""
    if "VLLM_API_KEY" in server.env:
        where = "server.env has VLLM_API_KEY"
    if where:
        raise ConfigError(
            f"{where}: a managed server listens on 127.0.0.1 and needs no key; leave it out, or "
            "start the server yourself and give server.url"
        )


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
