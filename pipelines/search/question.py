"""One question's search: ask the method what to grow, grow it, score it, go on.

One coroutine a question; the steps of all questions meet in the gathering clients, so that a
question that waits for its slowest particle leaves no server idle. Nothing here depends on which
reply comes first: children are added in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from butwait.pipelines.sampling.steps import Grown, Steps
from butwait.pipelines.search.finish import SearchOutcome, finish_search
from butwait.pipelines.stages.sample_question import AskPlan, sample_request
from butwait.schemas.errors import RequestRefused
from butwait.schemas.question import Question
from butwait.schemas.recipe_search import Aggregation, PrmSpec, SearchSpec
from butwait.schemas.sampling import ModelIdentity, SampleRequest
from butwait.schemas.scoring import Scorer, ScoreRequest
from butwait.schemas.tree import Cut
from butwait.transforms.search.growth import Growth, Sprout
from butwait.transforms.search.methods import make_search
from butwait.transforms.search.prefix import prefix_parts
from butwait.transforms.search.protocol import Grow
from butwait.transforms.search.steps import Step, StepRules, read_step
from butwait.transforms.seeds import derive_rng, derive_seed


@dataclass(frozen=True)
class SearchPlan:
    """What shapes a search, besides its question."""

    ask: AskPlan
    spec: SearchSpec
    prm: PrmSpec | None = None
    """How prefixes are scored; None: they are not."""
    scorer: ModelIdentity | None = None
    """Whose weights score."""

    @property
    def aggregation(self) -> Aggregation:
        """How a prefix's step rewards become one."""
        return self.prm.aggregation if self.prm is not None else "model"

    @property
    def wants_log_probs(self) -> bool:
        """Whether steps bring their log-probabilities: asked for, or read by the scorer."""
        reads = self.prm is not None and self.prm.layout == "self_certainty"
        return reads or self.spec.log_probs


class QuestionSearch:
    """One search under way.

    Args:
        question: With its gold answer, or without (then nothing is verified).
        plan: Method and parameters.
        steps: Grows steps.
        scorer: Scores prefixes; None where the method needs no rewards.
        has_gold: Whether the gold answer is known.
    """

    def __init__(
        self,
        question: Question,
        plan: SearchPlan,
        steps: Steps,
        scorer: Scorer | None,
        has_gold: bool = True,
    ) -> None:
        spec = plan.spec
        self._question = question
        self._plan = plan
        self._steps = steps
        self._scorer = scorer
        self._has_gold = has_gold
        self._method = make_search(spec)
        self._growth = Growth(plan.aggregation)
        self._refusals: list[RequestRefused] = []
        self._base = sample_request(question, plan.ask, 1)
        self._rules = StepRules(
            spec.separator,
            spec.max_steps,
            spec.max_step_tokens,
            spec.end_on_box,
            self._method.whole,
        )

    async def run(self) -> SearchOutcome:
        """Search to the end.

        Raises:
            SamplerError: A server is gone; a refused request costs its step alone.
        """
        state, round_ = self._method.init(), 0
        while wanted := self._method.grow(state):
            if self._is_spent():
                self._cut(wanted)
                break
            grown = await asyncio.gather(*(self._grow(grow, round_) for grow in wanted))
            children = {
                grow.parent: [self._growth.add(sprout) for sprout in sprouts]
                for grow, sprouts in zip(wanted, grown, strict=True)
            }
            state, records = self._method.step(state, children, self._draw)
            self._growth.resamplings.extend(records)
            round_ += 1
        final = self._method.final(state)
        return await finish_search(
            self._question,
            self._plan,
            self._growth,
            final,
            self._steps.identity,
            self._refusals,
            self._draw("select"),
            has_gold=self._has_gold,
        )

    def _draw(self, *names: str | int) -> np.random.Generator:
        return derive_rng(self._plan.ask.run_seed, self._question.id, "search", *names)

    def _is_spent(self) -> bool:
        most = self._plan.spec.max_tokens_total
        return most is not None and self._growth.n_tokens >= most

    def _cut(self, wanted: Sequence[Grow]) -> None:
        """Cut what would have gone on."""
        for grow in wanted:
            if grow.parent is not None:
                self._growth.sprouts[grow.parent].cut = "budget"
                child = self._growth.children[grow.parent]
                self._growth.children[grow.parent] = replace(child, is_dead=True)

    async def _grow(self, grow: Grow, round_: int) -> list[Sprout]:
        """Grow one node's children and score them; no other node is waited for."""
        request = self._request(grow, round_)
        step = len(self._growth.path(grow.parent))
        grown = await self._steps.grow(request)
        return list(
            await asyncio.gather(*(self._sprout(grow.parent, step, item) for item in grown))
        )

    def _request(self, grow: Grow, round_: int) -> SampleRequest:
        spec, parent = self._plan.spec, grow.parent
        parameters = self._base.parameters
        if not self._method.whole:
            parameters = parameters.model_copy(
                update={"stop": (spec.separator,), "max_tokens": spec.max_step_tokens}
            )
        name = f"search-{round_}-{'root' if parent is None else parent}"
        # A separator inside a longer token would leave tokens behind that the text does not show.
        is_exact = not spec.separator.strip()
        return self._base.model_copy(
            update={
                "step": name,
                "prefix": "".join(self._growth.texts(parent)),
                "prefix_tokens": self._growth.token_ids(parent)
                if is_exact and parent is not None
                else None,
                "n": grow.n,
                "seed": derive_seed(self._plan.ask.run_seed, self._question.id, name),
                "parameters": parameters,
                "with_log_probs": self._plan.wants_log_probs,
            }
        )

    async def _sprout(self, parent: int | None, step: int, grown: Grown) -> Sprout:
        """Read one sample and have it scored; a refusal becomes a cut, never a number."""
        if isinstance(grown, RequestRefused):
            self._refusals.append(grown)
            cut: Cut = "context_overflow" if grown.reason == "context_overflow" else "refused"
            return Sprout(parent, step, Step("", None, cut), None, None, cut)
        read = read_step(grown, step, self._rules)
        self._growth.n_prompt_tokens += grown.n_prompt_tokens
        sprout = Sprout(parent, step, read, grown, None, read.cut)
        if sprout.cut is None and self._scorer is not None:
            await self._score(sprout)
        return sprout

    async def _score(self, sprout: Sprout) -> None:
        assert self._scorer is not None
        try:
            self._growth.n_scored += 1
            request = self._score_request(sprout)
            rewards = await self._scorer.score(request)
            if len(rewards) != len(request.steps) or not all(0.0 <= r <= 1.0 for r in rewards):
                seen = f"{len(request.steps)} steps were scored {list(rewards)[:8]}"
                raise RequestRefused("bad_score", seen)
            sprout.rewards = rewards
        except RequestRefused as refusal:
            self._refusals.append(refusal)
            sprout.cut = "unscored"

    def _score_request(self, sprout: Sprout) -> ScoreRequest:
        before = [self._growth.sprouts[i] for i in self._growth.path(sprout.parent)]
        path = [*before, sprout]
        steps, log_probs = prefix_parts(
            [s.read.text for s in path],
            [s.completion for s in path if s.completion is not None],
            self._plan.aggregation,
            self._plan.spec.separator if self._method.whole else None,
        )
        return ScoreRequest(
            question_id=self._question.id,
            problem=self._question.problem,
            messages=self._base.messages,
            prompt=self._base.prompt,
            steps=steps,
            log_probs=log_probs,
        )
