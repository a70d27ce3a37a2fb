"""The ``butwait train`` commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import say

app = make_app(
    help="Train a model on published rows.\n\nExample: butwait train sft recipes/train/sft.yaml",
)

RecipePath = Annotated[
    Path, typer.Argument(help="YAML recipe, e.g. recipes/train/sft.yaml.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key; repeatable."),
]
OutFolder = Annotated[Path, typer.Option(help="Folder for run folders.")]
Force = Annotated[bool, typer.Option("--force", help="Train although rows fail the gate.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Remove an earlier run and begin anew.")]
CheckOnly = Annotated[bool, typer.Option("--check", help="Stop after the gate.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command()
def sft(
    recipe: RecipePath,
    set_: Overrides = None,
    out: OutFolder = Path("runs"),
    force: Force = False,
    fresh: Fresh = False,
    check: CheckOnly = False,
    debug: Debug = False,
) -> None:
    """Supervised fine-tuning; a second run of the command continues the first.

    Every row is rendered and checked before the model loads. Several processes:
    accelerate launch --config_file recipes/accelerate/fsdp2-8.yaml .venv/bin/butwait train sft ...

    \b
    Examples:
      butwait train sft recipes/train/sft.yaml
      butwait train sft recipes/train/sft.yaml --check
      butwait train sft my.yaml --set optimiser.learning_rate=1e-5 --fresh
    """
    from butwait.schemas.recipe_train import SftRecipe

    effective, options = _read(SftRecipe, recipe, set_, out, force, fresh, check)
    from butwait.trainer.sft import train_sft

    _run(train_sft, effective, options)


@app.command()
def grpo(
    recipe: RecipePath,
    set_: Overrides = None,
    out: OutFolder = Path("runs"),
    fresh: Fresh = False,
    check: CheckOnly = False,
    debug: Debug = False,
) -> None:
    """GRPO on verified answers; a second run of the command continues the first.

    A recipe with `evolution` gives every rollout a twin that is told to doubt. docs/train-grpo.md
    explains the keys, the presets and the engines.

    \b
    Examples:
      butwait train grpo recipes/train/grpo.yaml
      butwait train grpo recipes/train/evolution.yaml --check
      butwait train grpo my.yaml --set preset=redhat-apr --set group_size=8
    """
    from butwait.schemas.recipe_grpo import GrpoRecipe

    effective, options = _read(GrpoRecipe, recipe, set_, out, False, fresh, check)
    from butwait.trainer.grpo import train_grpo

    _run(train_grpo, effective, options)


@app.command()
def prm(
    recipe: RecipePath,
    set_: Overrides = None,
    out: OutFolder = Path("runs"),
    force: Force = False,
    fresh: Fresh = False,
    check: CheckOnly = False,
    debug: Debug = False,
) -> None:
    """A process reward model from labelled steps; a second run of the command continues the first.

    The final folder is one that vLLM serves and `prm: {layout: qwen}` of a search reads. How it
    ranks right over wrong inside held-out questions stands in the manifest and on the card.

    \b
    Examples:
      butwait train prm recipes/train/prm.yaml
      butwait train prm recipes/train/prm.yaml --set held_out=0.2 --set name=search-prm-2
      butwait train prm my.yaml --set label_source=values --fresh
    """
    from butwait.schemas.recipe_prm import PrmRecipe

    effective, options = _read(PrmRecipe, recipe, set_, out, force, fresh, check)
    from butwait.trainer.prm import train_prm

    _run(train_prm, effective, options)


@app.command()
def dpo(
    recipe: RecipePath,
    set_: Overrides = None,
    out: OutFolder = Path("runs"),
    force: Force = False,
    fresh: Fresh = False,
    check: CheckOnly = False,
    debug: Debug = False,
) -> None:
    """Direct preference optimisation on pairs; a second run of the command continues the first.

    Both texts of every pair are rendered and checked before the model loads.

    \b
    Examples:
      butwait train dpo recipes/train/dpo.yaml
      butwait train dpo recipes/train/dpo.yaml --check
      butwait train dpo my.yaml --set beta=0.05 --set model.lora.r=16
    """
    from butwait.schemas.recipe_dpo import DpoRecipe

    effective, options = _read(DpoRecipe, recipe, set_, out, force, fresh, check)
    from butwait.trainer.dpo import train_dpo

    _run(train_dpo, effective, options)


def _read(
    model: Any,
    recipe: Path,
    overrides: list[str] | None,
    out: Path,
    force: bool,
    fresh: bool,
    check: bool,
) -> tuple[Any, Any]:
    """Read a recipe of one kind, and what the command line adds."""
    from butwait.pipelines.recipe_file import check_recipe, dump_recipe, read_document
    from butwait.trainer.options import TrainOptions

    document = read_document(recipe, overrides or (), Path.cwd())
    effective = check_recipe(document, str(recipe), model)
    return effective, TrainOptions(
        base=recipe.resolve().parent,
        out=out,
        recipe_text=dump_recipe(effective),
        say=say,
        force=force,
        fresh=fresh,
        check_only=check,
    )


def _run(train: Callable[[Any, Any], dict[str, Any]], recipe: Any, options: Any) -> None:
    """Train; libraries that talk are asked to be quiet."""
    from butwait.trainer.quiet import quiet_libraries

    quiet_libraries()
    train(recipe, options)
