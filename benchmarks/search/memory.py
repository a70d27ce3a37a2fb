"""Memory and processor time of one large search: ``python -m benchmarks.search.memory 512 20 500``.

Particles, steps and tokens a step; steps come from a sampler in this process, so that nothing but
the driver is measured. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from benchmarks.search.questions import make_plan, make_question
from benchmarks.search.setting import peak_mb
from butwait.pipelines.sampling.steps import SeededSteps
from butwait.pipelines.search.searcher import Searcher
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest
from butwait.schemas.scoring import ScoreRequest

IDENTITY = ModelIdentity(id="synthetic", revision=None, engine="none")


class LongSteps:
    """Implements ``Sampler``: steps of a fixed length, the last one with an answer."""

    identity = IDENTITY

    def __init__(self, n_steps: int, n_tokens: int) -> None:
        self._n_steps = n_steps
        self._n_tokens = n_tokens

    async def sample(self, request: SampleRequest) -> list[Completion]:
        """Write one step a sample."""
        return [self._write(request, i) for i in range(request.n)]

    def _write(self, request: SampleRequest, index: int) -> Completion:
        step, seed = request.prefix.count("\n\n"), request.seed + index
        is_last = step + 1 == self._n_steps
        words = " ".join(f"{seed + k:x}"[-3:] for k in range(self._n_tokens - 1))
        return Completion(
            index=index,
            text=words + (f" \\boxed{{{seed % 7}}}" if is_last else ""),
            finish_reason="stop",
            stop_reason=None if is_last else "\n\n",
            n_prompt_tokens=step * self._n_tokens,
            n_completion_tokens=self._n_tokens,
            seed=seed,
            token_ids=tuple(range(1000, 1000 + self._n_tokens)),
        )

    async def close(self) -> None:
        """Hold nothing."""


class MixedScores:
    """Implements ``Scorer``: rewards that differ, from the text alone."""

    identity = IDENTITY

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Score at once."""
        return tuple(0.2 + 0.6 * (hash(step) % 1000) / 1000 for step in request.steps)

    async def close(self) -> None:
        """Hold nothing."""


def main() -> None:
    """Search and print what it took."""
    n_particles, n_steps, n_tokens = map(int, sys.argv[1:4])
    plan = make_plan({"method": "particle", "budget": n_particles, "max_step_tokens": 2 * n_tokens})
    steps = SeededSteps(LongSteps(n_steps, n_tokens))
    searcher = Searcher(plan, steps, MixedScores())
    before, cpu = peak_mb(), time.process_time()
    outcome = asyncio.run(searcher.search(make_question(0, "What is it?")))
    tree = outcome.tree
    print(
        json.dumps(
            {
                "particles": n_particles,
                "steps": n_steps,
                "tokens": n_tokens,
                "nodes": len(tree.nodes),
                "text_mb": sum(len(node.text) for node in tree.nodes) / 2**20,
                "grown_mb": peak_mb() - before,
                "cpu_s": time.process_time() - cpu,
            }
        )
    )


if __name__ == "__main__":
    main()
