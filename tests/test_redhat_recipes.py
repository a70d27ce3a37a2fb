"""recipes/redhat: every row of the original tables, its figures, and what makes its model."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from butwait.evals.audit import audit_row
from butwait.pipelines.recipe_file import check_recipe, read_document
from butwait.schemas.recipe import Recipe
from butwait.schemas.recipe_dpo import DpoRecipe
from butwait.schemas.recipe_eval import EvalModel, EvalRecipe, Expected
from butwait.schemas.recipe_grpo import GrpoRecipe
from butwait.schemas.recipe_rows import BacktrackSpec, ButWaitSpec, CorrectOnlySpec, LimoSpec
from butwait.schemas.recipe_search import BestOfN, Particle
from butwait.schemas.recipe_sections import Section
from butwait.schemas.recipe_train import SftRecipe, TrainRecipe

FOLDER = Path(__file__).parents[1] / "recipes" / "redhat"
KINDS: dict[str, type[TrainRecipe]] = {
    "sft": SftRecipe,
    "grpo": GrpoRecipe,
    "evolution": GrpoRecipe,
    "dpo": DpoRecipe,
}
RUN = re.compile(r"\.\./runs/([^/]+)(?:/checkpoints/samples_(\d+)|/final)?$")
FEB = {"rate": 5e-7, "group_size": 64, "batch_size": 128, "temperature": 1.0, "sync_ref_every": 10}


def read(path: Path) -> Section:
    kind: type[Section] = EvalRecipe
    if path.parent.name == "train":
        kind = KINDS[path.stem.partition("-")[0]]
    elif path.parent.name == "data":
        kind = Recipe
    return check_recipe(read_document(path), str(path), kind)


RECIPES = {str(p.relative_to(FOLDER)): read(p) for p in sorted(FOLDER.rglob("*.yaml"))}
EVALS = {name: r for name, r in RECIPES.items() if isinstance(r, EvalRecipe)}
MODELS = [(name, model) for name, recipe in EVALS.items() for model in recipe.models]
FIGURES = [(model, expected) for _, model in MODELS for expected in model.expected]


def grpo(name: str) -> GrpoRecipe:
    recipe = RECIPES[f"train/{name}.yaml"]
    assert isinstance(recipe, GrpoRecipe)
    return recipe


def sft(name: str) -> SftRecipe:
    recipe = RECIPES[f"train/{name}.yaml"]
    assert isinstance(recipe, SftRecipe)
    return recipe


def build(name: str) -> Recipe:
    recipe = RECIPES[f"data/{name}.yaml"]
    assert isinstance(recipe, Recipe)
    return recipe


def original_name(model: EvalModel) -> str:
    """The name that the fixture of the original table has for a model."""
    if model.arm == "-":
        return model.id.rpartition("/")[2]
    family = "Llama" if model.name.startswith("llama") else "Phi-4"
    checkpoint = model.checkpoint if model.checkpoint.startswith("ckpt") else ""
    return f"{family} {model.arm} {checkpoint}".strip()


# -- the files ------------------------------------------------------------------------------------


def test_every_arm_is_there_and_has_a_name_of_its_own() -> None:
    twice = [n for n, c in Counter(r.name for r in RECIPES.values()).items() if c > 1]  # type: ignore[attr-defined]
    assert twice == []
    arms = "base-models backtrack backtrack-grpo but-wait but-wait-grpo direct-evolution mini limo"
    more = "limo-particle correct-only subset-380 granite-particle qwen-32b-prm-72b"
    bespoke = [f"bespoke-prompt{g}-{m}" for g in ("", "-grpo") for m in ("llama", "phi")]
    wanted = [*arms.split(), *more.split(), *bespoke, "original-post-llama", "original-post-phi"]
    assert {f"{arm}.yaml" for arm in wanted} <= set(EVALS)


@pytest.mark.parametrize("name", EVALS)
def test_an_arm_is_compared_on_aime24_with_its_base_first(name: str) -> None:
    recipe = EVALS[name]
    assert "aime24" in [b.name for b in recipe.benchmarks] or name == "limo-particle.yaml"
    assert (recipe.preset, recipe.models[0].made_by) == ("blog", ())
    known = {b.name for b in recipe.benchmarks}
    methods = {f"{s.method}-{s.budget}" for s in recipe.searches} | {"sample"}
    for model in recipe.models:
        assert {e.benchmark for e in model.expected} <= known
        assert {e.method for e in model.expected} <= methods


def test_every_step_of_a_model_exists_and_none_is_left_over() -> None:
    used = {step for _, model in MODELS for step in model.made_by}
    assert used == set(RECIPES) - set(EVALS)


def run_of(place: str | None) -> tuple[str | None, str | None]:
    found = RUN.search(place or "")
    return (found[1], found[2]) if found else (None, None)


@pytest.mark.parametrize(
    ("arm", "model"), [(a, m) for a, m in MODELS if m.made_by], ids=lambda value: str(value)[:40]
)
def test_the_steps_of_a_model_are_in_order_and_end_with_it(arm: str, model: EvalModel) -> None:
    made: dict[str, Section] = {}
    for step in model.made_by:
        recipe = RECIPES[step]
        if isinstance(recipe, TrainRecipe):
            source = made.get(run_of(recipe.data.run)[0] or "")
            assert recipe.data.hub or isinstance(source, Recipe), (arm, step)
            assert source is None or recipe.data.config in source.rows.root  # type: ignore[attr-defined]
            start = run_of(recipe.model.id)[0]
            assert start is None or start in made, (arm, step)
        elif isinstance(recipe, Recipe) and recipe.model is not None:
            start = run_of(recipe.model.id)[0]
            assert start is None or start in made, (arm, step)
        made[recipe.name] = recipe  # type: ignore[attr-defined]
    name, samples = run_of(model.id)
    last = RECIPES[model.made_by[-1]]
    assert isinstance(last, TrainRecipe)
    assert name == last.name
    assert samples is None or is_saved(last, int(samples))


def is_saved(recipe: TrainRecipe, n_samples: int) -> bool:
    """Whether a run leaves a checkpoint of that name."""
    steps, rest = divmod(n_samples, recipe.rows_a_step)
    assert recipe.save_every is not None
    assert recipe.max_steps is not None
    return rest == 0 and steps % recipe.save_every == 0 and 0 < steps <= recipe.max_steps


def test_a_checkpoint_is_the_step_that_the_original_counts() -> None:
    counted = [(model, run_of(model.id)[1]) for _, model in MODELS]
    found = [(model, samples) for model, samples in counted if samples is not None]
    assert len(found) == 4 + 3 + 7 + 4 + 2 + 3
    for model, samples in found:
        last = RECIPES[model.made_by[-1]]
        assert isinstance(last, GrpoRecipe)
        assert model.checkpoint == f"ckpt-{int(samples) // last.rows_a_step}"


# -- the figures ----------------------------------------------------------------------------------


def test_every_row_of_the_original_table_stands_in_exactly_one_place(root: Path) -> None:
    with (root / "tests" / "fixtures" / "audit" / "update1.csv").open(encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    first = "Update 1, 6 Feb 2025"
    table = [
        (original_name(model), e)
        for model, e in FIGURES
        if e.source == first and e.benchmark == "aime24" and e.method == "sample"
    ]
    assert Counter(name for name, _ in table) == Counter(list(rows))
    for name, e in table:
        row = rows[name]
        if not row["correct"]:
            assert (e.expected_at_1, e.pass_at_8) == (None, None)
            continue
        assert f"{e.expected_at_1:.2f}" == row["expected_at_1"], name
        assert f"{e.pass_at_8:.2f}" == row["pass_at_n"], name
        assert e.counts == f"{row['correct']}, {row['solved']}", name


def is_figure(expected: Expected) -> bool:
    figures = (expected.expected_at_1, expected.pass_at_8, expected.selected)
    return any(figure is not None for figure in figures)


@pytest.mark.parametrize("expected", [e for _, e in FIGURES if is_figure(e)])
def test_a_figure_is_the_fraction_that_stands_beside_it(expected: Expected) -> None:
    parts = [(int(a), int(b)) for a, b in re.findall(r"(\d+)/(\d+)", expected.counts)]
    solved, n_problems = parts[-1]
    if expected.selected is not None:
        assert abs(expected.selected - 100 * solved / n_problems) < 0.1  # one was cut, not rounded
        return
    places = 2 if "Update" in expected.source else 1
    printed = [
        "" if figure is None else f"{figure:.{places}f}"
        for figure in (expected.expected_at_1, expected.pass_at_8)
    ]
    row = audit_row("row", *printed, n_problems, 8)
    assert row.consistent
    assert f"{solved}/{n_problems}" in [f.pass_at_n for f in row.fractions]
    if len(parts) == 2:
        assert f"{parts[0][0]}/{parts[0][1]}" in [f.expected_at_1 for f in row.fractions]


def test_the_figures_of_the_original_post_and_of_the_searches_are_there() -> None:
    told = Counter(
        (e.benchmark, e.pass_at_8, e.counts) for _, e in FIGURES if e.source.startswith("orig")
    )
    for figure in [
        ("aime24", 20.0, "6/30"), ("math500", 73.6, "368/500"), ("aime24", 23.3, "7/30"),
        ("math500", 80.2, "401/500"), ("aime24", 40.0, "12/30"), ("math500", 88.2, "441/500"),
        ("math500", 90.8, "454/500"), ("math500", 87.8, "439/500"),
    ]:  # fmt: skip
        assert told[figure] == 1
    assert told[("aime24", 33.3, "10/30")] == 3
    chosen = {(e.benchmark, e.selected, e.counts) for _, e in FIGURES if e.selected is not None}
    assert chosen == {
        ("aime24", 16.6, "5/30"),
        ("math500", 78.0, "390/500"),
        ("aime24", 43.33, "13/30"),
    }
    assert [e.counts for _, e in FIGURES if e.pass_at_8 == 10.0] == ["7/240, 3/30", "3/30"]


def test_the_two_rows_over_fewer_problems_say_so() -> None:
    notes = {m.name: m.note for _, m in MODELS}
    assert "26 problems" in notes["phi-but-wait-grpo-150"]
    assert "25 problems" in notes["phi-limo"]
    assert "817" in notes["phi-limo"]


# -- the settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "beta", "save_every", "max_steps"),
    [
        ("grpo-think-v1-llama", 0.04, 15, 150),
        ("grpo-think-v1-phi", 0.04, 15, 105),
        ("grpo-backtrack", 0.01, 15, 465),
        ("grpo-but-wait", 0.01, 15, 360),
        ("evolution-direct", 0.01, 15, 30),
        ("evolution-mini", 0.01, 5, 15),
    ],
)
def test_a_grpo_arm_has_the_methods_settings(
    name: str, beta: float, save_every: int, max_steps: int
) -> None:
    recipe = grpo(name)
    assert (recipe.beta, recipe.save_every, recipe.max_steps) == (beta, save_every, max_steps)
    seen = {key: getattr(recipe, key) for key in FEB if key != "rate"}
    assert seen | {"rate": recipe.optimiser.learning_rate} == FEB
    assert (recipe.rewards.accuracy, recipe.rewards.format, recipe.clip) == (1.0, 0.0, None)
    assert (recipe.evolution is not None) == name.startswith("evolution")


@pytest.mark.parametrize(
    ("name", "n_samples", "max_steps"),
    [("think-v1-llama", 819_150, 6400), ("backtrack", 209_128, 1634), ("but-wait", 121_519, 949)],
)
def test_an_sft_arm_stops_at_the_samples_of_the_original(
    name: str, n_samples: int, max_steps: int
) -> None:
    recipe = sft(f"sft-{name}")
    assert (recipe.optimiser.learning_rate, recipe.batch_size) == (6e-6, 128)
    assert recipe.max_steps == max_steps == round(n_samples / 128)
    label = next(m.checkpoint for _, m in MODELS if m.made_by[-1:] == (f"train/sft-{name}.yaml",))
    assert label == f"samples_{n_samples}"


def test_the_limo_arm_sees_817_rows_about_as_often_as_the_original() -> None:
    recipe = sft("sft-limo")
    assert (recipe.optimiser.learning_rate, recipe.batch_size) == (6e-6, 128)
    steps_an_epoch = -(-817 // 128)
    epochs, rest = divmod(recipe.max_steps or 0, steps_an_epoch)
    assert abs(epochs * 817 + rest * 128 - 11_159) < 128
    rows = build("limo").rows.root["default"]
    assert isinstance(rows, LimoSpec)
    assert (rows.target, rows.format, rows.system) == ("solution", "thinking_answer", "none")
    assert EVALS["limo.yaml"].prompts[0].name == "none"
    assert (sft("sft-limo-llama").epochs, sft("sft-limo-granite").epochs) == (15, 15)


def test_the_data_of_the_arms_are_the_methods() -> None:
    think = build("think-v1")
    assert isinstance(think.search, BestOfN)
    assert isinstance(think.rows.root["default"], CorrectOnlySpec)
    assert (think.search.budget, think.sampling.temperature) == (64, 0.8)
    backtrack = build("backtrack")
    assert isinstance(backtrack.search, Particle)
    assert (backtrack.search.budget, backtrack.sampling.temperature) == (8, 0.8)
    rows = backtrack.rows.root["default"]
    assert isinstance(rows, BacktrackSpec)
    assert rows.dead == "faithful"
    waits = build("but-wait").rows.root["default"]
    assert isinstance(waits, ButWaitSpec)
    assert (waits.phrase, waits.n_waits) == ("But wait,", 1)
    numina = [s for r in (think, backtrack, build("but-wait"), build("samples")) for s in r.sources]
    assert {s.keep for s in numina} == {("olympiads", "amc_aime", "math")}


def test_limo_is_searched_with_512_particles_as_the_authors_code_does() -> None:
    for search, prm in (
        (build("limo-particle").search, build("limo-particle").prm),
        (EVALS["limo-particle.yaml"].searches[0], EVALS["limo-particle.yaml"].prm),
    ):
        assert isinstance(search, Particle)
        assert (search.budget, search.scheme, search.finished) == (512, "multinomial", "compete")
        assert (search.max_steps, search.softmax_temperature) == (40, 1.0)
        assert prm is not None
        assert prm.model is not None
        assert (prm.model.id, prm.aggregation) == ("Qwen/Qwen2.5-Math-PRM-7B", "model")
    assert sft("sft-subset-380-phi").data.limit == 380


# -- the index ------------------------------------------------------------------------------------


def test_the_index_lists_every_arm_with_its_figures_and_its_steps() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = {
        found[1]: line
        for line in text.splitlines()
        if (found := re.search(r"\]\(([\w.-]+\.yaml)\)", line))
    }
    assert set(rows) == set(EVALS)
    for name, recipe in EVALS.items():
        steps = dict.fromkeys(s.removesuffix(".yaml") for m in recipe.models for s in m.made_by)
        cells = [cell.strip() for cell in rows[name].strip("|").split("|")]
        assert cells[4] == (" → ".join(steps) or "nothing")
        for expected in (e for m in recipe.models for e in m.expected):
            assert expected.counts in cells[3]
            for figure in (expected.expected_at_1, expected.pass_at_8, expected.selected):
                assert figure is None or f"{figure:g}" in cells[3]
