"""The policy's own certainty as a reward: no model, no server.

A step's reward is exp(c), c the mean log-probability of its tokens under the policy that wrote it;
the log-weight of a particle filter is then the logit of exp(c), as in the newest its_hub. Left out:
its other certainties (the entropy of the twenty likeliest tokens).
"""

from __future__ import annotations

import math

from butwait.pipelines.scoring.wire import check_log_prob
from butwait.schemas.errors import RequestRefused
from butwait.schemas.sampling import ModelIdentity
from butwait.schemas.scoring import ScoreRequest

IDENTITY = ModelIdentity(id="self_certainty", revision=None, engine="none")


class SelfCertaintyScorer:
    """Implements ``Scorer``."""

    @property
    def identity(self) -> ModelIdentity:
        """Say that no further weights score."""
        return IDENTITY

    async def score(self, request: ScoreRequest) -> tuple[float, ...]:
        """Return the exponential of each step's log-probability.

        Raises:
            RequestRefused: ``bad_score``: a step without one, or what is none.
        """
        known = request.log_probs or ()
        if len(known) != len(request.steps):
            what = f"{len(known)} log-probabilities for {len(request.steps)} steps"
            raise RequestRefused("bad_score", what)
        return tuple(
            math.exp(check_log_prob(value, f"step {i + 1}")) for i, value in enumerate(known)
        )

    async def close(self) -> None:
        """Hold nothing."""
