"""What a filter keeps: particles, chains, and how a final weight is read off them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from butwait.transforms.particle.weights import Floats
from butwait.transforms.search.protocol import Child

DEAD = float("-inf")


@dataclass(frozen=True, slots=True)
class Particle:
    """One partial solution with its weight since the last resampling."""

    path: tuple[Child, ...] = ()
    log_weight: float = 0.0
    """Unnormalised; -inf for a dead one."""
    is_done: bool = False
    """Finished or dead: it grows no more."""
    script: tuple[Child, ...] = ()
    """Nodes that a reference particle (particle Gibbs) has still to walk."""
    is_reference: bool = False

    @property
    def node(self) -> int | None:
        """Where it stands; None at the prompt."""
        return self.path[-1].node if self.path else None

    @property
    def log_odds(self) -> float:
        """Log-odds of its prefix; 0.0 at the prompt."""
        return self.path[-1].log_odds if self.path else 0.0

    @property
    def is_dead(self) -> bool:
        """Whether it can no longer count."""
        return self.log_weight == DEAD

    @property
    def is_finished(self) -> bool:
        """Whether its solution came to an end."""
        return self.is_done and not self.is_dead


@dataclass(frozen=True, slots=True)
class Chain:
    """One filter: a population that is resampled among itself."""

    index: int
    particles: tuple[Particle, ...]
    temperature: float
    """Divides its log-weights before the softmax."""
    iteration: int = 0
    step: int = 0
    """Steps taken in this iteration."""
    earlier: tuple[Particle, ...] = field(default=())
    """Finished particles of the iteration before."""
    target_temperature: float = 1.0
    """Its references follow policy times odds^(1 / this) (parallel tempering)."""

    @property
    def active(self) -> tuple[Particle, ...]:
        """Particles that can grow."""
        return tuple(p for p in self.particles if not p.is_done)

    @property
    def finished(self) -> tuple[Particle, ...]:
        """Solutions of this iteration, or of the one before where this one is not over.

        The first that finish are short ones: half an iteration does not stand for a whole.
        """
        is_over = not self.active or not self.earlier
        return tuple(p for p in self.particles if p.is_finished and is_over) or self.earlier


def advance(
    particle: Particle, child: Child, weighting: Literal["full_prefix", "incremental"]
) -> Particle:
    """Move a particle to its next node and weight it.

    ``incremental``: log w += logit r_t - logit r_(t-1), so that a solution's weight is the odds of
    the whole. ``full_prefix``: log w += logit r_t.
    """
    before = particle.log_odds if weighting == "incremental" else 0.0
    dead = child.is_dead
    return replace(
        particle,
        path=(*particle.path, child),
        log_weight=DEAD if dead else particle.log_weight + child.log_odds - before,
        is_done=dead or child.is_end,
        script=particle.script[1:],
    )


def log_weights_of(particles: tuple[Particle, ...]) -> Floats:
    """Unnormalised log-weights, shape (n,)."""
    return np.array([p.log_weight for p in particles], dtype=np.float64)


def log_odds_of(particles: tuple[Particle, ...]) -> Floats:
    """Log-odds of the prefixes, shape (n,)."""
    return np.array([p.log_odds for p in particles], dtype=np.float64)
