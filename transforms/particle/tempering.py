"""References between Gibbs iterations, and their exchange between chains of other temperatures.

Andrieu, Doucet and Holenstein 2010 (particle Gibbs); parallel tempering as in arXiv 2502.01618,
where chain k targets policy times odds^(1 / T_k): the policy's part cancels in the exchange. Exact
with ``incremental`` weights and one reference; with ``full_prefix`` ones, whose target is another,
the published rule all the same.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from butwait.transforms.particle.population import Chain, Particle, log_odds_of, log_weights_of
from butwait.transforms.particle.weights import Floats, normalize
from butwait.transforms.search.protocol import Draw

Weighting = Literal["full_prefix", "incremental"]


def choose_references(
    chain: Chain, n: int, draw: Draw, weighting: Weighting
) -> tuple[Particle, ...]:
    """Draw n finished particles by weight; none where none has finished."""
    finished = chain.finished
    if not finished:
        return ()
    rng = draw("reference", chain.index, chain.iteration)
    weights = np.exp(normalize(_reference_log_weights(chain, finished, weighting)))
    picked = rng.choice(len(finished), size=n, p=weights / weights.sum())
    return tuple(finished[int(i)] for i in picked)


def _reference_log_weights(
    chain: Chain, finished: tuple[Particle, ...], weighting: Weighting
) -> Floats:
    """Weight finished particles for the chain's own target.

    ``incremental`` weights stand for policy times odds whatever they were resampled at, so what
    the target's power is short of 1 is taken off; ``full_prefix`` ones are those since the last
    resampling, and are tempered as they would be at another (the published rule).
    """
    log_weights = log_weights_of(finished)
    if weighting == "full_prefix":
        return log_weights / chain.temperature
    return log_weights + (1.0 / chain.target_temperature - 1.0) * log_odds_of(finished)


def exchange_chance(
    log_odds: float, other_log_odds: float, temperature: float, other_temperature: float
) -> float:
    """Return the chance that two neighbouring chains exchange their references.

    min(1, [p_k(x') p_l(x)] / [p_k(x) p_l(x')]) with p_k(x) proportional to policy(x) odds(x)^(1/T).

    >>> exchange_chance(0.0, 5.0, 1.0, 2.0)  # the better one moves to the colder chain
    1.0
    """
    log_ratio = (other_log_odds - log_odds) * (1.0 / temperature - 1.0 / other_temperature)
    return math.exp(min(0.0, log_ratio))


def exchange(
    chains: tuple[Chain, ...], references: list[tuple[Particle, ...]], draw: Draw
) -> list[tuple[Particle, ...]]:
    """Offer every pair of neighbours an exchange of their first references, in order."""
    exchanged = list(references)
    for k in range(len(chains) - 1):
        mine, others = exchanged[k], exchanged[k + 1]
        hot, cold = chains[k], chains[k + 1]
        if not mine or not others or hot.temperature == cold.temperature:
            continue
        chance = exchange_chance(
            mine[0].log_odds, others[0].log_odds, hot.temperature, cold.temperature
        )
        if draw("exchange", k, hot.iteration).random() < chance:
            exchanged[k] = (others[0], *mine[1:])
            exchanged[k + 1] = (mine[0], *others[1:])
    return exchanged
