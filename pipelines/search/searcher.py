"""All searches of one worker: who may begin, and what they share."""

from __future__ import annotations

from butwait.pipelines.sampling.steps import Steps
from butwait.pipelines.search.admission import Admission
from butwait.pipelines.search.finish import SearchOutcome
from butwait.pipelines.search.question import QuestionSearch, SearchPlan
from butwait.schemas.question import Question
from butwait.schemas.scoring import Scorer


class Searcher:
    """Searches questions, as many at once as there is room for their particles.

    Args:
        plan: Method and parameters.
        steps: Grows steps.
        scorer: Scores prefixes; None where nothing scores.
    """

    def __init__(self, plan: SearchPlan, steps: Steps, scorer: Scorer | None) -> None:
        self._plan = plan
        self._steps = steps
        self._scorer = scorer
        self._admission = Admission(plan.spec.max_particles_in_flight)

    async def search(self, question: Question, *, has_gold: bool = True) -> SearchOutcome:
        """Search one question.

        Args:
            question: The question.
            has_gold: Whether its gold answer is known; else nothing is verified.

        Raises:
            SamplerError: A server is gone.
            NotCached: There is no server and the cache lacks something.
        """
        async with self._admission.admitted(self._plan.spec.budget):
            return await QuestionSearch(
                question, self._plan, self._steps, self._scorer, has_gold
            ).run()
