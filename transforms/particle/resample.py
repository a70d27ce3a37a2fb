"""Resampling schemes with one signature; all unbiased: slot counts have the mean n * weight.

Sources: Gordon et al. 1993 (multinomial), Kitagawa 1996 (stratified, systematic), Liu and Chen 1998
(residual); compared in Douc, Cappe and Moulines 2005. Conditional draws, which particle Gibbs
needs: Chopin and Singh 2015 for the systematic scheme; the others by the same argument (the law of
the counts, tilted by how often the kept particle was chosen).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from butwait.schemas.recipe_search import Scheme
from butwait.transforms.particle.weights import Floats, normalize

Ancestors = NDArray[np.int64]


def resample(scheme: Scheme, log_weights: Floats, n: int, rng: np.random.Generator) -> Ancestors:
    """Draw an ancestor for each of n slots.

    Args:
        scheme: ``multinomial`` (independent draws), ``stratified`` (one draw in each n-th of the
            weights), ``systematic`` (one draw shared by all n-ths), ``residual`` (whole parts of
            n * weight are given out, the rest drawn).
        log_weights: Shape (m,), in any scale; a particle of -inf is never chosen.
        n: Slots, at least 1.
        rng: Source of the draws.

    Returns:
        Shape (n,), indices into the particles; sorted for all but ``multinomial``.

    Raises:
        WeightError: NaN, +inf, or no particle alive.
    """
    weights = np.exp(normalize(log_weights))
    match scheme:
        case "multinomial":
            return _invert(weights, rng.random(n))
        case "stratified":
            return _invert(weights, (np.arange(n) + rng.random(n)) / n)
        case "systematic":
            return _invert(weights, (np.arange(n) + rng.random()) / n)
        case "residual":
            return _residual(weights, n, rng)


def resample_given(
    scheme: Scheme, log_weights: Floats, rng: np.random.Generator, kept: int
) -> Ancestors:
    """Draw as `resample` does, given that slot ``kept`` continues particle ``kept``.

    To draw freely and overwrite the slot would give the kept particle one child too many, or take
    another's child away, for every scheme but ``multinomial``.

    Args:
        scheme: As in `resample`.
        log_weights: Shape (n,); there are as many slots as particles.
        rng: Source of the draws.
        kept: The particle that survives in its own slot.

    Returns:
        Shape (n,); slots other than ``kept`` in random order.
    """
    weights = np.exp(normalize(log_weights))
    n = len(weights)
    if scheme == "residual":
        drawn, place = _residual_given(weights, rng, kept)
    else:
        # A point that falls into the kept particle's stretch of the cumulative weights.
        point = weights[:kept].sum() + rng.random() * weights[kept]
        place = min(int(n * point), n - 1)
        match scheme:
            case "multinomial":
                points = rng.random(n)
            case "stratified":
                points = (np.arange(n) + rng.random(n)) / n
            case "systematic":
                points = (np.arange(n) + n * point % 1.0) / n
        drawn = _invert(weights, points)
    others = rng.permutation(np.delete(drawn, place))
    return np.insert(others, kept, kept).astype(np.int64)


def _invert(weights: Floats, points: Floats) -> Ancestors:
    """Find the particle in whose stretch of the cumulative weights each point lies."""
    cumulative = np.cumsum(weights)
    found = np.searchsorted(cumulative, points, side="right")
    # Rounding may leave the sum below 1, or a point at the end of a stretch of no length: take
    # the nearest particle alive instead of one past the end.
    alive = np.flatnonzero(weights > 0)
    clamped: Ancestors = np.minimum(found, alive[-1]).astype(np.int64)
    return clamped


def _residual(weights: Floats, n: int, rng: np.random.Generator) -> Ancestors:
    certain, rest = _whole_parts(weights, n)
    drawn = _invert(rest, rng.random(n - len(certain)))
    return np.sort(np.concatenate([certain, drawn])).astype(np.int64)


def _whole_parts(weights: Floats, n: int) -> tuple[Ancestors, Floats]:
    """Return who has slots for certain, and the normalised weights of the draws for the others."""
    expected = n * weights
    # A whole number that rounding put just below itself is still whole.
    whole = np.floor(expected + 1e-9).astype(np.int64)
    certain = np.repeat(np.arange(len(weights)), whole)[:n].astype(np.int64)
    if len(certain) == n:
        return certain, weights  # nothing is left to draw
    rest = np.clip(expected - whole, 0.0, None)
    return certain, rest / rest.sum()


def _residual_given(weights: Floats, rng: np.random.Generator, kept: int) -> tuple[Ancestors, int]:
    """Draw by the residual scheme, and say which slot is the kept particle's."""
    n = len(weights)
    certain, rest = _whole_parts(weights, n)
    drawn = np.concatenate([certain, _invert(rest, rng.random(n - len(certain)))])
    own = np.flatnonzero(certain == kept)
    if len(own) and rng.random() * n * weights[kept] < len(own):
        return drawn, int(own[0])
    return drawn, min(len(certain), n - 1)  # the first of the drawn slots is its own
