"""Recipes of GRPO: groups of rollouts, rewards, the reference model, and direct evolution.

Presets fill what a recipe leaves out. ``redhat-feb`` and ``redhat-apr`` are the numbers of the code
that the authors of "Lessons on Reproducing R1-like Reasoning in Small LLMs" published in February
and April 2025, ``r1`` those of DeepSeek-R1 (Nature 645, 633-638). Left out of ``r1``: its rollouts
of 512 questions, cut into 16 batches, and its second stage.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from butwait.schemas.recipe_sections import Section
from butwait.schemas.recipe_train import TrainRecipe, fill_preset

FormatName = Literal["boxed", "bespoke", "thinking_answer", "think_boxed"]


class LengthSpec(Section):
    """A reward that runs from one value at 0 tokens to another at ``max_completion_length``.

    ``cosine`` is the length reward of "Demystifying Long Chain-of-Thought Reasoning in LLMs" (arXiv
    2502.03373, section 4): ``long + (short - long) / 2 * (1 + cos(pi * tokens / longest))``.
    ``linear`` is the straight line between the same two values. The default values are those of
    open-r1's reward of this kind: a right answer is worth more when short, a wrong one costs less
    when long.
    """

    kind: Literal["cosine", "linear"] = "cosine"
    """How it runs between the two values."""
    correct: tuple[float, float] = (1.0, 0.5)
    """Of a right answer: at 0 tokens, at the longest."""
    wrong: tuple[float, float] = (-1.0, -0.5)
    """Of any other: at 0 tokens, at the longest."""
    cut: float = -1.0
    """Of a rollout that was cut at ``max_completion_length``, right or wrong."""


class RewardsSpec(Section):
    """Weights of the rewards; one of weight 0 is neither computed nor logged, but for accuracy."""

    accuracy: float = Field(default=1.0, ge=0)
    """1 for an answer that the verifier shows equal, 0 for another."""
    format: float = Field(default=0.0, ge=0)
    """1 for a rollout in the layout ``layout``, 0 for another."""
    length: float = Field(default=0.0, ge=0)
    """The reward of the section ``length_reward``."""
    layout: FormatName = "think_boxed"
    """What ``format`` asks for: the markers of the renderer of that name, once each and in order,
    and a box after the thought; ``boxed``: a box alone."""
    length_reward: LengthSpec = LengthSpec()
    truncated: float | None = None
    """Accuracy reward of a rollout that was cut before it answered; null: left out of its group."""
    no_answer: float | None = 0.0
    """Accuracy reward of one that ends without an answer, or hedges; null: left out."""
    worker_s: float = Field(default=1.0, gt=0, le=60)
    """Longest symbolic check, in seconds; one that takes longer is left out of its group."""

    @model_validator(mode="after")
    def _any(self) -> RewardsSpec:
        if not (self.accuracy or self.format or self.length):
            raise ValueError("all rewards have weight 0: give accuracy, format or length a weight")
        return self


class RolloutSpec(Section):
    """What samples the rollouts."""

    engine: Literal["transformers", "vllm_server", "vllm_colocate"] = "transformers"
    """``transformers``: the policy itself, in this process. ``vllm_server``: a running ``vllm
    serve`` on GPUs of its own, which gets the new weights every step. ``vllm_colocate``: vLLM
    beside the trainer on the same GPUs."""
    url: str | None = None
    """Of the server, e.g. ``http://localhost:8000``."""
    group_port: int = Field(default=51216, ge=1, le=65535)
    """Port over which a server gets the new weights."""
    start_timeout_s: float = Field(default=240.0, gt=0)
    """Longest wait for the server at the start."""
    gpu_memory_utilization: float = Field(default=0.3, gt=0, lt=1)
    """Share of a GPU that ``vllm_colocate`` takes."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that hold one copy of the policy with ``vllm_colocate``."""
    sleep: bool = False
    """Free vLLM's memory during the update (``vllm_colocate``)."""
    correction: Literal["none", "token_truncate", "token_mask", "sequence_mask"] = "token_truncate"
    """What is done about vLLM's probabilities not being the trainer's: weights of each token's
    ratio, cut at ``correction_cap`` or masked above it."""
    correction_cap: float = Field(default=2.0, gt=0)
    """Largest weight."""

    @model_validator(mode="after")
    def _place(self) -> RolloutSpec:
        if (self.engine == "vllm_server") != (self.url is not None):
            raise ValueError("'url' belongs to engine vllm_server, and that one needs it")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url {self.url!r} must begin with http:// or https://")
        return self


class PlateauSpec(Section):
    """End the run when the mean reward has not risen from one window of steps to the next."""

    window: int = Field(default=50, ge=1)
    """Optimiser steps in each window; looked at when one is full."""
    min_gain: float = Field(default=0.0, ge=0)
    """The run ends where the mean reward rose by no more than this."""


class EvolutionSpec(Section):
    """Direct evolution: every rollout gets a twin that is cut, told to doubt, and goes on.

    The twin's kept beginning and the phrase count as the policy's own tokens, as in the code this
    follows, though the policy never sampled the phrase: the update is off-policy there.
    """

    phrases: tuple[str, ...] = Field(
        default=(
            "Let me try another method.",
            "Let me think again.",
            "Wait!",
            "Let me double-check.",
            "Alternatively,",
        ),
        min_length=1,
    )
    """One of them, drawn at random, follows the cut."""
    cut: Literal["blank_line", "newline"] = "blank_line"
    """Where a rollout may be cut; a rollout without a blank line is cut at a newline."""
    mask_inserted: bool = False
    """Take the phrase's tokens out of the loss."""
    mini: int | None = Field(default=None, ge=1)
    """Train on this many questions only, the first that are usable."""

    @model_validator(mode="after")
    def _said(self) -> EvolutionSpec:
        if any(not phrase.strip() for phrase in self.phrases):
            raise ValueError("a phrase of 'phrases' is blank")
        return self


