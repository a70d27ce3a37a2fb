"""Search methods against exact values: run as ``python -m benchmarks.search.statistics``.

Filters estimate, in a world that can be enumerated, sums of policy times odds times a function; the
mean of 10,000 runs lies within a few standard errors of the exact value, or it does not. Two cases
follow that can be worked out by hand: the first step of figure 1 of arXiv 2502.01618, and the early
finisher that takes over. It is a module of a folder: run as a script it would hide the standard
library's ``statistics``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.search.toy import Drive, Toy, estimate, z_score
from butwait.schemas.recipe_search import EntropicParticle, FilterSpec, Islands, Particle
from butwait.transforms.particle.filter import FilterSearch, FilterState
from butwait.transforms.search.protocol import Child

WRONG, RIGHT = 0.945, 0.516
"""Rewards of the wrong and of the right first step in figure 1 of arXiv 2502.01618."""
EARLY, OTHERS, N_TAKEOVER = 0.99, 0.8, 8
TEXTBOOK: dict[str, Any] = {"weighting": "incremental", "finished": "absorb"}
FAITHFUL: dict[str, Any] = {"weighting": "full_prefix", "finished": "compete"}
FIXED = Toy(end=(0.0, 0.0), cut=0.0)
"""All solutions have the same length: the published weights then have a known target too."""


@dataclass(frozen=True)
class Row:
    """One comparison."""

    case: str
    quantity: str
    mean: float
    exact: float
    z: float
    """Distance in standard errors."""
    n_runs: int
    expected: Literal["agrees", "differs"] = "agrees"
    """``differs``: a known bias, which the comparison must be able to see."""


QUANTITIES: dict[str, Callable[[str], float]] = {
    "evidence": lambda x: 1.0,
    "last step is A": lambda x: float(x[-1] == "A"),
    "one step long": lambda x: float(len(x) == 1),
}


def textbook_cases() -> dict[str, FilterSpec]:
    """Filters whose estimates must be unbiased."""

    def filter_of(**more: Any) -> Particle:
        return Particle(method="particle", **{"budget": 4, **TEXTBOOK, **more})

    return {
        "multinomial": filter_of(),
        "systematic": filter_of(scheme="systematic"),
        "stratified": filter_of(scheme="stratified"),
        "residual": filter_of(scheme="residual"),
        "systematic, ESS below half": filter_of(scheme="systematic", resample=0.5),
        "multinomial, softmax temperature 2": filter_of(softmax_temperature=2.0),
        "residual, temperature 0.6, ESS below 0.7": filter_of(
            scheme="residual", softmax_temperature=0.6, resample=0.7
        ),
        "annealed from 3 to 0.8": filter_of(anneal=(3.0, 0.8, 3)),
        "finished ones compete": filter_of(finished="compete"),
        "entropic": EntropicParticle(
            method="entropic_particle", budget=4, ess_threshold=1.0, early_phase=1.0, **TEXTBOOK
        ),
        "three islands": Islands(method="islands", budget=6, islands=3, **TEXTBOOK),
    }


def sample_estimates(case: str, spec: FilterSpec, toy: Toy, n_runs: int) -> dict[str, list[float]]:
    """Run a filter many times; every run of every case has a seed of its own."""
    search = FilterSearch(spec)
    values: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    for seed in range(n_runs):
        drive = Drive(toy, np.random.default_rng([seed, zlib.crc32(case.encode())]))
        state = drive.run(search)
        for name, of in QUANTITIES.items():
            values[name].append(estimate(drive, state, of))
    return values


def compare(
    case: str,
    quantity: str,
    values: list[float],
    exact: float,
    expected: Literal["agrees", "differs"] = "agrees",
) -> Row:
    """Hold independent values against what their mean ought to be."""
    mean, z = z_score(values, exact)
    return Row(case, quantity, mean, exact, z, len(values), expected)


def unbiased(case: str, n_runs: int) -> list[Row]:
    """Compare a textbook filter with policy times odds."""
    toy = Toy()
    values = sample_estimates(case, textbook_cases()[case], toy, n_runs)
    return [compare(case, name, values[name], toy.total(of)) for name, of in QUANTITIES.items()]


def counted_again(n_runs: int) -> list[Row]:
    """Compare the published weights with their own target, and with the one they are taken for."""
    spec = Particle(method="particle", budget=4, **FAITHFUL)
    values = sample_estimates("full_prefix", spec, FIXED, n_runs)
    own, taken = "full_prefix, for policy x all odds", "full_prefix, for policy x odds"
    rows = []
    for name in ("evidence", "last step is A"):
        of = QUANTITIES[name]
        rows.append(compare(own, name, values[name], FIXED.total_counted_again(of)))
        rows.append(compare(taken, name, values[name], FIXED.total(of), "differs"))
    return rows


def step_with(
    search: FilterSearch, state: FilterState, children: list[Child], rng: np.random.Generator
) -> FilterState:
    """Give a filter's particles their children, in slot order."""
    given = iter(children)
    grown = {g.parent: [next(given) for _ in range(g.n)] for g in search.grow(state)}
    return search.step(state, grown, lambda *names: rng)[0]


