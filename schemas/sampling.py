"""What is asked of a sampler and what comes back: the contract of every engine.

Engines (vLLM over HTTP, transformers in process, recorded trajectories) answer a
``SampleRequest`` with one ``Completion`` a sample. Nothing here knows any of them.
"""

from __future__ import annotations

from typing import Protocol

from pydantic import Field, model_validator

from butwait.schemas.record import Message, Record


class SamplingParameters(Record):
    """Everything that shapes a sample besides its prompt and seed."""

    temperature: float = Field(ge=0.0, le=10.0)
    top_p: float = Field(gt=0.0, le=1.0)
    max_tokens: int = Field(ge=1)
    """Upper bound of generated tokens a sample."""
    stop: tuple[str, ...] = ()
    """Stop strings; the text that comes back does not contain them."""


class SampleRequest(Record):
    """n samples of one prompt.

    Exactly one of ``messages`` (rendered by the served model's chat template) and ``prompt``
    (sent as it is) is given. ``prefix`` is text that the assistant has already said: the samples
    continue it and their text does not repeat it.
    """

    question_id: str
    step: str
    """Which request of the question this is: ``sample``, ``continue-0`` ..."""
    messages: tuple[Message, ...] | None
    prompt: str | None
    prefix: str = ""
    prefix_tokens: tuple[int, ...] | None = None
    """Token ids of ``prefix`` as they were sampled; None: the engine tokenizes the text."""
    n: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**63)
    """Sample i uses seed + i; seeds of different requests are spaced by more than n."""
    is_seeded: bool = True
    """False: the seed only names the samples (in the cache), the engine draws as it likes. So many
    prompts can share one HTTP request, which has one seed for all of them."""
    fits_context: bool = False
    """Whether ``max_tokens`` is shortened where prompt and answer would not fit into the model's
    context together; else such a request is refused."""
    with_tokens: bool = False
    """Whether completions bring their token ids."""
    with_log_probs: bool = False
    """Whether they bring the sum of their log-probabilities, which costs a server a third of its
    speed."""
    parameters: SamplingParameters

    @model_validator(mode="after")
    def _one_prompt(self) -> SampleRequest:
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("exactly one of messages and prompt must be given")
        return self


class Completion(Record):
    """One sample."""

    index: int
    """0-based sample index within its request."""
    text: str
    finish_reason: str
    """``stop`` (end of text or a stop string), ``length`` (token limit), or the engine's word."""
    stop_reason: str | None = None
    """The stop string that ended it, if one did."""
    n_prompt_tokens: int
    n_completion_tokens: int
    seed: int | None
    """Seed of this sample; None where a recording does not say."""
    label: bool | None = None
    """Verdict that came with a recorded trajectory; None for a fresh sample."""
    token_ids: tuple[int, ...] | None = None
    """As generated, the tokens of a stop string included; None where not asked for or not told."""
    log_prob: float | None = None
    """Sum of the tokens' log-probabilities under the model at temperature 1; None where not asked
    for or not told."""


class ModelIdentity(Record):
    """Which weights answered."""

    id: str
    revision: str | None
    """Hub commit, or ``sha256:...`` over the weight files of a local folder."""
    engine: str
    """``vllm``, ``transformers`` or ``replay``, with its version where known."""


class Sampler(Protocol):
    """An engine that answers requests; many at once, from one event loop."""

    @property
    def identity(self) -> ModelIdentity:
        """Which weights answer; known before the first request."""
        ...

    async def sample(self, request: SampleRequest) -> list[Completion]:
        """Answer with exactly ``request.n`` completions in index order.

        Raises:
            SamplerError: The engine refused or did not answer within its retries.
        """
        ...

    async def close(self) -> None:
        """Release connections and memory."""
        ...
