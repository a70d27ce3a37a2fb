"""Accuracy of every search method on the held-out pocket questions at equal budgets.

All methods draw from one completion cache: whole samples are the same for the methods that only
choose among them, and a second run asks no server again. Cells (a method at a budget) run from the
smallest budget up and stop being begun when the time is over; the next run goes on from the cache.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.search.questions import make_plan
from benchmarks.search.setting import TEMPERATURE
from butwait.pipelines.cache import Cache
from butwait.pipelines.sampling.batches import BatchClient
from butwait.pipelines.sampling.steps import StepSampler
from butwait.pipelines.sampling.vllm_client import VllmClient
from butwait.pipelines.scoring.cached import CachedScorer
from butwait.pipelines.scoring.engine import ScorerEndpoint, make_scorer
from butwait.pipelines.search.finish import SearchOutcome
from butwait.pipelines.search.searcher import Searcher
from butwait.schemas.question import Question

BUDGETS = (4, 8, 16, 32, 64)
CELLS_AT_ONCE = 2
"""The end of one cell, where few searches are left, overlaps with the next."""


@dataclass(frozen=True)
class Method:
    """A line of the table."""

    name: str
    search: dict[str, Any]
    scorer: str | None = "prm"
    """Which reward model: ``prm``, ``likelihood``, ``self_certainty``; None: none."""
    budgets: tuple[int, ...] = BUDGETS
    temperature: float = TEMPERATURE


WHOLE = ("self_consistency", "best_of_n", "weighted_best_of_n")
_SOUND = {"weighting": "incremental", "finished": "absorb", "resample": 0.5}
METHODS = (
    Method("greedy", {"method": "self_consistency"}, None, (1,), 0.0),
    Method("self-consistency", {"method": "self_consistency"}, None),
    Method("best-of-N", {"method": "best_of_n"}),
    Method("weighted best-of-N", {"method": "weighted_best_of_n"}),
    Method("particle filter", {"method": "particle"}),
    Method("particle filter, sound", {"method": "particle", "scheme": "systematic", **_SOUND}),
    Method("beam search", {"method": "beam"}),
    Method("DVTS", {"method": "dvts"}),
    Method("entropic filter", {"method": "entropic_particle"}),
    Method("particle Gibbs", {"method": "particle_gibbs", "iterations": 2}),
    Method("islands", {"method": "islands", "islands": 2}),
    Method("filter, self-certainty", {"method": "particle"}, "self_certainty", BUDGETS[:4]),
    Method("filter, likelihood", {"method": "particle"}, "likelihood", BUDGETS[:3]),
)


@dataclass(frozen=True, eq=False)
class Cell:
    """A method at a budget."""

    method: Method
    budget: int


def list_cells(methods: Sequence[Method], budgets: Sequence[int]) -> list[Cell]:
    """All cells, the smallest budget first."""
    return [
        Cell(method, budget)
        for budget in sorted({1, *budgets})
        for method in methods
        if budget in method.budgets
    ]


def line_up(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that ask for the same whole samples one after the other, every other one alone."""
    lines: dict[object, list[Cell]] = {}
    for cell in cells:
        is_whole = cell.method.search["method"] in WHOLE
        lines.setdefault(cell.budget if is_whole else cell, []).append(cell)
    return list(lines.values())


@dataclass
class Bench:
    """What cells run with.

    Args:
        questions: With their gold answers.
        client: Of the policy server.
        scorers: Reward models by name; methods of a missing one are left out.
        cache: Of samples and rewards.
        say: Told of progress.
    """

    questions: Sequence[Question]
    client: VllmClient
    scorers: Mapping[str, ScorerEndpoint]
    cache: Cache
    say: Callable[[str], None]

    async def run(self, cells: Sequence[Cell], until: float) -> list[dict[str, Any]]:
        """Run cells; none is begun after ``until`` (``time.monotonic``)."""
        self._batches = BatchClient(self.client)
        known = [cell for cell in cells if cell.method.scorer in (None, *self.scorers)]
        waiting = iter(line_up(known))
        rows: list[dict[str, Any]] = []

        async def work() -> None:
            for line in waiting:
                for cell in line:
                    if time.monotonic() > until:
                        return
                    rows.append(await self._run_cell(cell))

        await asyncio.gather(*(work() for _ in range(CELLS_AT_ONCE)))
        await self._batches.close()
        return rows

    async def _run_cell(self, cell: Cell) -> dict[str, Any]:
        began = time.monotonic()
        method = cell.method
        endpoint = self.scorers[method.scorer] if method.scorer else None
        plan = make_plan(
            {**method.search, "budget": cell.budget},
            temperature=method.temperature,
            prm=endpoint.prm if endpoint else None,
            scorer=endpoint.identity if endpoint else None,
        )
        steps = StepSampler(self._batches, self.cache, self.client.identity)
        scorer = None
        if endpoint is not None:
            inner = make_scorer(endpoint)
            scorer = CachedScorer(inner, self.cache, endpoint.identity, endpoint.prm)
        searcher = Searcher(plan, steps, scorer)
        outcomes = await asyncio.gather(*map(searcher.search, self.questions))
        if scorer is not None:
            await scorer.close()
        row = {
            "method": method.name,
            "budget": cell.budget,
            **count(outcomes),
            "n_cached": steps.n_hits,
            "seconds": time.monotonic() - began,
        }
        share = sum(row["right"]) / len(row["right"])
        self.say(
            f"{method.name}, {cell.budget}: {100 * share:.1f} %, {row['tokens']:.0f} tokens a "
            f"question, {row['seconds']:.0f} s, {row['n_cached']} of {row['n_steps']} cached"
        )
        return row


def count(outcomes: Sequence[SearchOutcome]) -> dict[str, Any]:
    """What came of the searches, one entry a question where it is compared by question."""
    trees = [outcome.tree for outcome in outcomes]
    return {
        "right": [int(is_right(tree.nodes, tree.selected)) for tree in trees],
        "right_by_vote": [
            int(bool(tree.votes) and is_right(tree.nodes, tree.votes[0].leaf)) for tree in trees
        ],
        "any_right": [int(any(n.verdict == "correct" for n in tree.nodes)) for tree in trees],
        "tokens": sum(tree.usage.n_tokens for tree in trees) / len(trees),
        "n_steps": sum(tree.usage.n_steps for tree in trees),
        "n_scored": sum(tree.usage.n_scored for tree in trees),
        "failed": [outcome.letter.reason for outcome in outcomes if outcome.letter],
    }


def is_right(nodes: Sequence[Any], leaf: int | None) -> bool:
    """Whether the verifier holds a leaf's answer to be the gold one; no answer is wrong."""
    return leaf is not None and nodes[leaf].verdict == "correct"
