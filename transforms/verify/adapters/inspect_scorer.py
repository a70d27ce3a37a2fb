"""A scorer for inspect_ai: is the final answer of the model's output one of the targets?

    Task(dataset=..., solver=generate(), scorer=verified_answer())

Imports inspect_ai (``pip install inspect-ai``). What is not the model's doing is unscored, which
Inspect keeps in the log and out of its metrics. Leaves out: partial credit.
"""

from __future__ import annotations

from anyio import to_thread
from inspect_ai.scorer import (
    CORRECT,
    INCORRECT,
    NOANSWER,
    Score,
    Scorer,
    Target,
    accuracy,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState

from butwait.schemas.verdict import Verdict
from butwait.transforms.verify import DEFAULT, AnswerType, Check
from butwait.transforms.verify.adapters.outcome import describe, is_scored, list_golds, verify_any

_CUT = frozenset({"max_tokens", "model_length"})


@scorer(metrics=[accuracy(), stderr()])  # type: ignore[untyped-decorator]
def verified_answer(
    with_problem: bool = True,
    prefix: str = "",
    answer_type: AnswerType | None = None,
    tolerance: float | None = None,
    worker_s: float = DEFAULT.worker_s,
) -> Scorer:
    """Score the final answer against the targets, any one of which will do.

    Args:
        with_problem: Whether the sample's input may connect a choice letter with its value.
        prefix: Put before every output: ``"<think>"`` where the chat template already opened the
            thought and the provider does not split it off.
        answer_type: What every target is, where notation leaves that open; None to infer it.
        tolerance: Largest relative difference of two equal numbers; None for exact equality.
        worker_s: Seconds of one symbolic comparison.

    Returns:
        A scorer: ``C``, ``I``, ``N`` (no answer, cut, or hedged), or unscored for an unusable
        target, a timeout, an error, or a comparison that stays undecided.
    """
    # Plain values and not a Limits: Inspect writes a scorer's arguments into the log.
    limits = DEFAULT._replace(worker_s=worker_s)

    async def score(state: TaskState, target: Target) -> Score:
        output = state.output
        cut = not output.empty and output.stop_reason in _CUT
        text, stopped = prefix + output.completion, "length" if cut else None
        problem = state.input_text if with_problem else None
        checks = [
            Check(gold, text, problem, "trace", answer_type, tolerance, stopped)
            for gold in list_golds(list(target))
        ]
        # Through anyio, as Inspect runs on trio, too; a cancelled sample need not wait for it.
        [verdict] = await to_thread.run_sync(verify_any, [checks], limits, abandon_on_cancel=True)
        return to_score(verdict)

    return score


def to_score(verdict: Verdict) -> Score:
    """A verdict as Inspect records it, with both canonical forms in the metadata."""
    facts = verdict.model_dump(exclude={"extracted", "detail", "ms"})
    told = {"answer": verdict.extracted, "explanation": describe(verdict), "metadata": facts}
    if not is_scored(verdict):
        return Score.unscored(reason=verdict.verdict, **told)
    if verdict.verdict in ("correct", "incorrect"):
        return Score(value=CORRECT if verdict.correct else INCORRECT, **told)
    return Score(value=NOANSWER, reason=verdict.verdict, **told)
