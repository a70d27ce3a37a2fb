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
from butwait.pipelines.sampling.life import read_end, report_stuck
from butwait.pipelines.sampling.patience import Patience
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Record
from butwait.schemas.sampling import ModelIdentity, Sampler

if TYPE_CHECKING:
    from butwait.pipelines.sampling.http import Asker
    from butwait.pipelines.sampling.look import Proof
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
    urls: tuple[str, ...] = ()
    """Servers of the one model; more than one share the work."""
    served_name: str = ""
    bos: str = ""
    """What the server puts before a raw prompt."""
    context: int = 0
    """Tokens of prompt and answer together; 0: not told."""
    folder: str = ""
    """What the transformers engine loads: a folder or a Hub id."""
    hub_revision: str | None = None
    """Revision of a Hub model that the transformers engine loads; None for a folder."""
    patience: Patience = Patience()
    api_key: SecretStr | None = None
    state_path: str = ""
    """Where the driver says what became of a managed server; empty: somebody else's server."""
    log_path: str = ""

    @property
    def url(self) -> str:
        """The first server."""
        return self.urls[0]


def choose_engine(server: ServerSpec) -> EngineChoice:
    """Choose the engine of a recipe.

    Raises:
        ConfigError: The engine that was asked for is not installed, or the recipe gives an API
            key to a managed server.
    """
    if server.mode == "attach" or (server.mode == "auto" and server.url):
        if not server.url:
            raise ConfigError("server mode 'attach' needs 'url'")
        named = ", ".join(server.urls)
        is_one = len(server.urls) == 1
        what = "a running server" if is_one else f"{len(server.urls)} running servers"
        return EngineChoice("attach", f"server.url names {what}: {named}")
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
        yield _attach(model, server, base, api_key, say)
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
    from butwait.pipelines.sampling.look import prove_with_a_token
    from butwait.pipelines.sampling.vllm_client import VllmClient

    name = endpoint.served_name
    return VllmClient(
        make_asker(endpoint, prove_with_a_token(name)),
        name,
        endpoint.identity,
        bos=endpoint.bos,
        context=endpoint.context,
        max_in_flight=endpoint.patience.max_in_flight,
    )


def make_asker(endpoint: Endpoint, proof: Proof | None = None) -> Asker:
    """Make what asks the servers of an address.

    Args:
        endpoint: Where they answer.
        proof: A small request that only a working engine answers; None: the first that was.
    """
    from butwait.pipelines.sampling.http import Asker, leave_alone, report_no_death

    state = Path(endpoint.state_path) if endpoint.state_path else None
    return Asker(
        endpoint.urls,
        patience=endpoint.patience,
        api_key=endpoint.api_key.get_secret_value() if endpoint.api_key else None,
        find_death=report_no_death if state is None else partial(read_end, state),
        report_stuck=leave_alone if state is None else partial(report_stuck, state),
        model=endpoint.served_name,
        proof=proof,
    )


def _attach(
    model: ModelSpec,
    server: ServerSpec,
    base: Path,
    api_key: str | None,
    say: Callable[[str], None],
) -> Endpoint:
    """Look at running servers; a local folder in the recipe still says which weights they have."""
    from butwait.pipelines.sampling.connect import look_at_all, normalize_url

    local = is_local(model)
    urls = tuple(normalize_url(url) for url in server.urls)
    found = look_at_all(
        urls, server.served_name, hub_id=None if local else model.id, api_key=api_key, say=say
    )
    identity = found.identity.model_copy(update={"id": model.id, "revision": model.revision})
    if local:
        known = resolve_model(model, base)
        identity = identity.model_copy(update={"id": known.id, "revision": known.revision})
    return Endpoint(
        kind="http",
        identity=identity,
        urls=urls,
        served_name=found.served_name,
        bos=found.bos,
        context=found.context,
        patience=_bear_with(server),
        api_key=SecretStr(api_key) if api_key else None,
    )


def _bear_with(server: ServerSpec, start_s: float = 0.0) -> Patience:
    """Take a client's limits from a recipe; a server that is started again has time for it."""
    stall_s = server.stall_s or server.request_timeout_s / 3
    return Patience(
        max_in_flight=server.max_in_flight,
        request_timeout_s=server.request_timeout_s,
        n_retries=server.n_retries,
        pause_s=server.pause_s,
        pause_after=server.pause_after,
        stall_s=stall_s,
        outage_s=server.outage_s + start_s,
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
        patience=_bear_with(server),
    )


def _describe(running: ManagedServer, model: ResolvedModel, server: ServerSpec) -> Endpoint:
    """Describe a managed server to workers."""
    from butwait.pipelines.sampling.connect import look

    found = look(running.url, server.served_name or model.id)
    return Endpoint(
        kind="http",
        identity=ModelIdentity(id=model.id, revision=model.revision, engine=found.identity.engine),
        urls=(running.url,),
        served_name=found.served_name,
        bos=found.bos,
        context=found.context,
        patience=_bear_with(server, server.start_timeout_s),
        state_path=str(running.state_path),
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
