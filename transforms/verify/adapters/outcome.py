"""What the adapters share: one prediction against its gold answers, and what its verdict is about.

Leaves out: any library's own type, so that this much runs and is tested without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from butwait.schemas.verdict import Verdict
from butwait.transforms.verify import DEFAULT, Check, Limits, verify_many

_NOT_ABOUT_THE_MODEL = frozenset({"gold_unusable", "timeout", "error"})
# Rules under which two answers were compared and could not be told apart; under every other rule
# ``ambiguous`` is the model's own hedge.
_UNDECIDED_RULES = frozenset({"undecided", "option"})


def is_scored(verdict: Verdict) -> bool:
    """Whether a verdict is about the model, and not about the gold answer or the verifier.

    True for ``correct``, ``incorrect``, ``no_answer``, ``truncated`` and a hedged answer; False for
    ``gold_unusable``, ``timeout``, ``error`` and a comparison that stayed undecided.
    """
    if verdict.verdict == "ambiguous":
        return verdict.rule not in _UNDECIDED_RULES
    return verdict.verdict not in _NOT_ABOUT_THE_MODEL


def list_golds(cell: object) -> list[str]:
    """The gold answers of one cell of a data set: one or several, numbers as text.

    Of a solution in GSM8K's habit, what follows the last ``####`` is the answer.

    >>> list_golds(5), list_golds(["1/2", "0.5"]), list_golds(None), list_golds("2+3=5\\n#### 5")
    (['5'], ['1/2', '0.5'], [''], ['5'])
    """
    cells = cell if isinstance(cell, (list, tuple)) else [cell]
    golds = ["" if gold is None else str(gold) for gold in cells] or [""]
    return [gold.rpartition("####")[2].strip() for gold in golds]


def verify_any(predictions: Iterable[Sequence[Check]], limits: Limits = DEFAULT) -> list[Verdict]:
    """One verdict a prediction, which has to match any one of its gold answers.

    Args:
        predictions: For each prediction, one check for every gold answer, at least one.
        limits: Bounds of each check.

    Returns:
        The first ``correct`` one; else one that is unscored, since that gold answer may have been
        met; else the first finding. A gold answer that is unusable is passed over where another
        one can be used.
    """
    groups = [list(checks) for checks in predictions]
    verdicts = iter(verify_many((check for group in groups for check in group), limits=limits))
    return [min(islice(verdicts, len(group)), key=_rank) for group in groups]


def describe(verdict: Verdict) -> str:
    """One line for a person: the verdict, the rule and what is known beyond the rule.

    >>> describe(Verdict(verdict="incorrect", rule="value", verifier_version="2"))
    'incorrect (value)'
    """
    line = f"{verdict.verdict} ({verdict.rule})"
    return f"{line}: {verdict.detail}" if verdict.detail else line


def _rank(verdict: Verdict) -> int:
    if verdict.correct:
        return 0
    if verdict.verdict == "gold_unusable":
        return 3
    return 2 if is_scored(verdict) else 1
