"""Everything that stage 2 does for one question: sample, verify, continue, verify.

One coroutine a question; hundreds run on one event loop, so that the server is never left idle
while one question waits. Verification happens in threads, off the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from butwait.pipelines.stages.verifier import Verifier
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import RequestRefused
from butwait.schemas.question import Question
from butwait.schemas.recipe import SamplingSpec
from butwait.schemas.recipe_rows import ButWaitSpec
from butwait.schemas.sampling import (
    Completion,
    ModelIdentity,
    Sampler,
    SampleRequest,
    SamplingParameters,
)
from butwait.schemas.trajectory import Trajectory
from butwait.schemas.verdict import Verdict
from butwait.transforms.but_wait import join_continuation, joiner, pick_sources
from butwait.transforms.prompts import build_messages, fill_template
from butwait.transforms.seeds import derive_seed
from butwait.transforms.thoughts import continuation_prefix
from butwait.transforms.verify import Check


@dataclass(frozen=True)
class AskPlan:
    """What shapes the samples of a question, besides the question itself."""

    run_seed: int
    sampling: SamplingSpec
    but_wait: ButWaitSpec | None
    preset: str
    """Name of the system prompt: a preset, or ``own``."""
    system: str | None
    """Its text; None: no system message."""
    recorded: bool
    """Whether trajectories are replayed: then how they were sampled is not known."""
    deadline_s: float
    r1_derived: bool

    @property
    def parameters(self) -> SamplingParameters:
        """The sampling section as sampler parameters."""
        s = self.sampling
        return SamplingParameters(
            temperature=s.temperature, top_p=s.top_p, max_tokens=s.max_tokens, stop=s.stop
        )


@dataclass(frozen=True)
class Outcome:
    """What became of one question's samples."""

    trajectories: tuple[Trajectory, ...]
    letters: tuple[DeadLetter, ...]


@dataclass(frozen=True)
class Place:
    """Where a trajectory stands among those of its question."""

    index: int
    parent_id: str | None = None
    joiner: str = ""


def sample_request(question: Question, plan: AskPlan, n: int) -> SampleRequest:
    """Return the request for a question's fresh samples."""
    template = plan.sampling.template
    messages = prompt = None
    if template is None:
        messages = build_messages(question.problem, plan.preset, plan.system)
    else:
        prompt = fill_template(template, question.problem, plan.system)
    return SampleRequest(
        question_id=question.id,
        step="sample",
        messages=messages,
        prompt=prompt,
        n=n,
        seed=derive_seed(plan.run_seed, question.id, "sample"),
        fits_context=plan.sampling.fit_context,
        parameters=plan.parameters,
    )


def continuation_request(
    base: SampleRequest, plan: AskPlan, prefix: str, round_: int, place: int
) -> SampleRequest:
    """Return the request for one continuation.

    Args:
        base: The request for the question's fresh samples.
        plan: With a ``but_wait`` section.
        prefix: What has been said so far, with the phrase.
        round_: 0-based.
        place: Of the source among those that are continued.
    """
    assert plan.but_wait is not None
    step = f"continue-{round_}"
    max_tokens = plan.but_wait.max_tokens or plan.sampling.max_tokens
    return base.model_copy(
        update={
            "step": step,
            "prefix": prefix,
            "n": 1,
            "seed": derive_seed(plan.run_seed, base.question_id, f"{step}-{place}"),
            "parameters": plan.parameters.model_copy(update={"max_tokens": max_tokens}),
        }
    )


