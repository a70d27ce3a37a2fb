"""The same problem read twice: equal answers collapse to the first, unequal ones all go.

Works on one shard's questions at a time: equal problems share a shard whatever their source. The
outcome does not depend on the order of the input. It leaves out near duplicates (reworded
problems), which have other keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.question import Question
from butwait.transforms.questions import EXCERPT_CHARACTERS
from butwait.transforms.verify import compare


def resolve_duplicates(
    questions: Iterable[Question], datasets: Sequence[str] = ()
) -> tuple[list[Question], list[DeadLetter]]:
    """Keep one question a problem, or none where its answers are not all shown to be equal.

    Args:
        questions: All questions of one shard, in any order.
        datasets: Dataset names in the recipe's order; earlier ones win. Others follow by name.

    Returns:
        The kept questions and the dead letters of the others, both by (dataset order, row).
    """
    rank = {name: number for number, name in reversed(list(enumerate(datasets)))}

    def place(question: Question) -> tuple[int, str, int, str, str]:
        order = rank.get(question.dataset, len(rank))
        return order, question.dataset, question.row, question.id, question.gold

    groups: dict[str, list[Question]] = defaultdict(list)
    for question in sorted(questions, key=place):
        groups[question.problem_key].append(question)
    kept: list[Question] = []
    dropped: list[tuple[Question, DeadLetter]] = []
    for group in groups.values():
        first, *others = group
        other_answer = next((q for q in others if not _agree(first, q)), None)
        if other_answer is None:
            kept.append(first)
            dropped += [(q, _duplicate(q, first)) for q in others]
        else:
            dropped += [(first, _conflict(first, other_answer))]
            dropped += [(q, _conflict(q, first)) for q in others]
    dropped.sort(key=lambda pair: place(pair[0]))
    return kept, [letter for _, letter in dropped]


def _agree(first: Question, second: Question) -> bool:
    if first.gold_canonical == second.gold_canonical:
        return True
    pairs = ((first.gold, second.gold), (second.gold, first.gold))
    return all(compare(one, other, problem=first.problem).correct for one, other in pairs)


def _duplicate(question: Question, first: Question) -> DeadLetter:
    detail = f"the same problem as row {first.row} of {first.dataset}, with an equal answer"
    return _letter(question, "duplicate", detail)


def _conflict(question: Question, other: Question) -> DeadLetter:
    detail = (
        f"answer {question.gold[:80]!r} here; row {other.row} of {other.dataset} has the same"
        f" problem with answer {other.gold[:80]!r}"
    )
    return _letter(question, "conflicting_duplicate", detail)


def _letter(question: Question, reason: str, detail: str) -> DeadLetter:
    return DeadLetter(
        stage="questions",
        reason=reason,
        detail=detail,
        item=question.id,
        question_id=question.id,
        dataset=question.dataset,
        row=question.row,
        excerpt=question.problem[:EXCERPT_CHARACTERS],
    )
