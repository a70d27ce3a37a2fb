"""What one check may cost, and the verifier's version.

A version changes whenever any input could get another verdict or rule: stored verdicts name it.
"""

from __future__ import annotations

from typing import NamedTuple

VERIFIER_VERSION = "3"


class Limits(NamedTuple):
    """Bounds of one check; every one of them exists because an input without it never ends.

    Args:
        answer_chars: Longest answer that is read as mathematics, in characters.
        trace_chars: Longest trace; of a longer one the end is kept.
        tokens: Most numbers, names and signs in one answer.
        depth: Deepest nesting of brackets, fractions and powers.
        digits: Most decimal digits of one number, written or computed.
        terms: Most products of terms in one normal form.
        steps: Most products of terms in all parts of one answer, or of one comparison.
        worker_s: Wall seconds of one symbolic comparison; beyond it the worker is killed.
        memory_mb: Address space of one symbolic worker beyond what it starts with.
    """

    answer_chars: int = 10_000
    trace_chars: int = 2_000_000
    tokens: int = 2_500
    depth: int = 120
    digits: int = 10_000
    terms: int = 4_000
    steps: int = 20_000
    worker_s: float = 1.0
    memory_mb: int = 1_024


DEFAULT = Limits()
