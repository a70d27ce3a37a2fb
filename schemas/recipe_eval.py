"""The recipe of an evaluation: models x benchmarks x prompts x methods, sampled and then scored.

Every combination is an *arm*: K problems with n samples each, all of which must exist. Relative
local paths are relative to the recipe's own folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from butwait.schemas.benchmark import BenchmarkField
from butwait.schemas.recipe import VerifySpec
from butwait.schemas.recipe_search import PrmSpec, SearchSpec, explain_search
from butwait.schemas.recipe_sections import ModelSpec, Section, ServerField, ServerSpec
from butwait.schemas.recipe_source import SourceSpec
from butwait.schemas.recipe_train import RecipeName

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
PromptName = Literal["bespoke", "qwen", "sal", "none"]


class PromptSpec(Section):
    """How a problem is asked."""

    name: Label
    """Names it in tables; one prompt is only ever compared with itself."""
    preset: PromptName | None = None
    """System prompt by name; default: the ``name``, where it is a preset's."""
    system: str | None = None
    """System prompt of your own instead."""
    template: str | None = None
    """Raw completion prompt with ``{problem}`` (and ``{system}``) instead of the chat template."""

    @model_validator(mode="after")
    def _known(self) -> PromptSpec:
        if self.preset is not None and self.system is not None:
            raise ValueError("give 'preset' or 'system' (your own text), not both")
        own = self.system is not None or self.template is not None or self.preset is not None
        if not own and self.name not in ("bespoke", "qwen", "sal", "none"):
            raise ValueError(
                f"prompt {self.name!r} is no preset (bespoke, qwen, sal, none): give 'preset', "
                "'system' or 'template'"
            )
        return self


