"""Near-duplicate search: MinHash signatures of character shingles in an LSH index, by rensa.

Bands of two rows find a pair with a Jaccard similarity of 0.3 with probability 0.998; what they
find besides is compared by the whole signature, and then exactly (``compare``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rensa import RMinHash, RMinHashLSH

N_PERMUTATIONS = 128
N_BANDS = 64
SEED = 1
ALIKE = 0.2
"""Least estimated similarity of a candidate; the estimate's standard deviation is 0.04 there."""


class ShingleIndex:
    """The problems by their signatures."""

    def __init__(self, problems: Sequence[list[str]]) -> None:
        self._lsh = RMinHashLSH(threshold=ALIKE, num_perm=N_PERMUTATIONS, num_bands=N_BANDS)
        signatures = [_sign(shingles) for shingles in problems]
        for number, signature in enumerate(signatures):
            self._lsh.insert(number, signature)
        self._digests = np.array([s.digest() for s in signatures], dtype=np.uint32)

    def find(self, shingles: list[str]) -> list[int]:
        """Return the numbers of the problems that may be alike, in order."""
        signature = _sign(shingles)
        found = np.array(self._lsh.query(signature), dtype=np.intp)
        if not found.size:
            return []
        same = self._digests[found] == np.array(signature.digest(), dtype=np.uint32)
        return sorted(
            int(number)
            for number in found[np.count_nonzero(same, axis=1) >= ALIKE * N_PERMUTATIONS]
        )


def _sign(shingles: list[str]) -> RMinHash:
    # One by one: the batch call costs ten times as much for one text (it wakes a thread pool).
    signature = RMinHash(N_PERMUTATIONS, SEED)
    signature.update(shingles)
    return signature
