"""From a grown tree to its record: leaves verified, votes counted, one answer chosen.

Verification happens in threads, off the event loop; equal texts are verified once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import RequestRefused
from butwait.schemas.question import Question
from butwait.schemas.recipe_search import FilterSpec
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.tree import Fate, SearchTree, Usage
from butwait.schemas.verdict import Verdict
from butwait.transforms.answers import extract_answer
from butwait.transforms.search.growth import Growth, finish_nodes
from butwait.transforms.search.protocol import Final
from butwait.transforms.search.select import count_votes, join_answers, select_leaf
from butwait.transforms.verify import VERIFIER_VERSION, Limits, canonical, verify

if TYPE_CHECKING:
    from butwait.pipelines.search.question import SearchPlan


@dataclass(frozen=True)
class SearchOutcome:
    """A search's record, and a letter where it found no solution at all."""

    tree: SearchTree
    letter: DeadLetter | None


async def finish_search(
    question: Question,
    plan: SearchPlan,
    growth: Growth,
    final: Final,
    engine: ModelIdentity,
    refusals: Sequence[RequestRefused],
    rng: np.random.Generator,
    *,
    has_gold: bool,
) -> SearchOutcome:
    """Verify, vote, select and record.

    Args:
        question: The question.
        plan: Method and parameters.
        growth: Everything that grew.
        final: What the method ended with.
        engine: Who generated.
        refusals: What servers refused on the way.
        rng: For a selection by draw.
        has_gold: Whether the question has a gold answer to verify against.
    """
    limits = Limits(worker_s=plan.ask.deadline_s)
    texts = {leaf: "".join(growth.texts(leaf)) for leaf in growth.ends}
    verdicts, answers = await _judge(question, growth, texts, limits, has_gold)
    answered = join_answers(final, answers)
    votes = await asyncio.to_thread(count_votes, answered, question.problem, limits)
    lost: Fate = "resampled_out" if isinstance(plan.spec, FilterSpec) else "pruned"
    weights = dict(zip((leaf.node for leaf in final.leaves), final.log_weights, strict=True))
    tree = SearchTree(
        question_id=question.id,
        method=plan.spec.method,
        budget=plan.spec.budget,
        parameters=plan.spec.model_dump_json(),
        temperature=plan.ask.sampling.temperature,
        top_p=plan.ask.sampling.top_p,
        prompt_preset=plan.ask.preset,
        separator=plan.spec.separator,
        model=engine.id,
        model_revision=engine.revision,
        engine=engine.engine,
        prm=plan.scorer.id if plan.scorer else None,
        prm_revision=plan.scorer.revision if plan.scorer else None,
        r1_derived=plan.ask.r1_derived,
        verifier_version=VERIFIER_VERSION,
        nodes=finish_nodes(growth, lost, verdicts, weights),
        resamplings=tuple(growth.resamplings),
        final=tuple(leaf.node for leaf in final.leaves),
        final_log_weights=final.log_weights,
        selected=select_leaf(answered, votes, plan.spec.select, rng),
        votes=votes,
        usage=_count(growth),
    )
    return SearchOutcome(tree, None if growth.ends else _explain(question, growth, refusals, plan))


async def _judge(
    question: Question, growth: Growth, texts: dict[int, str], limits: Limits, has_gold: bool
) -> tuple[dict[int, Verdict], dict[int, tuple[str | None, str | None]]]:
    """Verdict of each leaf (none without a gold answer), and its answer with a canonical form."""
    ends = {leaf: growth.sprouts[leaf].read.end for leaf in texts}
    distinct = {(text, ends[leaf] == "length") for leaf, text in texts.items()}

    def judge(text: str, is_cut: bool) -> tuple[Verdict | None, tuple[str | None, str | None]]:
        if not has_gold:
            extracted = extract_answer(text, max_chars=limits.trace_chars).text
            known = canonical(extracted, limits=limits) if extracted else None
            return None, (extracted, known)
        verdict = verify(
            question.gold,
            text,
            problem=question.problem,
            finish_reason="length" if is_cut else "stop",
            limits=limits,
        )
        return verdict, (verdict.extracted, verdict.prediction_canonical)

    ordered = sorted(distinct)
    found = await asyncio.to_thread(lambda: [judge(*key) for key in ordered])
    by_text = dict(zip(ordered, found, strict=True))
    verdicts: dict[int, Verdict] = {}
    answers: dict[int, tuple[str | None, str | None]] = {}
    for leaf, text in texts.items():
        verdict, answers[leaf] = by_text[text, ends[leaf] == "length"]
        if verdict is not None:
            verdicts[leaf] = verdict
    return verdicts, answers


def _count(growth: Growth) -> Usage:
    return Usage(
        n_samples=sum(sprout.parent is None for sprout in growth.sprouts),
        n_steps=sum(sprout.completion is not None for sprout in growth.sprouts),
        n_tokens=growth.n_tokens,
        n_prompt_tokens=growth.n_prompt_tokens,
        n_scored=growth.n_scored,
    )


def _explain(
    question: Question, growth: Growth, refusals: Sequence[RequestRefused], plan: SearchPlan
) -> DeadLetter:
    """Say why not one solution was finished."""
    cuts = Counter(sprout.cut for sprout in growth.sprouts if sprout.cut)
    named = ", ".join(f"{n} {cut}" for cut, n in cuts.most_common())
    separator = plan.spec.separator
    never = not any(sprout.read.text.endswith(separator) for sprout in growth.sprouts)
    if refusals and set(cuts) <= {"refused", "unscored", "context_overflow"}:
        # The commonest, whichever came first: replies come in any order.
        counts = Counter(refusal.reason for refusal in refusals)
        reason = min(counts, key=lambda name: (-counts[name], name))
        said = min(refusal.detail for refusal in refusals if refusal.reason == reason)
        detail = f"{said} (all particles: {named})"
    elif never and not refusals and set(cuts) <= {"max_steps", "context_overflow"}:
        reason = "no_separator"
        detail = (
            f"the policy never wrote the separator {separator!r} and never ended ({named}); give "
            "search.separator as the model writes it"
        )
    else:
        reason, detail = "all_particles_dead", f"no solution was finished ({named})"
    return DeadLetter(
        stage="trajectories",
        reason=reason,
        detail=detail,
        item=f"{question.id}-search",
        question_id=question.id,
        dataset=question.dataset,
        row=question.row,
        excerpt=question.problem[:500],
    )
