"""``make bench-coverage``: how often 95 % intervals hold the truth, to docs/benchmarks.md.

Runs are simulated: the rates of K problems are drawn from a population, n samples of each from its
rate. The target is the population's mean. Rates follow a Beta distribution; its concentration is 1
where not said otherwise, near what the original table's Phi-4 implies (46 of 240 right with 13 of
30 solved: 1.07; the table's other rows: 0.7 to 1.9): half of the problems are hopeless.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sections import replace_section
from butwait.evals.intervals import logit_bounds, two_level_bootstrap
from butwait.evals.metrics import score_of_count
from butwait.evals.student import t_quantile

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
START, END = "<!-- coverage: start -->", "<!-- coverage: end -->"
LOW, HIGH = 0.935, 0.965
SEED = 20261127


class Method(Enum):
    """What is measured."""

    LOGIT = "log-odds"
    CLUSTERED = "clustered error, t"
    BOOTSTRAP = "two-level bootstrap"


@dataclass(frozen=True)
class Cell:
    """One setting of the simulation."""

    n_problems: int
    n_samples: int
    rate: float
    k: int | None = None
    """None: expected@1; else pass@k."""
    concentration: float = 1.0
    """a + b of the Beta distribution of the problems' rates."""

    def target(self) -> float:
        """The population's mean: of the rates, or of 1 - (1 - rate)^k."""
        if self.k is None:
            return self.rate
        wrong = (1 - self.rate) * self.concentration
        steps = [(wrong + j) / (self.concentration + j) for j in range(self.k)]
        return 1 - float(np.prod(steps))


GRID = [Cell(k, n, rate) for k in (30, 500) for n in (8, 64) for rate in (0.05, 0.2, 0.8)]
PASS_GRID = [Cell(k, n, rate, 8) for k in (30, 500) for n in (8, 64) for rate in (0.05, 0.2, 0.8)]
OTHER_GRID = [
    Cell(30, 8, rate, None, concentration)
    for concentration in (0.5, 2.0, 5.0)
    for rate in (0.05, 0.2, 0.8)
]


def draw_counts(cell: Cell, n_runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the counts of right samples of many runs, shape (runs, K)."""
    right = cell.rate * cell.concentration
    rates = rng.beta(right, cell.concentration - right, size=(n_runs, cell.n_problems))
    return rng.binomial(cell.n_samples, rates)


def cover(method: Method, cell: Cell, counts: NDArray[np.int64], rng: np.random.Generator) -> float:
    """Return the share of runs whose interval holds the target."""
    scores = score_of_count(cell.n_samples, cell.k)[counts]
    if method is Method.LOGIT:
        low, high = logit_bounds(scores)
    elif method is Method.CLUSTERED:
        error = scores.std(axis=1, ddof=1) / cell.n_problems**0.5
        half = t_quantile(0.975, cell.n_problems - 1) * error
        low, high = scores.mean(axis=1) - half, scores.mean(axis=1) + half
    else:
        found = [
            two_level_bootstrap(run, cell.n_samples, rng, k=cell.k, n_draws=1000) for run in counts
        ]
        low, high = (np.array([getattr(one, end) for one in found]) for end in ("low", "high"))
    # A target of 0.2 is not to be missed by the last digit of an end.
    return float(np.mean((low <= cell.target() + 1e-12) & (cell.target() - 1e-12 <= high)))


def measure(grid: Sequence[Cell], n_runs: int) -> list[list[str]]:
    """Measure all methods over a grid; a row each, shares in per cent.

    The bootstrap, a thousand times slower, sees the first tenth of the runs.
    """
    rows = []
    for i, cell in enumerate(grid):
        rng = np.random.default_rng([SEED, i])
        counts = draw_counts(cell, n_runs, rng)
        few = counts[: n_runs // 10]
        shares = [
            cover(method, cell, few if method is Method.BOOTSTRAP else counts, rng)
            for method in Method
        ]
        print(cell, [f"{100 * share:.2f}" for share in shares], flush=True)
        marked = [
            f"{100 * share:.1f}" if LOW <= share <= HIGH else f"**{100 * share:.1f}**"
            for share in shares
        ]
        rows.append([str(cell.n_problems), str(cell.n_samples), f"{100 * cell.target():.1f}"])
        rows[-1] += [f"{cell.concentration:g}", *marked]
    return rows


def table(first: str, rows: list[list[str]]) -> list[str]:
    """Lay the rows out."""
    head = ["K", "n", first, "concentration", *(method.value for method in Method)]
    lines = [head, ["---:"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def section(n_runs: int) -> str:
    """The section's text."""
    lines = [
        "## Coverage of the intervals",
        "",
        f"`make bench-coverage`, {date.today().isoformat()}. numpy {np.__version__}, "
        f"Python {platform.python_version()}, seed {SEED}.",
        "",
        f"Share of {n_runs:,} simulated runs (the bootstrap: {n_runs // 10:,}), in %, whose 95 % "
        "interval holds the population's mean.",
        "K problems are drawn from a Beta distribution of rates, n samples of each. In bold: "
        "outside 93.5 to 96.5.",
        f"Standard error of a share of 95: {_noise(n_runs)}, of the bootstrap's: "
        f"{_noise(n_runs // 10)}.",
        "",
        "### expected@1",
        "",
        *table("truth, %", measure(GRID, n_runs)),
        "### pass@8",
        "",
        *table("truth, %", measure(PASS_GRID, n_runs)),
        "### expected@1, other spreads of difficulty",
        "",
        *table("truth, %", measure(OTHER_GRID, n_runs)),
    ]
    return "\n".join(lines).rstrip()


def _noise(n_runs: int) -> str:
    return f"{100 * (0.95 * 0.05 / n_runs) ** 0.5:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="simulated runs a cell")
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write into")
    options = parser.parse_args()
    replace_section(options.out, START, END, section(options.runs))
