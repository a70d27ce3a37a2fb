"""What each stage depends on, as a hash: a stage whose hash has changed is made anew."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from butwait.pipelines.replay import ResolvedReplay
from butwait.pipelines.resolve import Resolved
from butwait.pipelines.sources import ResolvedSource
from butwait.schemas.recipe import Recipe
from butwait.schemas.record import SCHEMA_VERSION
from butwait.transforms.verify import VERIFIER_VERSION


def stage_fingerprints(recipe: Recipe, resolved: Resolved) -> dict[str, str]:
    """Return the fingerprint of every stage; each includes the one before."""
    dumped = recipe.model_dump(mode="json")
    questions = fingerprint(
        "questions",
        SCHEMA_VERSION,
        VERIFIER_VERSION,
        [_source_key(source) for source in resolved.sources],
        dumped["limit"],
        dumped["shards"],
        dumped["block_size"],
        *resolved.checks.key(),
    )
    trajectories = fingerprint(
        "trajectories",
        questions,
        resolved.identity.model_dump(),
        dumped["sampling"],
        dumped["verify"],
        dumped["seed"],
        dumped["model"] and dumped["model"]["r1_derived"],
        _replay_key(resolved.replay) if resolved.replay is not None else None,
        _waits_key(resolved),
        *_search_key(resolved),
    )
    rows = fingerprint(
        "rows",
        trajectories,
        dumped["rows"],
        dumped["max_characters"],
        resolved.row_context.butwait_version,
        *(code.sha256 for code in resolved.own),
    )
    card = fingerprint("card", rows, dumped)
    return {"questions": questions, "trajectories": trajectories, "rows": rows, "card": card}


def fingerprint(*parts: Any) -> str:
    """Return a SHA-256 over the canonical JSON of everything that shapes a stage."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _source_key(source: ResolvedSource) -> list[object]:
    """What a source contributes; its path does not count, its content does."""
    spec = source.spec.model_dump(mode="json", exclude={"path"})
    return [source.dataset, source.revision, source.licence, source.r1_derived, spec]


def _replay_key(replay: ResolvedReplay) -> list[object]:
    spec = replay.spec.model_dump(mode="json", exclude={"path"})
    return [replay.dataset, replay.revision, spec]


def _waits_key(resolved: Resolved) -> list[object]:
    """What of the row sections changes which continuations are sampled."""
    if not resolved.but_waits:
        return []
    spec = resolved.but_waits[0]  # all of a recipe agree in these
    return [spec.phrase, spec.n_waits, spec.per_question, spec.max_tokens]


_PLACES = {"server", "model", "weak_server", "weak"}
"""Keys of ``prm`` that say where weights are; which ones they are is the scorer's identity."""


def _search_key(resolved: Resolved) -> list[object]:
    """What shapes the search trees; nothing where there are none."""
    plan = resolved.search
    if plan is None:
        return []
    prm = plan.prm.model_dump(mode="json", exclude=_PLACES) if plan.prm else None
    scorer = plan.scorer.model_dump() if plan.scorer else None
    return [plan.spec.model_dump(mode="json"), prm, scorer]
