"""Keys of the cache: a hash of everything that can change a sample, or a reward.

The question's id and the number of samples asked together are left out: neither changes what a
sample is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache

from butwait.schemas.record import Message
from butwait.schemas.sampling import ModelIdentity, SampleRequest, SamplingParameters

KEY_VERSION = 1
_write = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode


def completion_key(identity: ModelIdentity, request: SampleRequest, index: int) -> str:
    """Return the key of one sample: SHA-256 over canonical JSON of all that shapes it.

    The question's id and the number of samples asked together are left out: neither changes what
    sample ``index`` is.
    """
    return hashlib.sha256(_write_shape(identity, request, index).encode()).hexdigest()


def completion_keys(identity: ModelIdentity, request: SampleRequest) -> list[str]:
    """Return the keys of all samples of a request, whose prefix may be long, in little time."""
    text = _write_shape(identity, request)
    # Quotes inside strings are escaped in JSON: nothing but the key itself reads like this.
    head, mark, tail = text.partition('"seed":')
    tail = tail.removeprefix(str(request.seed))
    begun = hashlib.sha256(f"{head}{mark}".encode())
    keys = []
    for index in range(request.n):
        whole = begun.copy()
        whole.update(f"{request.seed + index}{tail}".encode())
        keys.append(whole.hexdigest())
    return keys


def _write_shape(identity: ModelIdentity, request: SampleRequest, index: int = 0) -> str:
    shape = {
        "version": KEY_VERSION,
        "model": identity.id,
        "revision": identity.revision,
        "engine": identity.engine,
        "messages": write_messages(request.messages) if request.messages else None,
        "prompt": request.prompt,
        "prefix": request.prefix,
        "parameters": dump_parameters(request.parameters),
        "seed": request.seed + index,
        **_search_shape(request),
    }
    return write_canonical(shape)


def write_messages(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Write chat messages as plain values."""
    return [{"role": m.role, "content": m.content} for m in messages]


@lru_cache(64)
def dump_parameters(parameters: SamplingParameters) -> dict[str, object]:
    """Write parameters as JSON has them; all requests of a run share them."""
    return parameters.model_dump(mode="json")


def hash_shape(shape: Mapping[str, object]) -> str:
    """Hash canonical JSON with SHA-256, in hexadecimal."""
    return hashlib.sha256(write_canonical(shape).encode()).hexdigest()


def write_canonical(shape: Mapping[str, object]) -> str:
    """Write JSON with one spelling for one value: sorted keys, ASCII, no spaces."""
    return _write(shape)


def _search_shape(request: SampleRequest) -> dict[str, object]:
    """What only the requests of a search have, so that the keys of others stay as they were."""
    shape: dict[str, object] = {}
    if not request.is_seeded:
        shape["seeded"] = False
    if request.with_tokens:
        shape["tokens"] = True
    if request.with_log_probs:
        shape["log_probs"] = True
    if request.prefix_tokens is not None:
        shape["prefix_tokens"] = list(request.prefix_tokens)
    return shape
