"""Transforms that are not ours: a function of somebody's own, asked for traces and not trusted.

Whatever it raises or returns costs its question and not the build. Left out: where the function
comes from (``pipelines/own_transforms.py``) and a limit on its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from butwait.schemas.errors import SchemaError
from butwait.schemas.question import Question
from butwait.schemas.recipe_rows import OwnSpec
from butwait.schemas.trace import TraceDraft
from butwait.schemas.trajectory import QuestionGroup, Trajectory
from butwait.transforms.seeds import derive_seed
from butwait.transforms.tree_facts import TreeParent, parent_named
from butwait.transforms.verified import Made, make_trace

OwnTransform = Callable[..., Iterable[TraceDraft]]
"""``(question, group, seed, **options)`` → drafts; see docs/own-transform.md."""
FAILED = "own_transform_failed"


def apply_own(
    question: Question, group: QuestionGroup, spec: OwnSpec, run_seed: int, function: OwnTransform
) -> Made:
    """Ask a transform of somebody's own for one question's traces.

    Args:
        question: The question.
        group: What is known of it.
        spec: Its section of the recipe.
        run_seed: The seed that the function gets derives from it, the question and the name.
        function: The transform.

    Returns:
        At most ``spec.per_question`` traces, or ``nothing_made``.

    Raises:
        SchemaError: ``own_transform_failed``, with the transform's name, where it raises or returns
            something else than drafts.
    """
    seed = derive_seed(run_seed, question.id, spec.transform)
    try:
        drafts = list(islice(function(question, group, seed, **spec.options), spec.per_question))
    except Exception as error:
        raise SchemaError(
            FAILED, f"{spec.transform}: {type(error).__name__}: {error}"[:500]
        ) from error
    traces = []
    for i, draft in enumerate(drafts):
        if not isinstance(draft, TraceDraft):
            kind = type(draft).__name__
            raise SchemaError(FAILED, f"{spec.transform} gave a {kind}, not a TraceDraft")
        parents = [find_parent(group, name) for name in draft.parents]
        traces.append(
            make_trace(
                question,
                group,
                spec,
                i,
                draft.thought,
                draft.solution,
                parents,
                flow=draft.flow,
                first_answer=draft.first_answer,
            )
        )
    return Made(tuple(traces)) if traces else Made(reason="nothing_made")


def find_parent(group: QuestionGroup, name: str) -> Trajectory | TreeParent:
    """Find a trajectory or tree node of a question by its id.

    Raises:
        SchemaError: ``own_transform_failed``: this question has none of that name.
    """
    for trajectory in (*group.samples, *group.continuations):
        if trajectory.id == name:
            return trajectory
    if group.tree is not None and name.startswith(f"{group.question_id}-node-"):
        node = name.rpartition("-")[2]
        if node.isdigit() and int(node) < len(group.tree.nodes):
            return parent_named(group.tree, name)
    raise SchemaError(FAILED, f"no trajectory or tree node of this question is called {name!r}")
