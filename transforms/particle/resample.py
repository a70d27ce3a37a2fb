"""Resampling schemes with one signature; all unbiased: slot counts have the mean n * weight.

Sources: Gordon et al. 1993 (multinomial), Kitagawa 1996 (stratified, systematic), Liu and Chen 1998
(residual); compared in Douc, Cappe and Moulines 2005.
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
    expected = n * weights
    # A whole number that rounding put just below itself is still whole.
    whole = np.floor(expected + 1e-9).astype(np.int64)
    certain = np.repeat(np.arange(len(weights)), whole)[:n]
    n_left = n - len(certain)
    if n_left == 0:
        return certain.astype(np.int64)
    rest = np.clip(expected - whole, 0.0, None)
    drawn = _invert(rest / rest.sum(), rng.random(n_left))
    return np.sort(np.concatenate([certain, drawn])).astype(np.int64)
