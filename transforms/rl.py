"""Which questions go into a reinforcement-learning configuration, by their pass rate.

Left out: any text of a sample; such a row asks and does not tell.
"""

from __future__ import annotations

from butwait.schemas.recipe_rows import RlSpec
from butwait.schemas.trajectory import QuestionGroup


def explain_refusal(group: QuestionGroup, spec: RlSpec) -> str | None:
    """Why a question is not taken.

    Args:
        group: Its samples.
        spec: Bounds of the pass rate, both included.

    Returns:
        ``no_graded_sample``, ``pass_rate_out_of_range``, or None for a question that is taken.
    """
    pass_rate = group.pass_rate
    if pass_rate is None:
        return "no_graded_sample"
    if not spec.min_pass_rate <= pass_rate <= spec.max_pass_rate:
        return "pass_rate_out_of_range"
    return None
