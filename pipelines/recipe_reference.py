"""The reference page of recipes, written from the recipe models themselves.

``python -m butwait.pipelines.recipe_reference > docs/recipes.md`` (``make docs``) writes it; a test
fails when the page and the models differ.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from butwait.schemas import (
    benchmark,
    recipe,
    recipe_decontaminate,
    recipe_dpo,
    recipe_eval,
    recipe_grpo,
    recipe_prm,
    recipe_rows,
    recipe_search,
    recipe_sections,
    recipe_source,
    recipe_train,
)

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("the recipe", recipe.Recipe),
    ("sources: [...]", recipe_source.SourceSpec),
    ("sources.columns", recipe_source.Columns),
    ("decontaminate", recipe_decontaminate.DecontaminateSpec),
    ("decontaminate.against: [...]", benchmark.BenchmarkSpec),
    ("model", recipe_sections.ModelSpec),
    ("server", recipe_sections.ServerSpec),
    ("sampling", recipe.SamplingSpec),
    ("search: {method: best_of_n}", recipe_search.BestOfN),
    ("search: {method: weighted_best_of_n}", recipe_search.WeightedBestOfN),
    ("search: {method: self_consistency}", recipe_search.SelfConsistency),
    ("search: {method: beam}", recipe_search.Beam),
    ("search: {method: dvts}", recipe_search.Dvts),
    ("search: {method: particle}", recipe_search.Particle),
    ("search: {method: entropic_particle}", recipe_search.EntropicParticle),
    ("search: {method: particle_gibbs}", recipe_search.ParticleGibbs),
    ("search: {method: islands}", recipe_search.Islands),
    ("prm", recipe_search.PrmSpec),
    ("verify", recipe.VerifySpec),
    ("replay", recipe.ReplaySpec),
    ("replay.columns", recipe.ReplayColumns),
    ("rows.NAME: {transform: verified}", recipe_rows.VerifiedSpec),
    ("rows.NAME: {transform: stitch}", recipe_rows.StitchSpec),
    ("rows.NAME: {transform: but_wait}", recipe_rows.ButWaitSpec),
    ("rows.NAME: {transform: limo}", recipe_rows.LimoSpec),
    ("rows.NAME: {transform: rl}", recipe_rows.RlSpec),
    ("rows.NAME: {transform: backtrack}", recipe_rows.BacktrackSpec),
    ("rows.NAME: {transform: correct_only}", recipe_rows.CorrectOnlySpec),
    ("rows.NAME: {transform: preference}", recipe_rows.PreferenceSpec),
    ("rows.NAME: {transform: step_labels}", recipe_rows.StepLabelsSpec),
    ("rows.NAME: {transform: FILE.py:FUNCTION}", recipe_rows.OwnSpec),
    ("train sft", recipe_train.SftRecipe),
    ("train grpo", recipe_grpo.GrpoRecipe),
    ("train grpo: rewards", recipe_grpo.RewardsSpec),
    ("train grpo: rewards.length_reward", recipe_grpo.LengthSpec),
    ("train grpo: rollouts", recipe_grpo.RolloutSpec),
    ("train grpo: stop_on_plateau", recipe_grpo.PlateauSpec),
    ("train grpo: evolution", recipe_grpo.EvolutionSpec),
    ("train dpo", recipe_dpo.DpoRecipe),
    ("train prm", recipe_prm.PrmRecipe),
    ("train: model", recipe_train.StartSpec),
    ("train: model.lora", recipe_train.LoraSpec),
    ("train: data", recipe_train.DataSpec),
    ("train: optimiser", recipe_train.OptimiserSpec),
    ("eval", recipe_eval.EvalRecipe),
    ("eval: models: [...]", recipe_eval.EvalModel),
    ("eval: models.expected: [...]", recipe_eval.Expected),
    ("eval: benchmarks: [...]", benchmark.BenchmarkSpec),
    ("eval: prompts: [...]", recipe_eval.PromptSpec),
    ("eval: sampling", recipe_eval.EvalSampling),
)

INTRODUCTION = """\
# Recipes

Every key of a recipe, written from the models that check it. Unknown keys are refused with the
nearest known one; relative local paths start from the recipe's own folder. `--set KEY=VALUE`
overrides a key by its dotted path (`--set sampling.n=4`, `--set sources.0.limit=100`).
"""


def render_reference() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION]
    for title, model in SECTIONS:
        parts.append(f"## `{title}`\n\n{inspect.getdoc(model)}\n")
        parts.append("| key | value | default | meaning |\n| --- | --- | --- | --- |")
        described = describe_fields(model)
        for name, field in model.model_fields.items():
            kind = _cell(_spell(field.annotation))
            default = "required" if field.is_required() else _cell(_default(field))
            parts.append(f"| `{name}` | {kind} | {default} | {_cell(described.get(name, ''))} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def describe_fields(model: type[BaseModel]) -> dict[str, str]:
    """Docstrings under the fields, of the class and the ones it extends; a section's is its own."""
    found = {
        name: (inspect.getdoc(section) or "").partition("\n")[0]
        for name, field in model.model_fields.items()
        if (section := _section(field.annotation)) is not None
    }
    for owner in reversed(model.__mro__):
        if not (issubclass(owner, BaseModel) and owner.__module__.startswith("butwait.")):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                said = ast.get_docstring(ast.Module([text], []))
                if said:
                    found[field.target.id] = " ".join(said.split())
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((s for a in get_args(annotation) if (s := _section(a)) is not None), None)


def _spell(annotation: Any) -> str:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _spell(members[0])
    if origin is Literal:
        return " \\| ".join(str(value) for value in members)
    if origin in (Union, types.UnionType):
        return " \\| ".join(dict.fromkeys(_spell(member) for member in members))
    if origin is tuple:
        inner = [_spell(member) for member in members if member is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in members else f"[{', '.join(inner)}]"
    if origin is dict:
        return f"map of {_spell(members[1])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true \\| false"}
    if annotation in names:
        return names[annotation]
    if annotation is type(None):
        return "null"
    return "section" if inspect.isclass(annotation) else str(annotation)


def _default(field: Any) -> str:
    value = field.default if field.default is not PydanticUndefined else field.default_factory()
    if value is None:
        return "null"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(str(getattr(item, 'name', item)) for item in value)}]"
    return str(value) if value != "" else '""'


def _cell(text: str) -> str:
    """One line; pipes of our own are escaped already, others would end the cell."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split())).replace("``", "`")


if __name__ == "__main__":
    print(render_reference(), end="")  # noqa: T201
