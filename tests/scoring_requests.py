"""What tests ask of scorers: requests, a recipe for a fake server, and many answers at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fake_prm import FakePrm

from butwait.pipelines.scoring.engine import ScorerEndpoint, make_scorer, open_scorer
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.record import Message
from butwait.schemas.scoring import ScoreRequest

STEPS = ("2 + 2 = 4\n\n", "So 4.\n\n", "The answer is 4.")


def ask(*steps: str, **more: Any) -> ScoreRequest:
    known: dict[str, Any] = {"question_id": "q", "problem": "2 + 2?", "prompt": None}
    known["messages"] = (Message(role="user", content="2 + 2? Think."),)
    return ScoreRequest(**{**known, "steps": steps or STEPS, **more})


def describe(server: FakePrm, layout: Any = "qwen", **more: Any) -> ScorerEndpoint:
    limits = {"n_retries": 2, **more.pop("limits", {})}
    prm = PrmSpec(
        layout=layout,
        model=ModelSpec(id="fake/model", revision="0" * 40),
        server=ServerSpec(url=server.url, **limits),
        **more,
    )
    with open_scorer(prm, base=Path(), log_dir=Path(), say=lambda line: None) as endpoint:
        server.payloads.clear()
        server.n_tokenized = 0
        return endpoint


def score(endpoint: ScorerEndpoint, *requests: ScoreRequest) -> list[Any]:
    async def gather() -> list[Any]:
        scorer = make_scorer(endpoint)
        try:
            tasks = [scorer.score(request) for request in requests]
            return await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await scorer.close()

    return asyncio.run(gather())
