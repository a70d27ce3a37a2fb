"""Recipes that train a process reward model on labelled steps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from butwait.schemas.recipe_train import OptimiserSpec, TrainRecipe


class PrmRecipe(TrainRecipe):
    """A process reward model, trained on rows with ``prompt``, ``completions`` and ``labels``."""

    layout: Literal["qwen"] = "qwen"
    """``qwen``: a token after each step, two classes at it (``Qwen2ForProcessRewardModel``, as
    Qwen2.5-Math-PRM); vLLM's pooling runner serves it."""
    step_token: str = Field(default="<extra_0>", min_length=1)
    """Ends a step; added to a tokenizer that lacks it, as a copy of ``separator``."""
    system: str | None = None
    """System line of the chats; null: Qwen's ("Please reason step by step, ..."); empty: none. It
    must be that of the searches which the model is to score."""
    separator: str = "\n\n"
    """Stands between steps that are joined, for rows without a column of that name."""
    label_source: Literal["labels", "values"] = "labels"
    """``labels``: right or wrong. ``values``: the share of right leaves below a step, as the
    probability to be learned (soft Monte-Carlo labels)."""
    joined: float = Field(default=0.5, ge=0, le=1)
    """Share of rows that are cut after a random step and shown as one step with one token at its
    end, as a search with ``aggregation: model`` shows prefixes; drawn by seed and id."""
    trained_layers: int | None = Field(default=None, ge=0)
    """Layers that learn, counted from the top; the last norm and the head always do. Null: all
    weights, embeddings too. 0: norm and head alone."""
    held_out: float = Field(default=0.1, ge=0, lt=1)
    """Share of questions that are measured on and not trained on, by a hash of their id."""
    max_length: int = Field(default=4096, ge=8)
    """Tokens of a row."""
    too_long: Literal["drop"] = "drop"
    """What becomes of longer rows, always counted."""
    max_too_long: float = Field(default=0.1, ge=0, le=1)
    """Share of over-long rows from which on the gate stops the run."""
    optimiser: OptimiserSpec = OptimiserSpec(learning_rate=1e-5, schedule="linear")

    @model_validator(mode="after")
    def _no_adapters(self) -> PrmRecipe:
        if self.model.lora is not None:
            raise ValueError("a reward model has no 'model.lora': take trained_layers for less")
        return self
