"""The servers of the benchmark: policy, process reward model, likelihood; started together.

Each is a managed vLLM of a build's own kind and ends with the ``with`` block, by its process group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.search.setting import ROOT
from butwait.pipelines.sampling.engine import Endpoint, open_sampler
from butwait.pipelines.scoring.engine import ScorerEndpoint, open_scorer
from butwait.schemas.errors import SamplerError
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec

CHECKPOINTS = ROOT / "trainer" / "pocket" / "checkpoints"
START_TIMEOUT_S = 600.0


class Servers(NamedTuple):
    """Where everything answers."""

    policy: Endpoint
    scorers: dict[str, ScorerEndpoint]
    """By name: ``prm``, ``likelihood``, ``self_certainty``; without those whose model is absent."""


def write_scorers() -> dict[str, PrmSpec]:
    """The reward models whose checkpoints are here."""
    server = ServerSpec(mode="managed", start_timeout_s=START_TIMEOUT_S)
    found = {"self_certainty": PrmSpec(layout="self_certainty")}
    if (CHECKPOINTS / "prm").is_dir():
        model = ModelSpec(id="./trainer/pocket/checkpoints/prm")
        found["prm"] = PrmSpec(layout="qwen", model=model, server=server)
    if (CHECKPOINTS / "scorer").is_dir():
        model = ModelSpec(id="./trainer/pocket/checkpoints/scorer")
        found["likelihood"] = PrmSpec(layout="likelihood", model=model, server=server)
    return found


@contextmanager
def open_servers(names: set[str], log_dir: Path, say: Callable[[str], None]) -> Iterator[Servers]:
    """Have policy and the named reward models for the time of a ``with`` block.

    Args:
        names: Reward models that are wanted.
        log_dir: Where the servers' logs go.
        say: Told how the starts proceed.
    """
    spec = ServerSpec(mode="managed", start_timeout_s=START_TIMEOUT_S)
    model = ModelSpec(id="./trainer/pocket/checkpoints/policy")
    opened: dict[str, Any] = {
        "policy": open_sampler(model, spec, base=ROOT, log_dir=log_dir / "policy", say=say)
    }
    for name, prm in write_scorers().items():
        if name in names:
            opened[name] = open_scorer(prm, base=ROOT, log_dir=log_dir / name, say=say)
    with ExitStack() as stack, ThreadPoolExecutor(len(opened)) as pool:
        entered = {name: pool.submit(context.__enter__) for name, context in opened.items()}
        for name, context in opened.items():  # what has started is stopped, whatever fails
            stack.callback(_leave, entered[name], context)
        policy = entered.pop("policy").result()
        found = {}
        for name, start in entered.items():
            try:
                found[name] = start.result()
            except SamplerError as error:
                say(f"{name} is left out: {error}")
        yield Servers(policy, found)


def _leave(start: Any, context: Any) -> None:
    """Stop a server that has started."""
    if start.exception() is None:
        context.__exit__(None, None, None)
