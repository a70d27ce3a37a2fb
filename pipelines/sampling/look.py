"""Is a server up, and do tokens move? ``/health`` alone does not tell: vLLM's stays fine while its
engine is stuck.

A look asks ``/health``, then ``/v1/models``, then for one token. A full server may be long about
that one token, so the counter of generated tokens on ``/metrics`` counts as well, where there is
one. Left out: what follows from a look (``place.py``).
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from butwait.pipelines.sampling.attempt import Connection, Reply, tell

LOOK_S = 10.0
"""Longest wait for what a server answers without its engine."""
Proof = tuple[str, dict[str, Any]]
"""Path and payload of a request that only a working engine answers."""
_COUNTER = re.compile(r"^vllm:(?:generation|prompt)_tokens_total(?:\{[^}]*\})?\s+(\S+)", re.M)


@dataclass(frozen=True)
class Look:
    """What a look found."""

    state: Literal["up", "away", "failing", "stuck"]
    """``away``: nobody answers, or not for this model. ``failing``: it answers with errors.
    ``stuck``: it answers, and no token moves."""
    seen: str = ""


def prove_with_a_token(model: str) -> Proof:
    """Ask for one token; the prompt is long enough for vLLM's CPU build (docs/sampling.md)."""
    prompt = "One and one are two, two and two are four, and four and four are"
    return "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0}


async def look_at(http: Connection, model: str | None, proof: Proof | None, proof_s: float) -> Look:
    """Look at a server once.

    Args:
        http: Connections to the server.
        model: Served name that it must list, where it lists any.
        proof: What only a working engine answers; None: health and models must do.
        proof_s: Longest wait for it.
    """
    try:
        async with asyncio.timeout(LOOK_S):
            health = await http.fetch("/health")
        if health.status >= 500:
            return Look("away", f"/health answers {health.status}")
        async with asyncio.timeout(LOOK_S):
            listed = await http.fetch("/v1/models")
    except (aiohttp.ClientError, OSError) as error:
        return Look("away", tell(error))
    if listed.status >= 500:
        return Look("away", f"/v1/models answers {listed.status}")
    names = _read_names(listed)
    if model is not None and names and model not in names:
        return Look("away", f"it serves {', '.join(names)} now, not {model}")
    return await moves(http, proof, proof_s) if proof is not None else Look("up")


async def moves(http: Connection, proof: Proof, proof_s: float) -> Look:
    """Look whether a server's engine makes tokens.

    Args:
        http: Connections to the server.
        proof: What only a working engine answers.
        proof_s: Longest wait for it.
    """
    before = await _count_tokens(http)
    try:
        async with asyncio.timeout(proof_s):
            reply = await http.fetch(*proof)
        if reply.status < 500:
            return Look("up")
        return Look("failing", f"{proof[0]} answers {reply.status}, while /health is fine")
    except TimeoutError:
        seen = f"no token within {proof_s:g} s"
    except (aiohttp.ClientError, OSError) as error:  # it died meanwhile
        return Look("away", tell(error))
    after = await _count_tokens(http)
    if before is not None and after is not None and after > before:
        return Look("up", "its counter of tokens moves")
    return Look("stuck", f"{seen}, while /health is fine")


async def _count_tokens(http: Connection) -> float | None:
    """Sum the counters of tokens; None where there are none."""
    try:
        async with asyncio.timeout(LOOK_S):
            text = (await http.fetch("/metrics")).text
        found = [float(value) for value in _COUNTER.findall(text)]
    except (aiohttp.ClientError, OSError, ValueError):
        return None
    return sum(found) if found else None


def _read_names(reply: Reply) -> list[str]:
    try:
        return [str(model["id"]) for model in json.loads(reply.body)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
