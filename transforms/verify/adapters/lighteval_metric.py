"""A metric for lighteval: the mean of answers verified correct, over those that could be checked.

    LightevalTaskConfig(..., metrics=[verified_answer()])

Imports lighteval (``pip install lighteval``). What is not the model's doing is left out of the
mean and reported as a share of its own. Leaves out: pass@k and majority votes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lighteval.metrics.metrics_corpus import CorpusLevelComputation
from lighteval.metrics.metrics_sample import SampleLevelComputation
from lighteval.metrics.utils.metric_utils import SampleLevelMetric
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.requests import Doc, SamplingMethod

from butwait.transforms.verify import DEFAULT, AnswerType, Check, Limits
from butwait.transforms.verify.adapters.outcome import is_scored, list_golds, verify_any


class SampleVerdicts(SampleLevelComputation):  # type: ignore[misc]
    """The share of a document's samples that are correct; see ``verified_answer``."""

    def __init__(
        self,
        with_problem: bool,
        prefix: str,
        answer_type: AnswerType | None,
        tolerance: float | None,
        limits: Limits,
    ) -> None:
        self.with_problem = with_problem
        self.prefix = prefix
        self.answer_type = answer_type
        self.tolerance = tolerance
        self.limits = limits

    def compute(self, doc: Doc, model_response: ModelResponse, **kwargs: Any) -> float:
        """Verify every sample of a document.

        The verdicts go to ``doc.specific["verdicts"]``, which lighteval saves with the details.

        Args:
            doc: The question; any one of its gold answers will do.
            model_response: Its samples.
            kwargs: Not used.

        Returns:
            The mean over the samples that could be checked; NaN when none could.
        """
        # A prefix belongs before the whole text, with the thought that lighteval takes out.
        texts = model_response.text if self.prefix else model_response.final_text
        problem = doc.original_query or doc.query if self.with_problem else None
        golds = list_golds(doc.get_golds())
        kind = (self.answer_type, self.tolerance)
        checks = [
            [Check(gold, self.prefix + text, problem, "trace", *kind) for gold in golds]
            for text in texts
        ]
        verdicts = verify_any(checks, self.limits)
        stored = [verdict.model_dump(exclude={"ms"}) for verdict in verdicts]
        doc.specific = {**(doc.specific or {}), "verdicts": stored}
        return _mean([float(verdict.correct) for verdict in verdicts if is_scored(verdict)])


class MeanOfScored(CorpusLevelComputation):  # type: ignore[misc]
    """Mean, its standard error, and the share of documents without a score."""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute_corpus(self, items: Sequence[float]) -> dict[str, float]:
        """Aggregate documents' scores; NaN is a document that could not be checked."""
        scored = [item for item in items if not math.isnan(item)]
        mean, n = _mean(scored), len(scored)
        variance = sum((item - mean) ** 2 for item in scored) / (n - 1) if n > 1 else math.nan
        return {
            self.name: mean,
            f"{self.name}_stderr": math.sqrt(variance / n) if n > 1 else math.nan,
            f"{self.name}_unscored": 1 - n / len(items) if items else math.nan,
        }


def verified_answer(
    *,
    with_problem: bool = True,
    prefix: str = "",
    answer_type: AnswerType | None = None,
    tolerance: float | None = None,
    limits: Limits = DEFAULT,
    name: str = "verified_answer",
) -> SampleLevelMetric:
    """Make a metric for ``LightevalTaskConfig(metrics=[...])``.

    Args:
        with_problem: Whether the query may connect a choice letter with its value.
        prefix: Put before every sample: ``"<think>"`` where the chat template already opened the
            thought, so that an unfinished thought is not read as an answer.
        answer_type: What every gold answer is, where notation leaves that open; None to infer it.
        tolerance: Largest relative difference of two equal numbers; None for exact equality.
        limits: Bounds of each check.
        name: The metric's name; two of one task need two names.

    Returns:
        A metric that reports ``name``, ``name_stderr`` and ``name_unscored``.
    """
    return SampleLevelMetric(
        metric_name=name,
        higher_is_better=True,
        category=SamplingMethod.GENERATIVE,
        sample_level_fn=SampleVerdicts(with_problem, prefix, answer_type, tolerance, limits),
        corpus_level_fn=MeanOfScored(name),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
