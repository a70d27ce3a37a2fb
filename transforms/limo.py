"""The LIMO layout: no system prompt, one thinking block and one answer block.

The target is the first correct sample or the source's own solution. LIMO's solutions derive in part
from DeepSeek-R1, and the rows that show them say so; a sample answers for its own model alone. Left
out: the tags, which are the renderer's.
"""

from __future__ import annotations

from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import LimoSpec
from butwait.schemas.trajectory import QuestionGroup
from butwait.transforms.thoughts import split_thought
from butwait.transforms.verified import Made, conclude, explain_no_right, make_trace, pick_right
from butwait.transforms.verify import verify


def limo(question: Question, group: QuestionGroup, spec: LimoSpec, run_seed: int) -> Made:
    """Make one trace of a question's verified sample or of its source's solution.

    Args:
        question: The question.
        group: Its samples.
        spec: Which of the two is the target.
        run_seed: Not used: nothing is drawn.

    Returns:
        One trace, or ``no_correct_sample`` / ``no_solution`` / ``wrong_solution`` (the source's
        solution does not end with the gold answer) / ``solution_unverified`` (a timeout).
    """
    del run_seed
    if spec.target == "solution":
        return _take_solution(question, group, spec)
    best = pick_right(group, n=1)
    if not best:
        return Made(reason=explain_no_right(group))
    thought, solution = conclude(best[0].parts, spec)
    return Made((make_trace(question, group, spec, 0, thought, solution, [best[0].sample]),))


def _take_solution(question: Question, group: QuestionGroup, spec: LimoSpec) -> Made:
    if question.solution is None or not question.solution.strip():
        return Made(reason="no_solution")
    verdict = verify(question.gold, question.solution, problem=question.problem)
    if not verdict.correct:
        failed = verdict.verdict in ("timeout", "error")
        return Made(reason="solution_unverified" if failed else "wrong_solution")
    parts = split_thought(question.solution, verdict.extracted)
    if not parts.thought or not parts.solution:
        return Made(reason="no_solution")
    thought, solution = conclude(parts, spec)
    return Made((make_trace(question, group, spec, 0, thought, solution, []),))
