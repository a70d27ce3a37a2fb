"""Held-out pocket questions and search plans, as a build would make them."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import TypeAdapter

from benchmarks.search.setting import (
    MAX_STEP_TOKENS,
    MAX_STEPS,
    QUESTIONS,
    SEPARATOR,
    TEMPERATURE,
)
from butwait.pipelines.search.question import SearchPlan
from butwait.pipelines.stages.sample_question import AskPlan
from butwait.schemas.question import Question
from butwait.schemas.recipe import SamplingSpec
from butwait.schemas.recipe_search import PrmSpec, SearchSpec
from butwait.schemas.sampling import ModelIdentity
from butwait.transforms.prompts import read_prompt

_SEARCH: TypeAdapter[SearchSpec] = TypeAdapter(SearchSpec)


def read_questions(n: int) -> list[Question]:
    """The first held-out questions with their gold answers."""
    with QUESTIONS.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][:n]
    golds = [re.findall(r"boxed\{([^}]*)\}", row["solution"])[-1] for row in rows]
    return [make_question(i, row["problem"], golds[i]) for i, row in enumerate(rows)]


def make_question(row: int, problem: str, gold: str = "0") -> Question:
    """A question record."""
    return Question(
        id=f"q{row:016x}00000000",
        problem=problem,
        gold=gold,
        gold_canonical=gold,
        gold_from="boxed",
        solution=None,
        source="pocket",
        dataset="pocket",
        revision=None,
        licence="apache-2.0",
        row=row,
        r1_derived=False,
    )


def make_plan(
    search: dict[str, Any],
    *,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    prm: PrmSpec | None = None,
    scorer: ModelIdentity | None = None,
) -> SearchPlan:
    """A search as a recipe would ask for it, with the limits that all sides share."""
    sampling = SamplingSpec(temperature=temperature, max_tokens=MAX_STEP_TOKENS, prompt="qwen")
    preset, system = read_prompt(sampling)
    ask = AskPlan(
        run_seed=seed,
        sampling=sampling,
        but_wait=None,
        preset=preset,
        system=system,
        recorded=False,
        deadline_s=1.0,
        r1_derived=False,
    )
    limits = {"max_step_tokens": MAX_STEP_TOKENS, "max_steps": MAX_STEPS, "separator": SEPARATOR}
    spec = _SEARCH.validate_python({**limits, **search})
    return SearchPlan(ask=ask, spec=spec, prm=prm, scorer=scorer)
