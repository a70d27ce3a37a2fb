"""A small world for searches: a policy and a judge without a server, told by hashes."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from butwait.pipelines.sampling.steps import Grown
from butwait.pipelines.search.finish import SearchOutcome
from butwait.pipelines.search.question import QuestionSearch, SearchPlan
from butwait.pipelines.stages.sample_question import AskPlan
from butwait.schemas.errors import RequestRefused
from butwait.schemas.question import Question
from butwait.schemas.recipe import SamplingSpec
from butwait.schemas.recipe_search import Aggregation, PrmSpec, SearchSpec
from butwait.schemas.recipe_sections import ModelSpec
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest
from butwait.schemas.scoring import ScoreRequest

SEPARATOR = "\n\n"
POLICY = ModelIdentity(id="toy/policy", revision="r1", engine="toy")
JUDGE = ModelIdentity(id="toy/judge", revision="r2", engine="toy")
QUESTION = Question(
    id="q0123456789abcdef-00000000",
    problem="How many?",
    gold="3",
    gold_canonical="3",
    gold_from="column",
    solution=None,
    source="toy",
    dataset="toy",
    revision=None,
    licence="none",
    row=0,
    r1_derived=False,
)
Refuse = Callable[[SampleRequest, int], str | None]


def luck(*names: object) -> int:
    """A byte that depends on the names alone."""
    return hashlib.sha256("\0".join(map(str, names)).encode()).digest()[0]


def read_spec(method: str, **more: Any) -> SearchSpec:
    """Make a search section."""
    adapter: TypeAdapter[SearchSpec] = TypeAdapter(SearchSpec)
    return adapter.validate_python({"method": method, **more})


def tell_step(request: SampleRequest, name: int) -> tuple[str, bool]:
    """Write a step, and say whether the solution ends with it."""
    n_steps = request.prefix.count(SEPARATOR)
    byte = luck("policy", request.prefix, name)
    if n_steps >= 1 and byte < 90:
        return f"The answer is \\boxed{{{byte % 4}}}.", True
    return f"Step {n_steps}: w{byte}", False


def tell_whole(request: SampleRequest, name: int) -> tuple[str, bool]:
    """Write a whole solution."""
    text = ""
    while True:
        step, is_end = tell_step(request.model_copy(update={"prefix": text}), name)
        text += step
        if is_end:
            return text, True
        text += SEPARATOR


class Policy:
    """Stands in for a ``StepSampler``.

    Args:
        tell: Writes a step from a request and a sample's name (its seed).
        refuse: Reason to refuse a sample with, or None.
        delay_seed: Replies come after random times, drawn with this seed; None: at once.
    """

    identity = POLICY

    def __init__(
        self,
        tell: Callable[[SampleRequest, int], tuple[str, bool]] = tell_step,
        *,
        refuse: Refuse = lambda request, index: None,
        delay_seed: int | None = None,
    ) -> None:
        self._tell = tell
        self._refuse = refuse
        self._delays = None if delay_seed is None else random.Random(delay_seed)
        self.requests: list[SampleRequest] = []

    async def grow(self, request: SampleRequest) -> list[Grown]:
        """Answer with ``request.n`` steps or refusals."""
        self.requests.append(request)
        if self._delays is not None:
            await asyncio.sleep(self._delays.random() * 0.01)
        return [self._sample(request, index) for index in range(request.n)]

    def _sample(self, request: SampleRequest, index: int) -> Grown:
        if (reason := self._refuse(request, index)) is not None:
            return RequestRefused(reason, f"sample {index} of {request.step}")
        text, is_end = self._tell(request, request.seed + index)
        most = request.parameters.max_tokens
        is_cut = len(text) > most
        stop = None if is_end or is_cut or not request.parameters.stop else SEPARATOR
        spoken = text[:most] + (stop or "")
        return Completion(
            index=index,
            text=text[:most],
            finish_reason="length" if is_cut else "stop",
            stop_reason=stop,
            n_prompt_tokens=10 + len(request.prefix),
            n_completion_tokens=len(spoken) if not is_cut else most,
            seed=request.seed + index,
            token_ids=tuple(map(ord, spoken)),
            log_prob=-0.1 * len(spoken),
        )


class Judge:
    """Stands in for a scorer.

    Args:
        rate: Rewards of a request's steps.
        delay_seed: As for `Policy`.
    """

    identity = JUDGE

    def __init__(
        self,
        rate: Callable[[ScoreRequest], tuple[float, ...]] | None = None,
        *,
        delay_seed: int | None = None,
    ) -> None:
        self._rate = rate or rate_by_luck
        self._delays = None if delay_seed is None else random.Random(delay_seed)
        self.requests: list[ScoreRequest] = []

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Score a prefix."""
        self.requests.append(request)
        if self._delays is not None:
            await asyncio.sleep(self._delays.random() * 0.01)
        return self._rate(request)

    async def close(self) -> None:
        """Nothing is open."""


def rate_by_luck(request: ScoreRequest) -> tuple[float, ...]:
    """Give each step a reward in [0.2, 0.95] that depends on the prefix that ends with it."""
    return tuple(
        0.2 + 0.75 * luck("judge", *request.steps[: i + 1]) / 255 for i in range(len(request.steps))
    )


def make_plan(
    spec: SearchSpec, *, aggregation: Aggregation | None = "model", seed: int = 0
) -> SearchPlan:
    """Make a plan; without aggregation nothing scores."""
    prm = None
    if aggregation is not None:
        prm = PrmSpec(model=ModelSpec(id="toy/judge"), aggregation=aggregation)
    ask = AskPlan(
        run_seed=seed,
        sampling=SamplingSpec(temperature=0.8, max_tokens=400),
        but_wait=None,
        preset="qwen",
        system=None,
        recorded=False,
        deadline_s=5.0,
        r1_derived=False,
    )
    return SearchPlan(ask, spec, prm, JUDGE if prm else None)


def search(
    spec: SearchSpec,
    policy: Any = None,
    judge: Judge | None = None,
    *,
    aggregation: Aggregation | None = "model",
    seed: int = 0,
) -> SearchOutcome:
    """Run one search to its end."""
    whole = spec.method in ("best_of_n", "weighted_best_of_n", "self_consistency")
    policy = policy or Policy(tell_whole if whole else tell_step)
    plan = make_plan(spec, aggregation=aggregation, seed=seed)
    scorer = None if aggregation is None else judge or Judge()
    return asyncio.run(QuestionSearch(QUESTION, plan, policy, scorer).run())
