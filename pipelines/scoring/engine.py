"""Which server scores, and an address of it that worker processes can be given.

The driver owns the server; workers get a ``ScorerEndpoint``, which can be pickled, and make scorers
of their own. Left out: an engine in the worker's process (only the policy has one).
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from butwait.pipelines.sampling.engine import Endpoint, make_asker, open_sampler
from butwait.pipelines.sampling.identity import is_local, resolve_model
from butwait.pipelines.sampling.refusals import ServerGone
from butwait.pipelines.sampling.together import open_together
from butwait.pipelines.scoring.density_ratio import DensityRatioScorer, join_identities
from butwait.pipelines.scoring.layouts import find_step_tag
from butwait.pipelines.scoring.likelihood import LikelihoodScorer
from butwait.pipelines.scoring.link import Link
from butwait.pipelines.scoring.marks import Marks, MarkScorer
from butwait.pipelines.scoring.outcome import OutcomeScorer
from butwait.pipelines.scoring.probe import Probe
from butwait.pipelines.scoring.self_certainty import IDENTITY, SelfCertaintyScorer
from butwait.pipelines.scoring.step_tokens import StepTokenScorer
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Record
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import Scorer

LOG_NAME = "prm.log"
WEAK_LOG_NAME = "prm-weak.log"
MAX_BATCH = 64
"""Texts a request. Measured on 2 cores (docs/scoring.md), 8 requests open: 125 texts/s at 1 a
request, 505 at 16, 629 at 64, 473 at 256."""
MAX_IN_FLIGHT = 8
"""Requests open at once; ``server.max_in_flight`` can lower it. 485 texts/s with one of 64 texts
open, 551 with 2, 584 with 4, 629 with 8: 512 texts keep a server's 256 seats filled."""


class ScorerEndpoint(Record):
    """Where a reward model answers: all that a worker process needs to make a scorer."""

    prm: PrmSpec
    identity: ModelIdentity
    server: Endpoint | None = None
    """None for the layout that has no model."""
    weak: Endpoint | None = None
    """The second model's, for the layout that has one."""
    marks: tuple[int, int] | None = None
    """Token ids of the good and the bad mark, for the layouts that have some."""


@contextmanager
def open_scorer(
    prm: PrmSpec,
    *,
    base: Path,
    log_dir: Path,
    say: Callable[[str], None],
    api_key: str | None = None,
) -> Iterator[ScorerEndpoint]:
    """Have a reward model for the time of a ``with`` block.

    Args:
        prm: The recipe's section.
        base: Folder that the model's path is relative to.
        log_dir: Where a managed server's log goes (``prm.log``).
        say: Told in one line what happens.
        api_key: For an attached server.

    Yields:
        The address, with the identity of the weights; the server can do what the layout needs.

    Raises:
        ConfigError: The recipe's to correct, or a server that was started for something else.
        SamplerError: The server does not start or does not answer.
    """
    if prm.model is None:
        yield ScorerEndpoint(prm=prm, identity=IDENTITY)
        return
    shared: dict[str, Any] = {"base": base, "log_dir": log_dir, "say": say, "api_key": api_key}
    strong = _open_checked(prm, "prm", LOG_NAME, **shared)
    if prm.weak is None:
        with strong as (server, marks):
            yield ScorerEndpoint(prm=prm, identity=server.identity, server=server, marks=marks)
        return
    second = prm.model_copy(update={"model": prm.weak, "server": prm.weak_server})
    with open_together(strong, _open_checked(second, "weak", WEAK_LOG_NAME, **shared)) as both:
        (server, _), (weak, _) = both
        identity = join_identities(server.identity, weak.identity)
        yield ScorerEndpoint(prm=prm, identity=identity, server=server, weak=weak)


@contextmanager
def _open_checked(
    prm: PrmSpec,
    name: str,
    log_name: str,
    *,
    base: Path,
    log_dir: Path,
    say: Callable[[str], None],
    api_key: str | None,
) -> Iterator[tuple[Endpoint, Marks | None]]:
    """Have one server that can do what the layout needs."""
    assert prm.model is not None
    with open_sampler(
        prm.model,
        add_flags(prm, prm.model, base),
        base=base,
        log_dir=log_dir,
        say=lambda line: say(f"{name}: {line}"),
        api_key=api_key,
        log_name=log_name,
    ) as endpoint:
        yield endpoint, _check_all(endpoint, prm)


