"""Recipes of the trainer: what every kind of training shares, and supervised fine-tuning.

Presets fill what a recipe leaves out; their numbers are those of "Lessons on Reproducing R1-like
Reasoning in Small LLMs" and of the code its authors published, and LIMO's (arXiv 2502.03387).
Relative local paths are relative to the recipe's own folder.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from butwait.schemas.recipe_sections import Section

RecipeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Reporter = Literal["tensorboard", "wandb", "trackio"]


class LoraSpec(Section):
    """Low-rank adapters instead of full fine-tuning (arXiv 2106.09685)."""

    r: int = Field(default=16, ge=1, le=4096)
    """Rank."""
    alpha: int = Field(default=32, ge=1)
    """Scale; the adapter is multiplied by ``alpha / r``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    targets: str | tuple[str, ...] = "all-linear"
    """Modules that get adapters, as peft names them."""


class StartSpec(Section):
    """The model that training starts from."""

    id: str
    """Hub id, or a local folder (starts with '.', '/' or '~')."""
    revision: str | None = None
    """Commit, tag or branch of a Hub model; pin a commit."""
    chat_template: str | None = None
    """File of a Jinja chat template instead of the tokenizer's own; saved with the model."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation; ``auto``: bfloat16 on a GPU that has it, float32 elsewhere."""
    attention: str | None = None
    """``attn_implementation`` of transformers; default: its own choice."""
    gradient_checkpointing: bool = False
    """Trade about a fifth of the speed for memory; wanted from a billion parameters on."""
    lora: LoraSpec | None = None
    """Adapters; null: all weights are trained."""


class DataSpec(Section):
    """The rows that are trained on; exactly one of ``hub``, ``run`` and ``path``."""

    hub: str | None = None
    """Dataset id on the Hub."""
    revision: str | None = None
    """Commit, tag or branch of the Hub dataset; pin a commit."""
    run: str | None = None
    """Folder of a finished build (``runs/quickstart``)."""
    path: str | None = None
    """Local .parquet, .jsonl or .json file, or a folder of such shards."""
    config: str = "default"
    """Configuration of the Hub dataset or of the run (``default``, ``stitch``, ...)."""
    split: str = "train"
    """Split of the Hub dataset."""
    limit: int | None = Field(default=None, ge=1)
    """Read at most this many rows."""
    min_pass_rate: float | None = Field(default=None, ge=0, le=1)
    """Drop rows of questions that were solved less often; rows without a rate are kept."""
    max_pass_rate: float | None = Field(default=None, ge=0, le=1)
    """Drop rows of questions that were solved more often; rows without a rate are kept."""

    @model_validator(mode="after")
    def _one_place(self) -> DataSpec:
        if sum(place is not None for place in (self.hub, self.run, self.path)) != 1:
            raise ValueError("give exactly one of 'hub', 'run' and 'path'")
        if self.revision is not None and self.hub is None:
            raise ValueError("'revision' belongs to 'hub'")
        return self


class OptimiserSpec(Section):
    """AdamW and its schedule."""

    learning_rate: float = Field(default=6e-6, gt=0)
    """Peak rate; 6e-6 stands in the run name of the LIMO arm."""
    schedule: Literal["constant_with_warmup", "constant", "linear", "cosine"] = (
        "constant_with_warmup"
    )
    """How the rate runs after the warm-up."""
    warmup_steps: int = Field(default=10, ge=0)
    """Steps in which the rate rises from 0."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's two decay rates."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""


class TrainRecipe(Section):
    """What every kind of training shares."""

    name: RecipeName
    """Names the run folder ``runs/<name>``: letters, digits, '.', '_' and '-'."""
    seed: int = Field(default=42, ge=0, lt=2**31)
    """Order of the rows, adapters' first weights and rollouts derive from it."""
    model: StartSpec
    data: DataSpec
    optimiser: OptimiserSpec = OptimiserSpec()
    batch_size: int = Field(default=128, ge=1)
    """Rows an optimiser step, over all processes (GRPO: questions)."""
    micro_batch_size: int = Field(default=8, ge=1)
    """Rows a process holds at once; smaller needs less memory and changes nothing else."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps instead of ``epochs``."""
    save_every: int | None = Field(default=None, ge=1)
    """Optimiser steps between checkpoints; default: at the end only."""
    keep_checkpoints: int | None = Field(default=None, ge=1)
    """Newest checkpoints to keep; default: all."""
    log_every: int = Field(default=1, ge=1)
    """Optimiser steps between two lines of metrics."""
    report_to: tuple[Reporter, ...] = ("tensorboard",)
    """Who gets the metrics besides the run's own ``metrics.jsonl``."""

    @property
    def rows_a_step(self) -> int:
        """Sequences an optimiser step, over all processes."""
        return self.batch_size


class SftRecipe(TrainRecipe):
    """Supervised fine-tuning on rows with ``prompt`` and ``completion``, ``messages``, or
    ``conversations`` (``from`` and ``value``)."""

    preset: Literal["redhat-sft", "limo"] | None = None
    """Hyper-parameters that the recipe leaves out."""
    mask: Literal["none", "wrong", "wrong_and_transition"] = "none"
    """Which labelled spans of the assistant's text stay outside the loss."""
    max_length: int = Field(default=16384, ge=8)
    """Tokens of prompt and completion; 16,384 is Phi-4's context."""
    too_long: Literal["drop", "keep", "cut_end"] = "drop"
    """What becomes of longer rows, always counted: left out; trained whole; or cut at the end, so
    that the model is not taught to stop there."""
    max_too_long: float = Field(default=0.1, ge=0, le=1)
    """Share of over-long rows from which on the gate stops the run."""
    packing: bool = False
    """Put several rows into one sequence of ``max_length``, without attention between them."""

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, document: Any) -> Any:
        return fill_preset(document, SFT_PRESETS)

    @model_validator(mode="after")
    def _can_pack(self) -> SftRecipe:
        if self.packing and self.too_long == "keep":
            raise ValueError("packing cuts what is longer than max_length: too_long cannot be keep")
        return self


SFT_PRESETS: dict[str, dict[str, Any]] = {
    "redhat-sft": {
        "seed": 42,
        "batch_size": 128,
        "epochs": 12,
        "max_length": 16384,
        "optimiser": {
            "learning_rate": 6e-6,
            "schedule": "constant_with_warmup",
            "warmup_steps": 10,
            "betas": [0.9, 0.95],
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
        },
    },
    "limo": {
        "seed": 42,
        "batch_size": 8,
        "micro_batch_size": 1,
        "epochs": 15,
        "max_length": 16384,
        "optimiser": {
            "learning_rate": 5e-6,
            "schedule": "cosine",
            "warmup_steps": 0,
            "betas": [0.9, 0.999],
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
        },
    },
}
"""``redhat-sft``: 6e-6 from the run name, 128 rows a step, constant rate after 10 steps, token-mean
loss over the assistant's turns; 12 epochs are inferred from checkpoint names (But-wait). ``limo``:
LIMO's own recipe, 15 epochs, cosine without warm-up, one row a device; eight are assumed."""


def fill_preset(document: Any, presets: dict[str, dict[str, Any]]) -> Any:
    """Put a preset's values where the document has none, section by section."""
    if not isinstance(document, dict) or document.get("preset") not in presets:
        return document
    return _merge(presets[document["preset"]], document)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = {**below, **above}
    for key, value in below.items():
        if isinstance(value, dict) and isinstance(above.get(key), dict):
            merged[key] = _merge(value, above[key])
    return merged