class GrpoRecipe(TrainRecipe):
    """Group-relative policy optimisation on rows with ``prompt`` and ``answer``.

    ``batch_size`` counts questions, ``micro_batch_size`` rollouts, and ``samples`` rollouts too.
    """

    preset: Literal["redhat-feb", "redhat-apr", "r1"] | None = None
    """Hyper-parameters that the recipe leaves out."""
    group_size: int = Field(default=8, ge=2)
    """Rollouts of each question; with ``evolution`` each of them has a twin."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the rollouts, and of the probabilities in the loss."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus of the rollouts; below 1 the loss still uses all tokens' probabilities."""
    max_completion_length: int | None = Field(default=8192, ge=2)
    """Tokens of a rollout at most; null: the model's context less the longest prompt."""
    beta: float = Field(default=0.01, ge=0)
    """Weight of the divergence from the reference model (k3 estimator); 0: no reference is kept."""
    sync_ref_every: int | None = Field(default=None, ge=1)
    """Optimiser steps after which the policy becomes the new reference; null: never."""
    loss_type: Literal["grpo", "dr_grpo", "dapo"] = "grpo"
    """``grpo``: mean over each rollout's tokens, then over rollouts. ``dr_grpo``: sum over tokens
    by ``max_completion_length`` (arXiv 2503.20783). ``dapo``: mean over the step's tokens (arXiv
    2503.14476)."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Whose standard deviation divides advantages; Dr. GRPO in full wants ``none``."""
    clip: float | None = Field(default=None, gt=0)
    """Bound of the probability ratio (1 - clip, 1 + clip); null: none. It can only act where
    ``updates_per_batch`` is above 1: with one update the ratio is 1."""
    clip_high: float | None = Field(default=None, gt=0)
    """Upper bound where it differs (DAPO: 0.28)."""
    updates_per_batch: int = Field(default=1, ge=1)
    """Optimiser steps on the same rollouts."""
    rewards: RewardsSpec = RewardsSpec()
    rollouts: RolloutSpec = RolloutSpec()
    stop_on_plateau: PlateauSpec | None = None
    evolution: EvolutionSpec | None = None
    log_rollouts: int = Field(default=4, ge=0)
    """Rollouts a logged step that are written to ``rollouts.jsonl``."""

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, document: Any) -> Any:
        return fill_preset(document, GRPO_PRESETS)

    @model_validator(mode="after")
    def _fits(self) -> GrpoRecipe:
        if self.sync_ref_every is not None and self.beta == 0:
            raise ValueError("sync_ref_every refreshes a reference that beta 0 does not keep")
        if self.sync_ref_every is not None and self.model.lora is not None:
            raise ValueError("sync_ref_every needs whole weights: adapters' reference is the base")
        if self.clip_high is not None and self.clip is None:
            raise ValueError("clip_high needs clip")
        if self.save_every is not None and self.save_every % self.updates_per_batch:
            raise ValueError("save_every must be a multiple of updates_per_batch")
        plateau = self.stop_on_plateau
        if plateau is not None and plateau.window % self.log_every:
            raise ValueError("stop_on_plateau.window must be a multiple of log_every")
        return self

    @property
    def group(self) -> int:
        """Rollouts that are compared with one another, twins included."""
        return self.group_size * (2 if self.evolution is not None else 1)

    @property
    def rows_a_step(self) -> int:
        """Rollouts an optimiser step, over all processes."""
        return self.batch_size * self.group


def _preset(rate: float, warmup: int, **values: Any) -> dict[str, Any]:
    # Text that is cut has no answer there, and so earns 0.
    return {
        "optimiser": {
            "learning_rate": rate,
            "schedule": "constant_with_warmup",
            "warmup_steps": warmup,
            "max_grad_norm": 1.0,
        },
        "rewards": {"accuracy": 1.0, "format": 0.0, "length": 0.0, "truncated": 0.0},
        **values,
    }


GRPO_PRESETS: dict[str, dict[str, Any]] = {
    "redhat-feb": _preset(
        5e-7,
        40,
        batch_size=128,
        group_size=64,
        temperature=1.0,
        beta=0.04,
        sync_ref_every=10,
        max_completion_length=None,
        clip=None,
    ),
    "redhat-apr": _preset(
        2e-6,
        10,
        batch_size=128,
        group_size=32,
        temperature=0.6,
        beta=0.001,
        sync_ref_every=40,
        max_completion_length=8192,
        clip=None,
    ),
    "r1": _preset(
        3e-6,
        0,
        batch_size=32,
        group_size=16,
        temperature=1.0,
        beta=0.001,
        sync_ref_every=400,
        max_completion_length=32768,
        clip=10.0,
    ),
}
"""Samples a question in April were 32 by default and 8 in the run; DeepSeek-R1 does not tell its
warm-up (0 here) and asks for 65,536 tokens later on. R1's format reward (``rewards.format``) is off
here until a recipe names its layout."""