def _check_all(endpoint: Endpoint, prm: PrmSpec) -> Marks | None:
    """Check every server that answers; one that is away is looked at when it comes back."""
    away: list[ServerGone] = []
    marks: list[Marks | None] = []
    for url in endpoint.urls:
        try:
            with Probe(endpoint.model_copy(update={"urls": (url,)}), prm) as probe:
                marks.append(probe.check())
        except ServerGone as error:
            away.append(error)
    if not marks:
        raise away[0]
    return marks[0]


def make_scorer(endpoint: ScorerEndpoint) -> Scorer:
    """Make a scorer of an address, in whatever process this is."""
    prm, server = endpoint.prm, endpoint.server
    if server is None:
        return SelfCertaintyScorer()
    if endpoint.weak is not None:
        return DensityRatioScorer(_make_link(server), _make_link(endpoint.weak), prm)
    link = _make_link(server)
    match prm.layout:
        case "qwen":
            return StepTokenScorer(link, prm)
        case "likelihood":
            return LikelihoodScorer(link, prm)
        case "outcome":
            return OutcomeScorer(link, prm)
    assert endpoint.marks is not None
    return MarkScorer(link, prm, Marks(*endpoint.marks))


def _make_link(server: Endpoint) -> Link:
    return Link(
        asker=make_asker(server),
        model=server.served_name,
        identity=server.identity,
        max_batch=MAX_BATCH,
        max_in_flight=min(server.patience.max_in_flight, MAX_IN_FLIGHT),
    )


def add_flags(prm: PrmSpec, model: ModelSpec, base: Path) -> ServerSpec:
    """Complete a server section by what the layout's managed server needs; the recipe's flags win.

    Raises:
        ConfigError: There is no server and none can be started, or the step token is none.
    """
    server = prm.server
    if server.mode == "attach" or (server.mode == "auto" and server.url):
        return server
    if server.mode == "transformers" or importlib.util.find_spec("vllm") is None:
        why = "vLLM is not installed here"
        if server.mode == "transformers":
            why = "there is no transformers engine for reward models"
        raise ConfigError(
            f"prm layout {prm.layout!r} needs a vLLM server, and {why}: install butwait[vllm], "
            "give prm.server.url of a running one, or take prm: {layout: self_certainty}"
        )
    flags: tuple[str, ...] = ()
    if prm.layout in ("qwen", "outcome"):
        flags = ("--runner", "pooling")
    if prm.layout == "qwen" and not _has_flag(server, "--pooler-config"):
        step = {"pooling_type": "STEP", "step_tag_id": find_step_token(prm, model, base)}
        flags += ("--pooler-config", json.dumps(step))
    return server.model_copy(update={"mode": "managed", "args": (*flags, *server.args)})


def find_step_token(prm: PrmSpec, model: ModelSpec, base: Path) -> int:
    """Find the token id of the step token in the model's ``tokenizer.json``.

    Raises:
        ConfigError: No tokenizer, or the step token is not one of its tokens.
    """
    from tokenizers import Tokenizer

    path = _find_tokenizer(model, base)
    tag = find_step_tag(prm)
    token = Tokenizer.from_file(str(path)).token_to_id(tag) if path.is_file() else None
    if isinstance(token, int):
        return token
    what = f"has no token {tag!r}" if path.is_file() else "has no tokenizer.json"
    raise ConfigError(
        f"prm.model {model.id!r} {what}: give prm.step_tag, or "
        "--pooler-config with its step_tag_id in prm.server.args"
    )


def _find_tokenizer(model: ModelSpec, base: Path) -> Path:
    if is_local(model):
        return Path(resolve_model(model, base).location) / "tokenizer.json"
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import httpx

    try:
        return Path(hf_hub_download(model.id, "tokenizer.json", revision=model.revision))
    except (HfHubHTTPError, HFValidationError, OSError, httpx.HTTPError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"prm.model {model.id!r}: no tokenizer.json ({reason})") from error


def _has_flag(server: ServerSpec, flag: str) -> bool:
    names = [arg.partition("=")[0].replace("_", "-") for arg in server.args]
    return any(name == flag or name.startswith(f"{flag}.") for name in names)
