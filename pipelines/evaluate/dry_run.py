# ruff: noqa: T201 - printing is what a dry run is for
"""What an evaluation would ask for, and how its models are made; nothing is read or sampled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from butwait.pipelines.evaluate.arms import list_arms, sampling_of
from butwait.pipelines.recipe_file import check_recipe, read_document
from butwait.schemas.benchmark import N_NUMERIC_OLYMPIAD
from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe import Recipe
from butwait.schemas.recipe_dpo import DpoRecipe
from butwait.schemas.recipe_eval import EvalModel, EvalRecipe, Expected
from butwait.schemas.recipe_grpo import GrpoRecipe
from butwait.schemas.recipe_prm import PrmRecipe
from butwait.schemas.recipe_train import SftRecipe, TrainRecipe

TRAINERS: dict[str, type[TrainRecipe]] = {
    "sft": SftRecipe,
    "grpo": GrpoRecipe,
    "dpo": DpoRecipe,
    "prm": PrmRecipe,
}


def print_plan(recipe: EvalRecipe, base: Path) -> None:
    """Print arms, cells, the most tokens they may take, and the recipes that make each model.

    Raises:
        ConfigError: A recipe of ``made_by`` is not there or not valid.
    """
    for line in describe_plan(recipe, base):
        print(line)


def describe_plan(recipe: EvalRecipe, base: Path) -> Iterator[str]:
    """Yield the plan's lines; see `print_plan`."""
    sizes = {b.name: b.n_problems or _guess_size(b.name) for b in recipe.benchmarks}
    arms = list_arms(recipe, {name: size or 1 for name, size in sizes.items()})
    n_cells = n_tokens = 0
    for model in recipe.models:
        yield f"{model.name}: {model.id}" + (f" at {model.revision}" if model.revision else "")
        yield from (f"  made by: {step}" for step in check_steps(model, base))
        for arm in (a for a in arms if a.model is model):
            n_samples = arm.search.budget if arm.search is not None and not arm.is_scored else 1
            cells = arm.n_problems * arm.n
            n_cells += cells
            n_tokens += cells * n_samples * sampling_of(arm, recipe).max_tokens
            k = sizes[arm.benchmark] or "?"
            how = f"prompt {arm.prompt.name}, {arm.method}"
            yield f"  {arm.benchmark}: {k} problems x {arm.n}, {how}"
        yield from (f"  published: {_say_expected(e)}" for e in model.expected)
    unknown = [name for name, size in sizes.items() if size is None]
    more = f", {', '.join(unknown)} not counted" if unknown else ""
    yield f"{len(arms)} arms, {n_cells} cells, at most {n_tokens:.2g} tokens{more}"


def _guess_size(name: str) -> int | None:
    return N_NUMERIC_OLYMPIAD if name == "olympiadbench" else None


def _say_expected(expected: Expected) -> str:
    named = {
        "expected@1": expected.expected_at_1,
        "pass@8": expected.pass_at_8,
        "selected": expected.selected,
    }
    figures = ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)
    beside = "; ".join(part for part in (expected.counts, expected.source) if part)
    said = f"{expected.benchmark}, {expected.method}" + (f": {figures}" if figures else "")
    return f"{said} ({beside})" if beside else said


def check_steps(model: EvalModel, base: Path) -> list[str]:
    """Check the recipes that make a model; return the commands that run them, in order.

    Raises:
        ConfigError: One is not there or not valid.
    """
    return [_command(name, base) for name in model.made_by]


def _command(name: str, base: Path) -> str:
    path = base / name
    document = read_document(path)
    if "sources" in document:
        check_recipe(document, str(path), Recipe)
        return f"butwait build {name}"
    kinds = [kind for kind, model in TRAINERS.items() if _explain(document, path, model) is None]
    named = "grpo" if "evolution" in path.stem else path.stem.partition("-")[0]
    if not kinds:
        wanted = TRAINERS.get(named, SftRecipe)
        raise ConfigError(_explain(document, path, wanted) or f"{path} is no recipe of training")
    return f"butwait train {named if named in kinds else kinds[0]} {name}"


def _explain(document: dict[str, Any], path: Path, model: type[TrainRecipe]) -> str | None:
    """Say what keeps a document from being such a recipe; None: nothing."""
    try:
        check_recipe(dict(document), str(path), model)
    except ConfigError as error:
        return str(error)
    return None
