"""Recipes of direct preference optimisation (arXiv 2305.18290)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from butwait.schemas.recipe_train import OptimiserSpec, TrainRecipe


class DpoRecipe(TrainRecipe):
    """DPO on rows with ``prompt``, ``chosen`` and ``rejected``."""

    beta: float = Field(default=0.1, gt=0)
    """How dear it is to leave the model that was started from."""
    loss_type: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "apo_zero"] = "sigmoid"
    """TRL's names. ``sigmoid``: DPO. ``sigmoid_norm``: by the mean over the tokens, against a taste
    for length. ``hinge``: SLiC. ``ipo``: arXiv 2310.12036. ``robust``: DPO that expects a share
    ``label_smoothing`` of wrong pairs. ``apo_zero``: arXiv 2408.06266."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs expected to be the wrong way round, for ``robust``."""
    mask_prefix: bool = True
    """Keep the first ``prefix_characters`` of both texts, which they share, outside the loss."""
    end_of_turn: bool = True
    """Whether a text ends the assistant's turn. False for rows of ``span: step``, which stop after
    a step: the end token is then left off."""
    max_length: int = Field(default=4096, ge=8)
    """Tokens of prompt and text, of the longer of the two."""
    too_long: Literal["drop"] = "drop"
    """What becomes of longer pairs, always counted; a cut pair would compare other texts."""
    max_too_long: float = Field(default=0.1, ge=0, le=1)
    """Share of over-long pairs from which on the gate stops the run."""
    optimiser: OptimiserSpec = OptimiserSpec(learning_rate=1e-6, schedule="linear")
    batch_size: int = Field(default=64, ge=1)
    """Pairs an optimiser step, over all processes."""

    @model_validator(mode="after")
    def _smoothing_is_read(self) -> DpoRecipe:
        if self.label_smoothing and self.loss_type != "robust":
            raise ValueError("'label_smoothing' belongs to loss_type 'robust'")
        return self
