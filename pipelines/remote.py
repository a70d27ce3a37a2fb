"""What a build on other machines can reach, and what it cannot: said before anything is done.

Workers of a remote runner see neither this machine's files nor its 127.0.0.1. What needs them is
refused with the way out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from butwait.pipelines.cache import Place
from butwait.pipelines.places import AnyPath
from butwait.pipelines.stages.beam_run import DEFAULT_RUNNER
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import Recipe
from butwait.schemas.recipe_sections import ServerSpec

LOCAL_RUNNERS = (
    DEFAULT_RUNNER,
    "DirectRunner",
    "BundleBasedDirectRunner",
    "SwitchingDirectRunner",
    "InteractiveRunner",
    "PrismRunner",
)


def is_remote(runner: str, beam_options: Sequence[str]) -> bool:
    """Tell whether workers may be other machines.

    >>> is_remote("FnApiRunner", ()), is_remote("FlinkRunner", ("--flink_master=jm:8081",))
    (False, True)
    >>> is_remote("FlinkRunner", ("--environment_type=LOOPBACK",))
    False
    """
    options = " ".join(beam_options).replace("=", " ")
    is_loopback = "--environment_type LOOPBACK" in options  # workers are threads of this process
    return runner.rpartition(".")[2] not in LOCAL_RUNNERS and not is_loopback


def check_reach(
    recipe: Recipe, out: AnyPath, cache: Place, runner: str, beam_options: Sequence[str]
) -> None:
    """Refuse what the workers of a remote runner could not reach.

    Raises:
        ConfigError: With all that is in the way.
    """
    if not is_remote(runner, beam_options):
        return
    found = [
        *([_of_run_folder(out)] if isinstance(out, Path) else []),
        *_of_sampling(recipe, cache),
    ]
    if found:
        raise ConfigError(f"workers of {runner} are other machines: {'; '.join(found)}")


def runner_for_sources(recipe: Recipe, runner: str) -> str:
    """Return who reads the questions: local files can be read here alone."""
    benchmarks = recipe.decontaminate.against if recipe.decontaminate else ()
    specs = [*recipe.sources, *(() if isinstance(benchmarks, str) else benchmarks)]
    is_local = any(spec.path is not None for spec in specs)
    return DEFAULT_RUNNER if is_local else runner


def _of_run_folder(out: Path) -> str:
    return f"they cannot write the run folder in {str(out)!r}; write e.g. --out gs://bucket/runs"


def _of_sampling(recipe: Recipe, cache: Place) -> Iterator[str]:
    """Recordings are put beside the questions by the driver; a model is asked by the workers."""
    if recipe.replay is not None:
        return
    if isinstance(cache, Path):
        yield (
            f"they cannot share the completion cache {str(cache)!r}; use a database, "
            "--cache postgresql://user@host/database"
        )
    servers = [("server", recipe.server)]
    if recipe.search is not None and recipe.prm is not None and recipe.prm.model is not None:
        servers.append(("prm.server", recipe.prm.server))
        if recipe.prm.weak is not None:
            servers.append(("prm.weak_server", recipe.prm.weak_server))
    for name, server in servers:
        yield from _of_server(name, server)


def _of_server(name: str, server: ServerSpec) -> Iterator[str]:
    if not server.urls:
        yield (
            f"they cannot reach a server that this machine starts (server mode "
            f"{server.mode!r}); start vLLM where they can and give {name}.url"
        )
    for url in server.urls:
        if _is_loopback(urlsplit(url).hostname or ""):
            yield f"{name}.url {url} is this machine alone; give an address that they can reach"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