def _read_short_prompt(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


PromptField = Annotated[PromptSpec, BeforeValidator(_read_short_prompt)]


class EvalSampling(Section):
    """How problems are sampled; what is left out comes from the recipe's ``preset``."""

    n: int | dict[str, int] | None = None
    """Samples a problem, or a number for each benchmark by name; 0: none, searches only."""
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    """0 takes the likeliest token, and one sample is enough."""
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    """Nucleus of the distribution that is sampled."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Upper bound of generated tokens a sample; the model's context bounds it too."""
    stop: tuple[str, ...] = Field(default=(), max_length=4)
    """Stop strings."""


class Expected(Section):
    """What somebody printed for a model: shown beside what is measured, never mixed with it."""

    benchmark: str
    """Name of the benchmark."""
    expected_at_1: float | None = Field(default=None, ge=0, le=100)
    """Per cent as printed."""
    pass_at_8: float | None = Field(default=None, ge=0, le=100)
    """Per cent as printed."""
    selected: float | None = Field(default=None, ge=0, le=100)
    """Per cent of problems whose chosen answer was right (searches, greedy answers)."""
    method: Label = "sample"
    """Which of the recipe's methods it was."""
    counts: str = ""
    """What the figures can be as fractions (``46/240, 13/30``)."""
    source: str = ""
    """Where it was printed."""


class EvalModel(ModelSpec):
    """One model, checkpoint or endpoint."""

    name: Label
    """Names it in tables and files."""
    arm: str = "-"
    """What it was trained on; checkpoints of one arm share it, and a best among them is marked."""
    checkpoint: str = "-"
    """Which of the arm's checkpoints it is."""
    note: str = ""
    """Shown in the table."""
    server: ServerField | None = None
    """How it is served, where that differs from the recipe's ``server``."""
    prompts: tuple[PromptField, ...] | None = None
    """Prompts of this model instead of the recipe's."""
    trained_on: tuple[SourceSpec, ...] = ()
    """Questions it was trained on: problems found among them are marked, and every score is printed
    without them too."""
    made_by: tuple[str, ...] = ()
    """Recipes that make it, in order (``train/sft.yaml``); ``--dry-run`` checks and lists them."""
    expected: tuple[Expected, ...] = ()
    """Figures that were published for it."""


PRESETS = MappingProxyType(
    {
        # Eight samples as in the original table; its temperature and length are not known.
        "blog": {"n": 8, "temperature": 0.8, "top_p": 1.0, "max_tokens": 16_384},
        "decision": {"n": 64, "temperature": 0.6, "top_p": 0.95, "max_tokens": 32_768},
        "greedy": {"n": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 16_384},
    }
)
LARGE = 100
"""Problems from which on ``decision`` takes 4 samples instead of 64: MATH-500, not AIME."""
N_DECISION_LARGE = 4


class EvalRecipe(Section):
    """Models x benchmarks x prompts x methods."""

    name: RecipeName
    """Names the run folder ``runs/<name>``: letters, digits, '.', '_' and '-'."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Every sample's seed derives from it."""
    models: tuple[EvalModel, ...] = Field(min_length=1)
    """The first is the base that others are compared with."""
    benchmarks: tuple[BenchmarkField, ...] = Field(min_length=1)
    prompts: tuple[PromptField, ...] = (PromptSpec(name="qwen"),)
    """Every model is asked with each of them."""
    preset: Literal["blog", "decision", "greedy"] = "blog"
    """Sampling that the recipe leaves out. ``blog``: n 8, temperature 0.8. ``decision``: n 64 (4
    from 100 problems on), temperature 0.6, top_p 0.95. ``greedy``: n 1, temperature 0."""
    sampling: EvalSampling = EvalSampling()
    searches: tuple[SearchSpec, ...] = ()
    """Search methods, each with its budget, beside the samples."""
    repeats: int = Field(default=1, ge=1, le=1024)
    """Searches of each problem, with other seeds."""
    prm: PrmSpec | None = None
    """Who scores the searches' partial solutions."""
    score_samples: bool = False
    """Have ``prm`` score the samples too, for best@k."""
    server: ServerField = ServerSpec()
    """How models are served."""
    verify: VerifySpec = VerifySpec()
    block_size: int = Field(default=32, ge=1, le=100000)
    """Problems that are held in memory together."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> EvalRecipe:
        _refuse_twice("models", (model.name for model in self.models))
        _refuse_twice("benchmarks", (benchmark.name for benchmark in self.benchmarks))
        for prompts in (self.prompts, *(m.prompts or () for m in self.models)):
            _refuse_twice("prompts", (prompt.name for prompt in prompts))
        _refuse_twice("searches", (f"{s.method} {s.budget}" for s in self.searches))
        by_name: dict[str, PromptSpec] = {}
        for prompt in (p for m in self.models for p in self.prompts_of(m)):
            if by_name.setdefault(prompt.name, prompt) != prompt:
                raise ValueError(f"prompt {prompt.name!r} means two things: give them two names")
        return self

    @model_validator(mode="after")
    def _can_run(self) -> EvalRecipe:
        known = {benchmark.name for benchmark in self.benchmarks}
        if isinstance(self.sampling.n, dict) and (unknown := set(self.sampling.n) - known):
            raise ValueError(f"sampling.n names no benchmark of the recipe: {min(unknown)!r}")
        numbers = self.sampling.n.values() if isinstance(self.sampling.n, dict) else ()
        if any(not 0 <= n <= 4096 for n in (*numbers, self.sampling.n)
               if isinstance(n, int)):  # fmt: skip
            raise ValueError(f"sampling.n {self.sampling.n} must lie in [0, 4096]")
        if self.sampling.n == 0 and not self.searches:
            raise ValueError("sampling.n is 0 and there are no 'searches': nothing to do")
        if self.score_samples and self.prm is None:
            raise ValueError("'score_samples' needs 'prm'")
        for search in self.searches:
            explain = explain_search(search, self.prm)
            if explain:
                raise ValueError(explain)
        return self

    def prompts_of(self, model: EvalModel) -> tuple[PromptSpec, ...]:
        """Return the prompts that a model is asked with."""
        return model.prompts if model.prompts is not None else self.prompts

    def samples_of(self, benchmark: str, n_problems: int) -> int:
        """Return n, the samples a problem of a benchmark with this many problems."""
        n = self.sampling.n
        if isinstance(n, dict):
            n = n.get(benchmark)
        if n is not None:
            return n
        is_large = self.preset == "decision" and n_problems >= LARGE
        return N_DECISION_LARGE if is_large else int(PRESETS[self.preset]["n"])


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what}: {twice[0]!r} is given twice")
