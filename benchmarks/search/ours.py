"""Our particle filter over the questions of a job, in one fresh process.

``python -m benchmarks.search.ours JOB.json OUT.json``. The filter is set as its_hub's is: weights
of the full prefix, finished particles compete, multinomial at every step. Unlike its_hub's, it
keeps every node and sample, verifies the answers and votes; that is in the time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.search.questions import make_plan, make_question
from benchmarks.search.setting import WORK, Clock, Job, peak_mb, read_job, write_result
from butwait.pipelines.cache import open_cache
from butwait.pipelines.sampling.batches import BatchClient
from butwait.pipelines.sampling.connect import connect
from butwait.pipelines.sampling.http import Asker
from butwait.pipelines.sampling.steps import StepSampler
from butwait.pipelines.scoring.cached import CachedScorer
from butwait.pipelines.scoring.engine import ScorerEndpoint, make_scorer
from butwait.pipelines.search.finish import SearchOutcome
from butwait.pipelines.search.searcher import Searcher
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import Scorer, ScoreRequest


class FreeScorer:
    """Implements ``Scorer``: every part 0.5, without a server."""

    identity = ModelIdentity(id="constant", revision=None, engine="none")

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Score at once."""
        return (0.5,) * len(request.steps)

    async def close(self) -> None:
        """Hold nothing."""


def count_requests(asker: Asker, clock: Clock, record: list[dict[str, Any]] | None) -> None:
    """Have the clock told of every generation request that goes out, and keep a copy of each."""
    send = asker.ask

    async def counted(path: str, payload: dict[str, Any], read: Callable[[object], Any]) -> Any:
        if path != "/v1/completions":
            return await send(path, payload, read)
        if record is not None:
            record.append(payload)
        clock.opened()
        try:
            return await send(path, payload, read)
        finally:
            clock.closed()

    asker.ask = counted  # type: ignore[method-assign]


async def run(job: Job) -> dict[str, Any]:
    """Search all questions at once."""
    questions = [make_question(i, problem) for i, problem in enumerate(job["problems"])]
    endpoint = ScorerEndpoint.model_validate_json(job["prm"]) if job["prm"] else None
    plan = make_plan(
        {
            "method": "particle",
            "budget": job["n_particles"],
            "log_probs": job["how"] == "log_probs",
        },
        prm=endpoint.prm if endpoint else None,
        scorer=endpoint.identity if endpoint else None,
    )
    client = connect(job["url"], job["model"])
    batches = BatchClient(client)
    cache = open_cache(Path(tempfile.mkdtemp(dir=WORK)) / "cache.sqlite")
    steps = StepSampler(batches, cache, client.identity)
    scorer: Scorer = FreeScorer()
    if endpoint is not None:
        scorer = CachedScorer(make_scorer(endpoint), cache, endpoint.identity, endpoint.prm)
    keeps = job["record"] and job["how"] == "plain"
    record: list[dict[str, Any]] | None = [] if keeps else None
    before_mb = peak_mb()
    clock = Clock()
    count_requests(client.asker, clock, record)
    searcher = Searcher(plan, steps, scorer)
    outcomes: list[SearchOutcome] = await asyncio.gather(*map(searcher.search, questions))
    result = clock.read()
    await batches.close()
    await scorer.close()
    cache.close()
    if record is not None and job["record"]:
        Path(job["record"]).write_text(json.dumps(record))
    usages = [outcome.tree.usage for outcome in outcomes]
    return {
        **result,
        "n_tokens": sum(usage.n_tokens for usage in usages),
        "n_steps": sum(usage.n_steps for usage in usages),
        "failed": [outcome.letter.detail[:200] for outcome in outcomes if outcome.letter],
        "grown_mb": peak_mb() - before_mb,
        "peak_mb": peak_mb(),
    }


def main() -> None:
    """Run the job."""
    write_result(sys.argv[2], asyncio.run(run(read_job(sys.argv[1]))))


if __name__ == "__main__":
    main()
