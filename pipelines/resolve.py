"""A recipe made concrete: sources found, revisions pinned, the model identified.

Everything that can be wrong with a recipe on this machine is found here, before any work.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from butwait.pipelines.contamination import Checks, plan_checks
from butwait.pipelines.own_transforms import OwnCode, find_own
from butwait.pipelines.replay import ResolvedReplay, resolve_replay
from butwait.pipelines.sampling.connect import normalize_url
from butwait.pipelines.sampling.engine import choose_engine
from butwait.pipelines.sampling.identity import resolve_model
from butwait.pipelines.scoring.density_ratio import join_identities
from butwait.pipelines.scoring.self_certainty import IDENTITY as SELF_CERTAINTY
from butwait.pipelines.search.question import SearchPlan
from butwait.pipelines.sources import ResolvedSource, resolve_source
from butwait.pipelines.stages.sample_question import AskPlan
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import Recipe, SamplingSpec
from butwait.schemas.recipe_rows import ButWaitSpec
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.sampling import ModelIdentity
from butwait.transforms.prompts import read_prompt
from butwait.transforms.rows import RowContext


@dataclass(frozen=True)
class Resolved:
    """What a build works with."""

    sources: tuple[ResolvedSource, ...]
    identity: ModelIdentity
    model_location: str
    """What the engine loads: a local folder or a Hub id; empty for recordings."""
    replay: ResolvedReplay | None
    ask: AskPlan
    row_context: RowContext
    but_waits: tuple[ButWaitSpec, ...]
    search: SearchPlan | None = None
    checks: Checks = field(default_factory=Checks)
    own: tuple[OwnCode, ...] = ()
    """Transforms that are not ours."""


def resolve(recipe: Recipe, base: Path) -> Resolved:
    """Find and check everything that a recipe names.

    Args:
        recipe: Checked by itself.
        base: Folder that its relative paths start from.

    Raises:
        ConfigError, SourceError: With what is wrong, the value, and the way out.
    """
    sources = tuple(resolve_source(spec, base, recipe.limit) for spec in recipe.sources)
    replay = resolve_replay(recipe.replay, base) if recipe.replay is not None else None
    identity, location = identify_policy(recipe, base)
    but_waits = tuple(s for s in recipe.rows.root.values() if isinstance(s, ButWaitSpec))
    return Resolved(
        sources=sources,
        identity=identity,
        model_location=location,
        replay=replay,
        ask=make_ask_plan(recipe),
        row_context=make_row_context(recipe),
        but_waits=but_waits,
        search=plan_search(recipe, base),
        checks=plan_checks(recipe, base, sources),
        own=find_own(recipe.rows.root, base),
    )


def identify_policy(recipe: Recipe, base: Path) -> tuple[ModelIdentity, str]:
    """Find out which weights are sampled, and what an engine loads (empty for recordings).

    Raises:
        ConfigError: No such model, or no engine for it here.
    """
    if recipe.replay is not None:
        replay = recipe.replay
        return ModelIdentity(id=replay.model, revision=replay.model_revision, engine="replay"), ""
    assert recipe.model is not None
    for url in recipe.server.urls:
        normalize_url(url)
    choice = choose_engine(recipe.server)
    model = resolve_model(recipe.model, base, is_attached=choice.engine == "attach")
    engine = "transformers" if choice.engine == "transformers" else "vllm"
    engine += _server_shape(recipe.server)
    return ModelIdentity(id=model.id, revision=model.revision, engine=engine), model.location


def plan_search(recipe: Recipe, base: Path) -> SearchPlan | None:
    """Make the search plan of a recipe; None where it asks for none.

    Raises:
        ConfigError: The reward model cannot be found or served here.
    """
    if recipe.search is None:
        return None
    # Votes that are counted need no rewards.
    prm = recipe.prm if recipe.search.method != "self_consistency" else None
    is_blind = choose_engine(recipe.server).engine == "transformers"
    if prm is not None and prm.layout == "self_certainty" and is_blind:
        raise ConfigError(
            "prm layout 'self_certainty' reads the policy's log-probabilities, which server mode "
            "'transformers' does not tell: use vLLM, or search.method self_consistency"
        )
    return SearchPlan(
        ask=make_ask_plan(recipe),
        spec=recipe.search,
        prm=prm,
        scorer=_identify_scorer(prm, base) if prm is not None else None,
    )


def _identify_scorer(prm: PrmSpec, base: Path) -> ModelIdentity:
    """Find out which weights score; known before any server runs, so that the cache can answer."""
    if prm.model is None:
        return SELF_CERTAINTY
    strong = _identify_served(prm.model, prm.server, base)
    if prm.weak is None:
        return strong
    return join_identities(strong, _identify_served(prm.weak, prm.weak_server, base))


def _identify_served(spec: ModelSpec, server: ServerSpec, base: Path) -> ModelIdentity:
    for url in server.urls:
        normalize_url(url)
    model = resolve_model(spec, base, is_attached=bool(server.urls))
    engine = "vllm" + _server_shape(server)
    return ModelIdentity(id=model.id, revision=model.revision, engine=engine)


def _server_shape(server: ServerSpec) -> str:
    """A short hash of what else decides which text comes back; empty for a plain server.

    An adapter's name, quantization flags and the context length change samples and so belong to
    every cache key. The engine's version does not: a cached sample outlives it, and the stage's
    record names it. Hashed, because flags and environment may hold secrets.
    """
    shape = [server.served_name, server.args, server.max_model_len, sorted(server.env.items())]
    if not any(shape):
        return ""
    return "+" + hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:8]


def make_ask_plan(recipe: Recipe) -> AskPlan:
    """Make the plan of what a question is asked."""
    but_waits = [s for s in recipe.rows.root.values() if isinstance(s, ButWaitSpec)]
    source = recipe.replay or recipe.model
    assert source is not None
    sampling = _sampling(recipe)
    preset, system = read_prompt(sampling)
    return AskPlan(
        run_seed=recipe.seed,
        sampling=sampling,
        but_wait=but_waits[0] if but_waits else None,
        preset=preset,
        system=system,
        recorded=recipe.replay is not None,
        deadline_s=recipe.verify.deadline_s,
        r1_derived=source.r1_derived,
    )


def _sampling(recipe: Recipe) -> SamplingSpec:
    """The sampling section; a recording's prompt is known only if the recipe states it."""
    sampling = recipe.sampling
    if recipe.replay is None or sampling.prompt is not None or sampling.system is not None:
        return sampling
    return sampling.model_copy(update={"prompt": "none"})


def make_row_context(recipe: Recipe) -> RowContext:
    """Make what all rows of a recipe share."""
    from importlib.metadata import version

    return RowContext(
        run_seed=recipe.seed,
        sampling=_sampling(recipe),
        max_characters=recipe.max_characters,
        butwait_version=version("butwait"),
        deadline_s=recipe.verify.deadline_s,
    )