async def sample_question(
    question: Question,
    sampler: Sampler,
    plan: AskPlan,
    n: int | None = None,
    verifier: Verifier | None = None,
) -> Outcome:
    """Sample, verify and continue one question.

    Args:
        question: With its gold answer.
        sampler: Engine, with its cache.
        plan: Parameters.
        n: Samples, where it is not the recipe's (recordings hold what they hold).
        verifier: Shared by the questions that are asked at the same time.

    Raises:
        SamplerError: The engine is gone; a refused request is a dead letter instead.
    """
    request = sample_request(question, plan, n or plan.sampling.n)
    try:
        completions = await sampler.sample(request)
    except RequestRefused as refusal:
        return Outcome((), _refused(question, request, range(request.n), refusal))
    places = [Place(completion.index) for completion in completions]
    verifier = verifier or Verifier(plan.deadline_s)
    samples = await _grade(question, sampler, plan, request, completions, places, verifier)
    if plan.but_wait is None:
        return Outcome(tuple(samples), ())
    chains = await asyncio.gather(
        *(
            _continue(question, sampler, plan, request, source, place, verifier)
            for place, source in enumerate(pick_sources(samples, plan.but_wait, plan.run_seed))
        )
    )
    more = sorted((t for c in chains for t in c.trajectories), key=lambda t: t.id)
    letters = sorted((x for c in chains for x in c.letters), key=lambda x: x.item)
    return Outcome((*samples, *more), tuple(letters))


async def _continue(
    question: Question,
    sampler: Sampler,
    plan: AskPlan,
    base: SampleRequest,
    source: Trajectory,
    place: int,
    verifier: Verifier,
) -> Outcome:
    """Continue one thought ``n_waits`` times; a refusal or a text that cannot go on ends it."""
    assert plan.but_wait is not None
    between = joiner(plan.but_wait.phrase)
    done: list[Trajectory] = []
    parent, text = source, source.text
    for round_ in range(plan.but_wait.n_waits):
        before = continuation_prefix(text, parent.finish_reason)
        if not before:
            break
        request = continuation_request(base, plan, before + between, round_, place)
        try:
            [completion] = await sampler.sample(request)
        except RequestRefused as refusal:
            return Outcome(tuple(done), _refused(question, request, [place], refusal))
        here = Place(place, parent.id, between)
        [parent] = await _grade(question, sampler, plan, request, [completion], [here], verifier)
        done.append(parent)
        text = join_continuation(before, between, completion.text)
    return Outcome(tuple(done), ())


async def _grade(
    question: Question,
    sampler: Sampler,
    plan: AskPlan,
    request: SampleRequest,
    completions: Sequence[Completion],
    places: Sequence[Place],
    verifier: Verifier,
) -> list[Trajectory]:
    """Verify completions of one request and make their records.

    A continuation is judged by its own text: with its parent's before it, one that comes to no
    answer would be credited with its parent's.
    """
    checks = [
        Check(question.gold, c.text, question.problem, finish_reason=c.finish_reason)
        for c in completions
    ]
    verdicts = await verifier.verify(checks)
    return [
        _record(question, sampler.identity, plan, request, completion, place, verdict)
        for completion, place, verdict in zip(completions, places, verdicts, strict=True)
    ]


def _record(
    question: Question,
    identity: ModelIdentity,
    plan: AskPlan,
    request: SampleRequest,
    completion: Completion,
    place: Place,
    verdict: Verdict,
) -> Trajectory:
    return Trajectory(
        id=f"{question.id}-{request.step}-{place.index}",
        question_id=question.id,
        step=request.step,
        sample_index=place.index,
        parent_id=place.parent_id,
        joiner=place.joiner,
        text=completion.text,
        finish_reason=completion.finish_reason,
        n_prompt_tokens=completion.n_prompt_tokens,
        n_completion_tokens=completion.n_completion_tokens,
        seed=None if plan.recorded else completion.seed,
        parameters=None if plan.recorded else request.parameters,
        prompt_preset=plan.preset,
        model=identity.id,
        model_revision=identity.revision,
        engine=identity.engine,
        verdict=verdict.verdict,
        rule=verdict.rule,
        extracted=verdict.extracted,
        answer_canonical=verdict.prediction_canonical,
        verifier_version=verdict.verifier_version,
        label=completion.label,
        r1_derived=plan.r1_derived,
    )


def _refused(
    question: Question, request: SampleRequest, indices: Sequence[int], refusal: RequestRefused
) -> tuple[DeadLetter, ...]:
    """One letter a sample that was asked for, so that the ledger counts samples."""
    return tuple(
        DeadLetter(
            stage="trajectories",
            reason=refusal.reason,
            detail=refusal.detail,
            item=f"{question.id}-{request.step}-{index}",
            question_id=question.id,
            dataset=question.dataset,
            row=question.row,
            excerpt=question.problem[:500],
        )
        for index in indices
    )
