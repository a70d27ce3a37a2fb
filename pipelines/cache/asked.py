"""What was asked, without its texts: kept beside every answer, so that a miss can be explained.

A key is a hash and tells nothing. Kept are the settings as they were (model, parameters), once for
all that share them, and once for the samples of a request the short hashes of its texts and its
seed. Left out: the texts themselves, which the run folder has, and single steps of a search, which
share one entry a question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from butwait.pipelines.cache.keys import (
    KEY_VERSION,
    dump_parameters,
    write_canonical,
    write_messages,
)
from butwait.schemas.sampling import ModelIdentity, SampleRequest, SamplingParameters

_BYTES = 6
"""A short hash: SQLite stores it in as many bytes; equal ones only lead to a worse explanation."""


@dataclass(frozen=True)
class Asked:
    """One request for samples or rewards, as it is kept."""

    settings: str
    """Canonical JSON of all that requests of one run share, with who answered (``by``)."""
    question: int
    """Short hash of the question's problem part of its id."""
    user: int = 0
    """Short hash of the prompt, or of the messages but for the system's; 0: not kept."""
    prefix: int = 0
    """Short hash of what the assistant has already said; 0: nothing, or not kept."""
    seed: int = 0
    """Of sample 0; 0: not kept."""
    n: int = 0
    """Samples that were asked for; 0: not kept."""

    @property
    def settings_id(self) -> int:
        """Short hash of the settings."""
        return short_hash(self.settings)

    @property
    def id(self) -> int:
        """63 bits over everything but ``n``: more samples of one request belong to it."""
        name = f"{self.settings}\0{self.question} {self.user} {self.prefix} {self.seed}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def short_hash(text: str) -> int:
    """Hash a text to 48 bits, never 0."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:_BYTES], "big") or 1


def hash_question(question_id: str) -> int:
    """Hash the part of a question's id that depends on the problem alone."""
    return short_hash(question_id[:17])


def describe_request(identity: ModelIdentity, request: SampleRequest, by: str) -> Asked:
    """Describe a request for samples.

    Args:
        identity: Part of every key.
        request: As for `completion_key`; its seed is that of sample 0.
        by: The engine that answers, with its version where known.
    """
    messages = request.messages or ()
    is_step = request.step.startswith("search")
    others = write_messages(m for m in messages if m.role != "system")
    user = request.prompt if request.prompt is not None else write_canonical({"": others})
    return Asked(
        settings=_write_settings(
            identity,
            tuple(m.content for m in messages if m.role == "system"),
            request.messages is None,
            request.parameters,
            (request.is_seeded, request.with_tokens, request.with_log_probs, is_step),
            by,
        ),
        question=hash_question(request.question_id),
        user=short_hash(user),
        prefix=short_hash(request.prefix) if request.prefix and not is_step else 0,
        seed=0 if is_step else request.seed,
        n=0 if is_step else request.n,
    )


@lru_cache(64)
def _write_settings(
    identity: ModelIdentity,
    system_texts: tuple[str, ...],
    is_template: bool,
    parameters: SamplingParameters,
    flags: tuple[bool, bool, bool, bool],
    by: str,
) -> str:
    """Write what requests of one run share, once for all of them."""
    is_seeded, with_tokens, with_log_probs, is_step = flags
    system = [{"role": "system", "content": text} for text in system_texts]
    settings: dict[str, object] = {
        "version": KEY_VERSION,
        "model": identity.id,
        "revision": identity.revision,
        "engine": identity.engine,
        "system": f"{short_hash(write_canonical({'': system})):012x}" if system else None,
        "template": is_template,
        "parameters": dump_parameters(parameters),
        "seeded": is_seeded,
        "tokens": with_tokens,
        "log_probs": with_log_probs,
        "by": by,
    }
    return write_canonical({**settings, "search": True} if is_step else settings)


def describe_score(
    identity: ModelIdentity, parameters: Mapping[str, object], question_id: str, by: str
) -> Asked:
    """Describe requests for rewards of one question: all its prefixes share one entry."""
    settings = {
        "model": identity.id,
        "revision": identity.revision,
        "engine": identity.engine,
        "parameters": parameters,
        "rewards": True,
        "by": by,
    }
    return Asked(settings=write_canonical(settings), question=hash_question(question_id))
