"""The arms of an evaluation: every model x benchmark x prompt x method, as recipes of stage 2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from butwait.pipelines.evaluate.benchmark import Benchmark
from butwait.pipelines.fingerprints import fingerprint, stage_fingerprints
from butwait.pipelines.resolve import (
    Resolved,
    identify_policy,
    make_ask_plan,
    make_row_context,
    plan_search,
)
from butwait.schemas.eval_cell import PLAIN
from butwait.schemas.eval_run import ArmRecord
from butwait.schemas.recipe import Recipe, SamplingSpec
from butwait.schemas.recipe_eval import PRESETS, EvalModel, EvalRecipe, PromptSpec
from butwait.schemas.recipe_rows import CorrectOnlySpec, RowsSpec, VerifiedSpec
from butwait.schemas.recipe_search import BestOfN, SearchSpec
from butwait.schemas.recipe_sections import ModelSpec
from butwait.schemas.recipe_source import SourceSpec
from butwait.schemas.record import SCHEMA_VERSION

CELLS_VERSION = 1
"""Changes whenever the same samples would make other cells."""


@dataclass(frozen=True)
class Arm:
    """One arm, before anything of it is sampled."""

    model: EvalModel
    benchmark: str
    n_problems: int
    prompt: PromptSpec
    n: int
    """Samples a problem; of a search its repetitions."""
    search: SearchSpec | None
    """How it searches; None: independent samples."""
    is_scored: bool = False
    """Whether the samples are scored by the reward model: they are then drawn as a best-of-n."""

    @property
    def method(self) -> str:
        """Name of the method with its budget."""
        if self.search is None or self.is_scored:
            return PLAIN
        return f"{self.search.method}-{self.search.budget}"

    @property
    def file(self) -> str:
        """Path of its cells, relative to the run folder."""
        name = f"{self.model.name}--{self.prompt.name}--{self.method}"
        return f"cells/{self.benchmark}/{name}.parquet"

    @property
    def work(self) -> str:
        """Name of its working folder."""
        return self.file.removeprefix("cells/").removesuffix(".parquet").replace("/", "--")

    @property
    def title(self) -> str:
        """How progress and messages call it."""
        prompt = "no prompt" if self.prompt.name == "none" else f"prompt {self.prompt.name}"
        return f"{self.model.name} on {self.benchmark}, {prompt}, {self.method}"


def list_arms(recipe: EvalRecipe, sizes: dict[str, int]) -> list[Arm]:
    """List the arms model by model, so that each model is served once.

    Args:
        recipe: The evaluation.
        sizes: K by name of benchmark.
    """
    return [
        arm
        for model in recipe.models
        for benchmark, k in sizes.items()
        for prompt in recipe.prompts_of(model)
        for arm in _methods(recipe, Arm(model, benchmark, k, prompt, 1, None))
    ]


def _methods(recipe: EvalRecipe, arm: Arm) -> Iterator[Arm]:
    n = recipe.samples_of(arm.benchmark, arm.n_problems)
    if n and recipe.score_samples:
        whole = BestOfN(method="best_of_n", budget=n)
        yield replace(arm, n=n, search=whole, is_scored=True)
    elif n:
        yield replace(arm, n=n)
    for search in recipe.searches:
        yield replace(arm, n=recipe.repeats, search=search)


def runs_of(arm: Arm, recipe: EvalRecipe) -> list[Recipe]:
    """Return the builds whose second stages sample the arm: one, or one a repetition."""
    n_runs = 1 if arm.search is None or arm.is_scored else arm.n
    return [_recipe(arm, recipe, number) for number in range(n_runs)]


def _recipe(arm: Arm, recipe: EvalRecipe, number: int) -> Recipe:
    search, model = arm.search, arm.model
    row = VerifiedSpec(transform="verified") if search is None else _tree_rows()
    return Recipe(
        name=f"run-{number}",
        # Seeds derive by hash: neighbours share nothing.
        seed=(recipe.seed + number) % 2**31,
        sources=(SourceSpec(path="questions"),),  # never read: its questions are written
        model=ModelSpec(id=model.id, revision=model.revision, r1_derived=model.r1_derived),
        server=model.server or recipe.server,
        sampling=sampling_of(arm, recipe),
        search=search,
        prm=recipe.prm if search is not None else None,
        verify=recipe.verify,
        rows=RowsSpec({"default": row}),
        shards=1,
        block_size=recipe.block_size,
    )


def _tree_rows() -> CorrectOnlySpec:
    return CorrectOnlySpec(transform="correct_only")


def sampling_of(arm: Arm, recipe: EvalRecipe) -> SamplingSpec:
    """Return the sampling of an arm: the recipe's own, else its preset's."""
    own, preset = recipe.sampling, PRESETS[recipe.preset]
    prompt = arm.prompt
    named = prompt.preset or (prompt.name if prompt.system is None else None)
    if prompt.template is not None and prompt.preset is None:
        named = None
    return SamplingSpec(
        n=0 if arm.search is not None else arm.n,
        temperature=preset["temperature"] if own.temperature is None else own.temperature,
        top_p=preset["top_p"] if own.top_p is None else own.top_p,
        max_tokens=int(preset["max_tokens"]) if own.max_tokens is None else own.max_tokens,
        fit_context=True,
        stop=own.stop if arm.search is None else (),
        prompt=named,
        system=prompt.system,
        template=prompt.template,
    )


def resolve_run(recipe: Recipe, benchmark: Benchmark, base: Path) -> Resolved:
    """Make the run of an arm concrete.

    Raises:
        ConfigError: The model or the reward model cannot be found or served here.
    """
    identity, location = identify_policy(recipe, base)
    return Resolved(
        sources=(benchmark.source,),
        identity=identity,
        model_location=location,
        replay=None,
        ask=make_ask_plan(recipe),
        row_context=make_row_context(recipe),
        but_waits=(),
        search=plan_search(recipe, base),
    )


def record_arm(
    arm: Arm, recipe: EvalRecipe, runs: list[tuple[Recipe, Resolved]], base_model: str
) -> ArmRecord:
    """Describe an arm for the manifest."""
    identity = runs[0][1].identity
    prints = [stage_fingerprints(*run)["trajectories"] for run in runs]
    return ArmRecord(
        benchmark=arm.benchmark,
        n_problems=arm.n_problems,
        n_samples=arm.n,
        model=arm.model.name,
        model_id=identity.id,
        model_revision=identity.revision,
        arm=arm.model.arm,
        checkpoint=arm.model.checkpoint,
        note=arm.model.note,
        prompt=arm.prompt.name,
        method=arm.method,
        parameters=parameters_of(arm, recipe),
        is_base=arm.model.name == base_model,
        expected=tuple(
            e for e in arm.model.expected if (e.benchmark, e.method) == (arm.benchmark, arm.method)
        ),
        file=arm.file,
        fingerprint=fingerprint("cells", SCHEMA_VERSION, CELLS_VERSION, prints),
    )


def parameters_of(arm: Arm, recipe: EvalRecipe) -> str:
    """Return what two arms must share to be compared, as canonical JSON."""
    sampling = sampling_of(arm, recipe)
    shared: dict[str, object] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "prompt": [sampling.prompt, sampling.system, sampling.template],
    }
    if arm.search is not None and not arm.is_scored:
        shared["search"] = arm.search.model_dump(mode="json")
        prm = recipe.prm
        shared["prm"] = prm.model.id if prm is not None and prm.model is not None else None
    return json.dumps(shared, sort_keys=True, separators=(",", ":"))
