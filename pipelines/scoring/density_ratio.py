"""How much likelier a strong policy finds a text than a weak one (Dr. SoW).

The reward of a step is the log-probability of its tokens under the strong model less that under the
weak one, as a sum or by the token, squashed into (0, 1) by ``transforms.density``. Best and worst
of a question's samples by it are the preference pairs of Dr. SoW (reward_hub's ``drsow``). Each
model tokenizes the text itself, with its own template, so the two need not share a tokenizer; by
the token means by the strong model's. Left out: the end of the turn, which a sample does not hold.
"""

from __future__ import annotations

import asyncio
import math

from butwait.pipelines.scoring.likelihood import StepLogProbs
from butwait.pipelines.scoring.link import Link
from butwait.schemas.recipe_search import PrmSpec
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import ScoreRequest
from butwait.transforms.density import squash_ratio


class DensityRatioScorer:
    """Implements ``Scorer``.

    Args:
        strong: The better model's server.
        weak: The other's.
        prm: The statistic, ``sum`` or ``mean``.
    """

    def __init__(self, strong: Link, weak: Link, prm: PrmSpec) -> None:
        self._strong, self._weak = StepLogProbs(strong), StepLogProbs(weak)
        self._identity = join_identities(strong.identity, weak.identity)
        self._by_token = prm.statistic == "mean"

    @property
    def identity(self) -> ModelIdentity:
        """Which weights score."""
        return self._identity

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Return each step's squashed log-ratio.

        Raises:
            RequestRefused: One of the two has no log-probabilities for this text.
            SamplerError: A server is gone.
        """
        strong, weak = await asyncio.gather(self._strong.read(request), self._weak.read(request))
        return tuple(
            squash_ratio(
                (math.fsum(better) - math.fsum(other)) / (len(better) if self._by_token else 1)
            )
            for better, other in zip(strong, weak, strict=True)
        )

    async def close(self) -> None:
        """Release connections."""
        await asyncio.gather(self._strong.close(), self._weak.close())


def join_identities(strong: ModelIdentity, weak: ModelIdentity) -> ModelIdentity:
    """Name two sets of weights as one, for cache keys and trees."""
    return ModelIdentity(
        id=f"{strong.id} over {weak.id}",
        revision=f"{strong.revision} over {weak.revision}",
        engine=strong.engine if strong.engine == weak.engine else f"{strong.engine} {weak.engine}",
    )