def child_of(node: int, reward: float, *, is_end: bool = False) -> Child:
    """Make a node of a given reward."""
    return Child(node, reward, math.log(reward / (1.0 - reward)), is_end)


def keeps_right_step(search: FilterSearch, rng: np.random.Generator) -> tuple[bool, int]:
    """Resample the two first steps of figure 1; tell whether the right one lives, and how often."""
    state = step_with(search, search.init(), [child_of(0, WRONG), child_of(1, RIGHT)], rng)
    n = sum(particle.node == 1 for particle in state.chains[0].particles)
    return n > 0, n


def figure_1(n_runs: int) -> Row:
    """How often a filter of two keeps the right step, which a beam of width 1 always loses."""
    search = FilterSearch(Particle(method="particle", budget=2, **FAITHFUL))
    rng = np.random.default_rng(1)
    kept = [float(keeps_right_step(search, rng)[0]) for _ in range(n_runs)]
    right, wrong = RIGHT / (1 - RIGHT), WRONG / (1 - WRONG)
    exact = 1.0 - (wrong / (right + wrong)) ** 2
    return compare("figure 1, two particles", "right step kept", kept, exact)


def takeover_shares(n_runs: int, finished: Literal["compete", "absorb"]) -> list[list[float]]:
    """Share of slots that one early finisher holds after one and after two resamplings."""
    search = FilterSearch(
        Particle(method="particle", budget=N_TAKEOVER, weighting="full_prefix", finished=finished)
    )
    rng = np.random.default_rng(2)
    shares: list[list[float]] = [[], []]
    for _ in range(n_runs):
        state = search.init()
        first = [child_of(i, OTHERS if i else EARLY, is_end=i == 0) for i in range(N_TAKEOVER)]
        for t, children in enumerate((first, [child_of(9, OTHERS)] * N_TAKEOVER)):
            if search.grow(state):
                state = step_with(search, state, children, rng)
            particles = state.chains[0].particles
            shares[t].append(sum(p.is_finished for p in particles) / N_TAKEOVER)
    return shares


def exact_takeover() -> tuple[float, float]:
    """Expected shares by hand: odds 99 against 7 times 4, then once more from every count."""
    early, others = EARLY / (1 - EARLY), OTHERS / (1 - OTHERS)

    def share(k: int) -> float:
        return k * early / (k * early + (N_TAKEOVER - k) * others)

    p = share(1)
    counts = [
        math.comb(N_TAKEOVER, k) * p**k * (1 - p) ** (N_TAKEOVER - k) for k in range(N_TAKEOVER + 1)
    ]
    return p, sum(chance * share(k) for k, chance in enumerate(counts))


def takeover(n_runs: int) -> list[Row]:
    """Compare the early finisher's share where it competes, and where it is frozen."""
    compete, absorb = takeover_shares(n_runs, "compete"), takeover_shares(n_runs, "absorb")
    rows = []
    for t, exact in enumerate(exact_takeover()):
        name = f"share after {t + 1} resampling{'s' if t else ''}"
        rows.append(compare("early finisher competes", name, compete[t], exact))
        rows.append(compare("early finisher is frozen", name, absorb[t], 1 / N_TAKEOVER))
    return rows


def measure(n_runs: int = 10_000, n_processes: int | None = None) -> list[Row]:
    """Make all comparisons, the filters' in parallel processes.

    Args:
        n_runs: Runs a filter.
        n_processes: Processes; None: one a core.
    """
    with ProcessPoolExecutor(n_processes or os.cpu_count()) as pool:
        futures = [pool.submit(unbiased, case, n_runs) for case in textbook_cases()]
        futures.append(pool.submit(counted_again, n_runs))
        rows = [row for future in futures for row in future.result()]
    return [*rows, figure_1(n_runs), *takeover(n_runs)]


def write_table(rows: list[Row]) -> str:
    """Write the comparisons as a Markdown table."""
    lines = ["| case | quantity | mean | exact | z | expected |", "|---|---|---|---|---|---|"]
    for r in rows:
        numbers = f"{r.mean:.4f} | {r.exact:.4f} | {r.z:+.2f}"
        lines.append(f"| {r.case} | {r.quantity} | {numbers} | {r.expected} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or the rows as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    rows = measure(options.runs, options.processes)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(write_table(rows))
    print(f"\n{options.runs} runs a case, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
