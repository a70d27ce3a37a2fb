"""A policy and a reward model small enough to be enumerated, to hold search methods against.

Steps are ``A`` or ``B`` by a Markov chain; a solution may end after any step and must end at the
last, and a step may be cut. The reward of a prefix is a logistic function of all its steps. Every
solution with its chance and its odds can be listed, so that what a filter ought to estimate is
known exactly. Methods are driven through their protocol, as a server drives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import exp
from typing import Any

import numpy as np

from butwait.schemas.tree import Resampling
from butwait.transforms.particle.filter import FilterState
from butwait.transforms.search.protocol import Child, Children, Grow, Search


@dataclass(frozen=True)
class Toy:
    """The two-state world.

    Args:
        n_steps: Longest solution.
        end: Chance to end after a step before the last, by its letter.
        cut: Chance that a step is cut (a refusal, say) and its particle dead.
        first: Chance that the first step is A.
        to_a: Chance that A comes next, by the letter before.
    """

    n_steps: int = 4
    end: tuple[float, float] = (0.15, 0.4)
    cut: float = 0.06
    first: float = 0.4
    to_a: tuple[float, float] = (0.7, 0.35)

    def log_odds(self, prefix: str) -> float:
        """Log-odds of a prefix's reward: no function of its last step or its length alone."""
        n_a = prefix.count("A")
        last = 0.8 if prefix[-1] == "A" else -0.7
        return last + 0.45 * n_a - 0.5 * (len(prefix) - n_a) + 0.1 * (prefix[0] == "B")

    def chance_of_a(self, prefix: str) -> float:
        """Chance that the next step is A."""
        return self.to_a["AB".index(prefix[-1])] if prefix else self.first

    def chance_of_end(self, prefix: str) -> float:
        """Chance that a solution ends here."""
        return 1.0 if len(prefix) >= self.n_steps else self.end["AB".index(prefix[-1])]

    def solutions(self, prefix: str = "", chance: float = 1.0) -> Iterator[tuple[str, float]]:
        """Every finished solution with its chance under the policy."""
        for letter in "AB":
            to_a = self.chance_of_a(prefix)
            p = chance * (to_a if letter == "A" else 1.0 - to_a) * (1.0 - self.cut)
            longer = prefix + letter
            if (end := self.chance_of_end(longer)) > 0.0:
                yield longer, p * end
            if end < 1.0:
                yield from self.solutions(longer, p * (1.0 - end))

    def total(self, of: Callable[[str], float], power: float = 1.0) -> float:
        """Return the exact sum of policy times odds^power times a function of the solution."""
        return sum(p * exp(power * self.log_odds(x)) * of(x) for x, p in self.solutions())

    def total_counted_again(self, of: Callable[[str], float]) -> float:
        """Return the same with the odds of every prefix in the weight, as published code has it."""
        return sum(
            p * exp(sum(self.log_odds(x[: t + 1]) for t in range(len(x)))) * of(x)
            for x, p in self.solutions()
        )

    def draw_solution(self, rng: np.random.Generator, power: float = 1.0) -> str:
        """Draw a solution of policy times odds^power, exactly."""
        solutions = list(self.solutions())
        weights = np.array([p * exp(power * self.log_odds(x)) for x, p in solutions])
        return solutions[int(rng.choice(len(solutions), p=weights / weights.sum()))][0]


@dataclass
class Drive:
    """One search of the toy, under way or over.

    Args:
        toy: The world.
        rng: Source of the policy's draws and the method's.
    """

    toy: Toy
    rng: np.random.Generator
    prefixes: list[str] = field(default_factory=list)
    records: list[Resampling] = field(default_factory=list)

    def draw(self, *names: str | int) -> np.random.Generator:
        """Give a method its generator."""
        return self.rng

    def run(self, search: Search[Any], state: Any = None) -> Any:
        """Drive a method to its end and return its state."""
        state = search.init() if state is None else state
        while wanted := search.grow(state):
            state, records = search.step(state, self.grow(wanted), self.draw)
            self.records.extend(records)
        return state

    def grow(self, wanted: tuple[Grow, ...]) -> Children:
        """Sample and score what is wanted."""
        return {g.parent: [self._child(g.parent) for _ in range(g.n)] for g in wanted}

    def add(self, prefix: str, *, is_end: bool, is_dead: bool = False) -> Child:
        """Add a node."""
        self.prefixes.append(prefix)
        log_odds = self.toy.log_odds(prefix)
        reward = 1.0 / (1.0 + exp(-log_odds))
        return Child(len(self.prefixes) - 1, reward, log_odds, is_end, is_dead)

    def script(self, solution: str) -> tuple[Child, ...]:
        """Add the nodes of a whole solution, for a reference."""
        n = len(solution)
        return tuple(self.add(solution[: t + 1], is_end=t + 1 == n) for t in range(n))

    def _child(self, parent: int | None) -> Child:
        before = "" if parent is None else self.prefixes[parent]
        u, v, w = self.rng.random(3)
        prefix = before + ("A" if u < self.toy.chance_of_a(before) else "B")
        is_dead = bool(w < self.toy.cut)
        is_end = bool(v < self.toy.chance_of_end(prefix)) and not is_dead
        return self.add(prefix, is_end=is_end, is_dead=is_dead)


def estimate(drive: Drive, state: FilterState, of: Callable[[str], float]) -> float:
    """Return a filter's unnormalised estimate: the mean over all slots of weight times function.

    Of policy times odds it is unbiased at any number of particles; the weighted mean of final
    particles (a ratio of two such) is only consistent.
    """
    particles = [p for chain in state.chains for p in chain.particles]
    ended = [p for p in particles if p.is_finished]
    return sum(exp(p.log_weight) * of(drive.prefixes[p.path[-1].node]) for p in ended) / len(
        particles
    )


def z_score(values: list[float], exact: float) -> tuple[float, float]:
    """Return the mean of independent values and its distance from ``exact`` in standard errors."""
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, (mean - exact) / error if error > 0.0 else float(mean != exact) * float("inf")
