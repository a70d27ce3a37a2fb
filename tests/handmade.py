"""Small questions and samples made by hand, for the tests of the transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from butwait.schemas.question import Question
from butwait.schemas.recipe import SamplingSpec
from butwait.schemas.sampling import SamplingParameters
from butwait.schemas.trajectory import QuestionGroup, Trajectory
from butwait.transforms.rows import RowContext

QUESTION_ID = "q0123456789abcdef01234567"


def make_question(gold: str = "5", solution: str | None = None, **changes: Any) -> Question:
    """A question whose answer is 5."""
    values: dict[str, Any] = {
        "id": QUESTION_ID,
        "problem": "What is 2 + 3?",
        "gold": gold,
        "gold_canonical": gold,
        "gold_from": "column",
        "solution": solution,
        "source": "sums",
        "dataset": "handmade",
        "revision": None,
        "licence": "CC0-1.0",
        "row": 3,
        "r1_derived": False,
    }
    return Question(**{**values, **changes})


def make_sample(
    index: int, text: str, verdict: str = "correct", answer: str | None = None, **changes: Any
) -> Trajectory:
    """A fresh sample with its verdict."""
    values: dict[str, Any] = {
        "id": f"{QUESTION_ID}-sample-{index}",
        "question_id": QUESTION_ID,
        "step": "sample",
        "sample_index": index,
        "parent_id": None,
        "joiner": "",
        "text": text,
        "finish_reason": "stop",
        "n_prompt_tokens": 9,
        "n_completion_tokens": 9,
        "seed": 100 + index,
        "parameters": SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=64),
        "prompt_preset": "qwen",
        "model": "pocket",
        "model_revision": None,
        "engine": "replay",
        "verdict": verdict,
        "rule": "string",
        "extracted": answer,
        "answer_canonical": answer,
        "verifier_version": "1",
        "label": None,
        "r1_derived": False,
    }
    return Trajectory(**{**values, **changes})


def make_continuation(
    parent: Trajectory, text: str, verdict: str = "correct", answer: str | None = None, k: int = 0
) -> Trajectory:
    """What a model said after "But wait,"."""
    step = f"continue-{k}"
    return make_sample(
        parent.sample_index,
        text,
        verdict,
        answer,
        id=f"{QUESTION_ID}-{step}-{parent.sample_index}",
        step=step,
        parent_id=parent.id,
        joiner="\n\nBut wait,",
    )


def make_group(
    samples: Sequence[Trajectory], continuations: Sequence[Trajectory] = ()
) -> QuestionGroup:
    """Everything known of the question."""
    return QuestionGroup(
        question_id=QUESTION_ID, samples=tuple(samples), continuations=tuple(continuations)
    )


def make_context(max_characters: int = 65536, **sampling: Any) -> RowContext:
    """A run with the default prompt."""
    return RowContext(
        run_seed=7,
        sampling=SamplingSpec(**sampling),
        max_characters=max_characters,
        butwait_version="0.1.0",
    )
