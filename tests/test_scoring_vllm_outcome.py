"""An outcome reward model on a real vLLM server, against transformers."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from random_models import make_outcome_reward_model

from butwait.pipelines.scoring.engine import make_scorer, open_scorer
from butwait.schemas.errors import RequestRefused
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.recipe_sections import ModelSpec, ServerSpec
from butwait.schemas.scoring import ScoreRequest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
SOLUTIONS = ["4", "2 + 2 = 4\n\nAnswer: \\boxed{4}", "no idea", "1 + " * 600]


def judge(folder: Path, solution: str) -> float:
    """Compute the reward with transformers, from the chat's last token."""
    import torch
    from transformers import AutoTokenizer, LlamaForSequenceClassification

    model = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": solution}]
    ids = tokenizer.apply_chat_template(chat, return_dict=False)
    with torch.no_grad():
        return float(model(torch.tensor([ids])).logits[0, 0].sigmoid())


def test_a_solution_is_judged_at_the_end_of_its_chat(root: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    folder = tmp_path / "orm"
    make_outcome_reward_model(root / "trainer/pocket/checkpoints/scorer", folder)
    server = ServerSpec(mode="managed", start_timeout_s=500)
    prm = PrmSpec(layout="outcome", model=ModelSpec(id="./orm"), server=server)
    with open_scorer(prm, base=tmp_path, log_dir=tmp_path, say=print) as endpoint:

        async def gather() -> list[Any]:
            scorer = make_scorer(endpoint)
            requests = [
                ScoreRequest(
                    question_id="q", problem="2 + 2?", messages=None, prompt="x", steps=(solution,)
                )
                for solution in SOLUTIONS
            ]
            try:
                tasks = [scorer.score(request) for request in requests]
                return await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                await scorer.close()

        *answers, long = asyncio.run(gather())
    assert isinstance(long, RequestRefused) and long.reason == "context_overflow"
    expected = [judge(folder, solution) for solution in SOLUTIONS[:3]]
    assert [rewards[0] for rewards in answers] == pytest.approx(expected, abs=0.02)
    assert max(expected) - min(expected) > 0.05
