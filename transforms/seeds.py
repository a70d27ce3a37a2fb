"""Seeds that depend on what is asked and on nothing else.

A seed derives from the run's seed, the question and the step, so that shards, workers, bundles and
retries change nothing. A request of n samples uses the seeds s, s + 1 ... s + n - 1.

Seeds are spread over the whole range instead of lying on a grid. Where an engine uses 64 bits (on
GPU), two of one million requests of 8 samples overlap with probability 1e-6. CPU generators of
torch keep only the lower 32 bits: among 10,000 requests of 8 samples about 0.2 pairs overlap, among
one million about 2,000. Such a pair shares random numbers, not prompts, so its texts differ anyway.
A grid would be worse: multiples of 2**13 leave 19 of the 32 bits.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

MAX_SAMPLES = 4096
"""Most samples of one request; every derived seed leaves room for so many."""
_SEED_SPACE = 2**63 - MAX_SAMPLES


def derive_seed(run_seed: int, question_id: str, step: str) -> int:
    """Derive the seed of one request.

    Args:
        run_seed: The recipe's seed.
        question_id: Stable id of the question.
        step: Which request of the question this is (``sample``, ``continue-0`` ...).

    Returns:
        A seed in [0, 2**63 - 4096), the same on every machine.

    >>> derive_seed(0, "q1", "sample")
    6853491953792511234
    >>> derive_seed(0, "q1", "sample") == derive_seed(1, "q1", "sample")
    False
    """
    return _hash("request", run_seed, question_id, step) % _SEED_SPACE


def derive_rng(run_seed: int, *names: str | int) -> np.random.Generator:
    """Make a generator for our own random choices, independent for each tuple of names.

    Args:
        run_seed: The recipe's seed.
        names: What the choice is for, e.g. ``"split", question_id``.

    Returns:
        A PCG64 generator, named so that numpy's default may change without changing a dataset.
    """
    return np.random.Generator(np.random.PCG64(_hash("choice", run_seed, *names)))


def _hash(*parts: str | int) -> int:
    """Hash parts to 256 bits; JSON keeps ``("a", "b")`` and ``("ab",)`` apart."""
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest(), "big")
