"""The particle filter and its family as ``init`` and ``step``.

One search serves the particle filter, the entropic filter, particle Gibbs (iterations with
reference particles) and islands with parallel tempering: chains of particles that grow, are
weighted and are resampled step by step. Departures from the public implementations (the defects of
each are in docs/search.md): nothing is resampled after the last step, so final weights are those of
the particles that have them; reference particles are weighted by the reward of the step at which
they stand; dead particles leave with weight zero and a recorded reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain as joined

import numpy as np

from butwait.schemas.recipe_search import (
    EntropicParticle,
    FilterSpec,
    Islands,
    ParticleGibbs,
    Scheme,
    budget_parts,
)
from butwait.schemas.tree import Resampling
from butwait.transforms.particle.population import (
    DEAD,
    Chain,
    Particle,
    advance,
    log_weights_of,
)
from butwait.transforms.particle.resample import Ancestors, resample, resample_given
from butwait.transforms.particle.tempering import choose_references, exchange
from butwait.transforms.particle.weights import (
    Floats,
    anneal,
    effective_sample_size,
    entropic_temperature,
    log_mean,
    normalize,
)
from butwait.transforms.search.protocol import Child, Children, Draw, Final, Grow


@dataclass(frozen=True)
class FilterState:
    """All chains."""

    chains: tuple[Chain, ...]


@dataclass(frozen=True)
class FilterSearch:
    """Implements ``Search``."""

    spec: FilterSpec
    whole: bool = False

    def init(self) -> FilterState:
        """Every particle at the prompt, weight 1."""
        spec = self.spec
        fresh = tuple(Particle() for _ in range(spec.budget // budget_parts(spec)))
        if not isinstance(spec, Islands):
            return FilterState((Chain(0, fresh, spec.softmax_temperature),))
        targets = spec.temperatures or (1.0,) * spec.islands
        flat = spec.temperatures or (spec.softmax_temperature,) * spec.islands
        return FilterState(
            tuple(
                Chain(i, fresh, temperature, target_temperature=target)
                for i, (temperature, target) in enumerate(zip(flat, targets, strict=True))
            )
        )

    def grow(self, state: FilterState) -> tuple[Grow, ...]:
        """One child for every active particle that does not follow a script."""
        counts: dict[int | None, int] = {}
        for particle in joined.from_iterable(c.particles for c in state.chains):
            if not particle.is_done and not particle.script:
                counts[particle.node] = counts.get(particle.node, 0) + 1
        return tuple(Grow(parent, n) for parent, n in counts.items())

    def step(
        self, state: FilterState, children: Children, draw: Draw
    ) -> tuple[FilterState, tuple[Resampling, ...]]:
        """Move, weight and resample every chain; begin its next iteration where one has ended."""
        waiting = {parent: iter(grown) for parent, grown in children.items()}
        chains: list[Chain] = []
        records: list[Resampling] = []
        for chain in state.chains:
            if not chain.active:
                chains.append(chain)
                continue
            moved = self._move(chain, waiting)
            # A reference alone needs no server: it walks on within the same step.
            while True:
                moved, record = self._resample(moved, draw)
                records.extend(record)
                if not moved.active or any(not p.script for p in moved.active):
                    break
                moved = self._move(moved, waiting)
            chains.append(moved)
        return FilterState(self._iterate(tuple(chains), draw)), tuple(records)

    def final(self, state: FilterState) -> Final:
        """Finished particles of all chains with their weights.

        Independent filters with ``incremental`` weights have shares in proportion to their mean
        weights (evidence), as one filter's particles have; chains whose weights do not carry it
        (references, or counted again at every step) have equal shares.
        """
        leaves: list[Child] = []
        weights: list[Floats] = []
        for chain in state.chains:
            if finished := chain.finished:
                leaves.extend(p.path[-1] for p in finished)
                own = log_weights_of(finished)
                weights.append(own if self._carries_evidence else normalize(own))
        if not leaves:
            return Final((), ())
        return Final(tuple(leaves), tuple(normalize(np.concatenate(weights)).tolist()))

    @property
    def _carries_evidence(self) -> bool:
        spec = self.spec
        iterates = isinstance(spec, ParticleGibbs | Islands) and spec.iterations > 1
        return spec.weighting == "incremental" and not iterates

    def _move(self, chain: Chain, waiting: dict[int | None, Iterator[Child]]) -> Chain:
        """Give every active particle its child; finished ones are weighted again if they compete.

        The second is the published filter's habit: with the full prefix as weight, a finished
        solution is counted at every later step (docs/search.md, early finishers).
        """
        again = self.spec.finished == "compete" and self.spec.weighting == "full_prefix"
        moved: list[Particle] = []
        for p in chain.particles:
            if not p.is_done:
                child = p.script[0] if p.script else next(waiting[p.node])
                moved.append(advance(p, child, self.spec.weighting))
            elif again and p.is_finished:
                moved.append(replace(p, log_weight=p.log_weight + p.log_odds))
            else:
                moved.append(p)
        return replace(chain, particles=tuple(moved), step=chain.step + 1)

    def _resample(self, chain: Chain, draw: Draw) -> tuple[Chain, tuple[Resampling, ...]]:
        """Resample a chain that has something to grow; its last step is never resampled."""
        if not chain.active:
            return chain, ()
        competes = self.spec.finished == "compete"
        places = [i for i, p in enumerate(chain.particles) if competes or not p.is_finished]
        pool = tuple(chain.particles[i] for i in places)
        log_weights = log_weights_of(pool)
        temperature = self._temperature(chain, log_weights)
        tempered = normalize(log_weights / temperature)
        ess = effective_sample_size(log_weights)
        ancestors = np.arange(len(pool))
        share = self.spec.resample
        if share == "every_step" or ess < share * len(pool):
            rng = draw("resample", chain.index, chain.iteration, chain.step)
            ancestors = _draw_ancestors(self.spec.scheme, pool, tempered, rng)
            pool = self._copy(pool, ancestors, log_weights, tempered, temperature)
        record = Resampling(
            chain=chain.index,
            iteration=chain.iteration,
            step=chain.step,
            particles=tuple(chain.particles[i].path[-1].node for i in places),
            log_weights=tuple(None if w == DEAD else w for w in tempered.tolist()),
            ess=ess,
            temperature=temperature,
            ancestors=tuple(ancestors.tolist()),
        )
        particles = list(chain.particles)
        for place, particle in zip(places, pool, strict=True):
            particles[place] = particle
        return replace(chain, particles=tuple(particles)), (record,)

    def _copy(
        self,
        pool: tuple[Particle, ...],
        ancestors: Ancestors,
        log_weights: Floats,
        tempered: Floats,
        temperature: float,
    ) -> tuple[Particle, ...]:
        """Fill the slots; weights keep the pool's mean.

        With ``incremental`` weights a slot drawn with chance q keeps w / (n q), which is the mean
        at temperature 1 and stays unbiased at any other. ``full_prefix`` forgets (the code's way).
        """
        mean = log_mean(log_weights)
        copies = []
        for slot, a in enumerate(ancestors):
            weight = mean
            if self.spec.weighting == "incremental" and temperature != 1.0:
                weight = float(log_weights[a] - tempered[a] - np.log(len(pool)))
            kept = pool[slot] if a == slot else replace(pool[a], script=(), is_reference=False)
            copies.append(replace(kept, log_weight=weight))
        return tuple(copies)

    def _temperature(self, chain: Chain, log_weights: Floats) -> float:
        spec, base = self.spec, chain.temperature
        if spec.anneal is not None:
            first, last, n_steps = spec.anneal
            base = anneal(chain.step - 1, first, last, n_steps)
        if not isinstance(spec, EntropicParticle):
            return base
        progress = chain.step / spec.max_steps
        tempered = log_weights / base
        uneven = effective_sample_size(tempered) < spec.ess_threshold * len(tempered)
        if progress < spec.early_phase and uneven:
            return base * entropic_temperature(tempered, progress, spec.temper)
        return base

    def _iterate(self, chains: tuple[Chain, ...], draw: Draw) -> tuple[Chain, ...]:
        """Begin the next Gibbs iteration once all chains have ended theirs."""
        spec = self.spec
        if not isinstance(spec, ParticleGibbs | Islands) or any(c.active for c in chains):
            return chains
        if chains[0].iteration + 1 >= spec.iterations:
            return chains
        n_references = spec.n_references if isinstance(spec, ParticleGibbs) else 1
        references = [choose_references(c, n_references, draw, spec.weighting) for c in chains]
        references = exchange(chains, references, draw)
        return tuple(_restart(c, r) for c, r in zip(chains, references, strict=True))


def _restart(chain: Chain, references: tuple[Particle, ...]) -> Chain:
    n_fresh = len(chain.particles) - len(references)
    followed = tuple(Particle(script=r.path, is_reference=True) for r in references)
    fresh = tuple(Particle() for _ in range(n_fresh))
    return replace(
        chain,
        particles=followed + fresh,
        iteration=chain.iteration + 1,
        step=0,
        earlier=chain.finished,
    )


def _draw_ancestors(
    scheme: Scheme, pool: tuple[Particle, ...], tempered: Floats, rng: np.random.Generator
) -> Ancestors:
    """Resample; a reference keeps its own slot (conditional filter, exact for one reference)."""
    references = [slot for slot, p in enumerate(pool) if p.is_reference and not p.is_dead]
    if not references:
        return resample(scheme, tempered, len(pool), rng)
    ancestors = resample_given(scheme, tempered, rng, references[0])
    ancestors[references] = references
    return ancestors
