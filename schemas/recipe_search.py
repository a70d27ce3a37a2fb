"""The ``search`` and ``prm`` sections of a recipe: how solutions are searched for, who judges.

Defaults are the published methods' (arXiv 2502.01618 with its code, search-and-learn for DVTS,
arXiv 2510.05825 for the entropic filter); every default that we hold to be unsound has the sound
alternative beside it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from butwait.schemas.recipe_sections import ModelSpec, Section, ServerField, ServerSpec

Aggregation = Literal["model", "prod", "min", "last"]
Select = Literal["argmax", "sample", "vote", "weighted_vote"]
Scheme = Literal["multinomial", "systematic", "stratified", "residual"]


class PrmSpec(Section):
    """Who scores partial solutions."""

    layout: Literal[
        "qwen",
        "rlhflow",
        "math_shepherd",
        "outcome",
        "likelihood",
        "density_ratio",
        "self_certainty",
    ] = "qwen"
    """``qwen``: Qwen2.5-Math-PRM (step token, two classes). ``rlhflow``: a causal model asked for
    ``+`` after each step. ``math_shepherd``: a causal model read at its step tag. ``outcome``: a
    reward model over whole solutions (``/classify``). ``likelihood``: token log-probabilities under
    another, stronger policy. ``density_ratio``: those under a strong policy less those under a weak
    one (Dr. SoW). ``self_certainty``: the policy's own, no model at all."""
    model: ModelSpec | None = None
    """The reward model; none for ``self_certainty``."""
    server: ServerField = ServerSpec()
    """How it is served: a vLLM of its own, or the ``url`` of a running one."""
    weak: ModelSpec | None = None
    """``density_ratio``: the weak policy; ``model`` is the strong one."""
    weak_server: ServerField = ServerSpec()
    """``density_ratio``: how the weak policy is served."""
    aggregation: Aggregation = "model"
    """How a prefix's step rewards become one. ``model``: the whole prefix is scored as one step
    (best in the ablation of arXiv 2502.01618, and what its code runs). ``prod``, ``min``, ``last``:
    of the rewards of its steps. Only ``prod`` factorises over steps."""
    system: str | None = None
    """System line that the reward model was trained with; null: the layout's own."""
    step_tag: str | None = None
    """Step token, where it is not the layout's own (``<extra_0>`` of Qwen, ``ки`` of Shepherd)."""
    good_mark: str = "+"
    """What a causal reward model says of a right step."""
    bad_mark: str = "-"
    """What it says of a wrong one."""
    statistic: Literal["worst", "mean", "sum"] = "worst"
    """``likelihood``: the step's reward is the exponential of its worst token's log-probability, of
    their mean, or of their sum. ``density_ratio``: the ratio of whole texts (``sum``, its default)
    or by the token (``mean``)."""

    @model_validator(mode="before")
    @classmethod
    def _fill_statistic(cls, document: object) -> object:
        if isinstance(document, dict) and document.get("layout") == "density_ratio":
            return {"statistic": "sum", **document}
        return document

    @model_validator(mode="after")
    def _has_model(self) -> PrmSpec:
        if (self.layout == "self_certainty") != (self.model is None):
            what = "takes no" if self.layout == "self_certainty" else "needs a"
            raise ValueError(f"prm layout {self.layout!r} {what} 'model'")
        if (self.layout == "density_ratio") != (self.weak is not None):
            what = "needs" if self.layout == "density_ratio" else "takes no"
            raise ValueError(f"prm layout {self.layout!r} {what} 'weak', the weaker policy")
        if self.weak is not None and (self.statistic == "worst" or self.aggregation != "model"):
            raise ValueError(
                "a density ratio is one of whole texts: statistic 'sum' or 'mean', "
                "aggregation 'model'"
            )
        if self.layout == "outcome" and self.aggregation != "model":
            raise ValueError("an outcome reward model gives one score: aggregation must be 'model'")
        return self


class _Search(Section):
    """What all methods share."""

    budget: int = Field(default=8, ge=1, le=4096)
    """Solutions that are begun for a question: samples, particles or beams, over all iterations.
    Equal budgets are what methods are compared at."""
    max_tokens_total: int | None = Field(default=None, ge=1)
    """Tokens that may be generated for a question, dead branches included; when they are spent,
    what is not finished is cut."""
    separator: str = Field(default="\n\n", min_length=1)
    """Ends a step; a stop string of the policy."""
    max_steps: int = Field(default=40, ge=1, le=1000)
    """Longest solution in steps (40 in the code of arXiv 2502.01618)."""
    max_step_tokens: int = Field(default=1024, ge=1)
    """Longest step; a step without a separator ends there and is continued."""
    end_on_box: bool = True
    """Whether a step with a closed, non-empty box ends the solution (the code of arXiv 2502.01618
    ends at the bare word ``\\boxed``, which a restated instruction holds too)."""
    select: Select = "argmax"
    """How one answer is chosen: the best score (``argmax``), a draw by weight (``sample``), the
    most frequent answer (``vote``) or the one with most weight (``weighted_vote``). Answers are
    merged by the verifier's equivalence."""
    log_probs: bool = True
    """Whether every step keeps the sum of its tokens' log-probabilities. With a tiny model on a CPU
    that costs a third of the server's speed; ``prm: {layout: self_certainty}`` needs them."""
    max_particles_in_flight: int = Field(default=2048, ge=1)
    """Solutions of all questions under way at once; bounds memory, keeps the server full."""


class BestOfN(_Search):
    """``budget`` whole samples, the best one by the reward of the whole."""

    method: Literal["best_of_n"]
    """Chooses this section."""


class WeightedBestOfN(_Search):
    """``budget`` whole samples; the answer whose samples have most reward together."""

    method: Literal["weighted_best_of_n"]
    """Chooses this section."""
    select: Select = "weighted_vote"


class SelfConsistency(_Search):
    """``budget`` whole samples; the most frequent answer. Needs no reward model."""

    method: Literal["self_consistency"]
    """Chooses this section."""
    select: Select = "vote"


class Beam(_Search):
    """``budget`` candidates a step, the best ``width`` of them grow the next."""

    method: Literal["beam"]
    """Chooses this section."""
    width: int = Field(default=4, ge=1)
    """Candidates that survive a step; must divide the budget (4 in its_hub)."""


class Dvts(_Search):
    """Diverse verifier tree search: independent subtrees, each a greedy best-of-``width``."""

    method: Literal["dvts"]
    """Chooses this section."""
    width: int = Field(default=4, ge=1)
    """Candidates a step of each subtree; must divide the budget (4 in search-and-learn)."""


class _Filter(_Search):
    """What the particle filters share."""

    weighting: Literal["full_prefix", "incremental"] = "full_prefix"
    """``full_prefix``: the odds of the whole prefix at every resampling (code of arXiv 2502.01618;
    counts early steps again and again). ``incremental``: the ratio to the odds before, the textbook
    weight, whose target is policy times odds of the whole."""
    finished: Literal["compete", "absorb"] = "compete"
    """``compete``: finished particles are resampled with the rest (the code's setting; early
    finishers take over). ``absorb``: they are frozen with their weight, the rest is filtered."""
    resample: Literal["every_step"] | float = "every_step"
    """``every_step``, or a share x in (0, 1): only when the effective sample size is below x * n
    (the usual 0.5 keeps more different particles); weights are kept in between."""
    scheme: Scheme = "multinomial"
    """Resampling scheme; ``systematic`` has less variance at the same mean."""
    softmax_temperature: float = Field(default=1.0, gt=0.0)
    """Divides log-weights before the softmax; 1 makes chances proportional to odds."""
    anneal: tuple[float, float, int] | None = None
    """Softmax temperature from, to, and over how many steps (linear); null: constant."""

    @field_validator("resample")
    @classmethod
    def _share(cls, value: object) -> object:
        if isinstance(value, float) and not 0.0 < value < 1.0:
            raise ValueError("resample is 'every_step' or a share between 0 and 1")
        return value

    @field_validator("anneal")
    @classmethod
    def _hot(cls, value: tuple[float, float, int] | None) -> tuple[float, float, int] | None:
        if value is not None and not (value[0] > 0.0 and value[1] > 0.0 and value[2] >= 1):
            raise ValueError(f"anneal {value}: temperatures above 0 and at least 1 step")
        return value


class Particle(_Filter):
    """Particle filtering (arXiv 2502.01618)."""

    method: Literal["particle"]
    """Chooses this section."""


class EntropicParticle(_Filter):
    """Particle filtering that flattens early weights (arXiv 2510.05825)."""

    method: Literal["entropic_particle"]
    """Chooses this section."""
    scheme: Scheme = "systematic"
    temper: Literal["ess", "entropy", "base"] = "ess"
    """How the temperature follows the weights while it is early."""
    ess_threshold: float = Field(default=0.5, gt=0.0, le=1.0)
    """Tempered only while the effective sample size is below this share of the particles."""
    early_phase: float = Field(default=0.5, ge=0.0, le=1.0)
    """Tempered only while the step is below this share of ``max_steps``."""


class ParticleGibbs(_Filter):
    """Iterated filters that keep reference particles from one to the next."""

    method: Literal["particle_gibbs"]
    """Chooses this section."""
    iterations: int = Field(default=2, ge=1)
    """Filters run one after the other; must divide the budget."""
    n_references: int = Field(default=1, ge=1)
    """Particles of the last iteration that survive every resampling of the next."""


class Islands(_Filter):
    """Independent filters, with parallel tempering between them where temperatures differ."""

    method: Literal["islands"]
    """Chooses this section."""
    islands: int = Field(default=2, ge=1)
    """Chains; budget must divide by islands times iterations."""
    iterations: int = Field(default=1, ge=1)
    """Gibbs iterations of each chain; after each, neighbours may exchange references."""
    temperatures: tuple[float, ...] | None = None
    """Softmax temperature of each island; null: all the same."""

    @model_validator(mode="after")
    def _one_each(self) -> Islands:
        if self.temperatures is not None and len(self.temperatures) != self.islands:
            raise ValueError(
                f"{len(self.temperatures)} temperatures for {self.islands} islands: give one each"
            )
        if self.temperatures is not None and not all(t > 0.0 for t in self.temperatures):
            raise ValueError(f"temperatures {self.temperatures}: all must be above 0")
        return self


FilterSpec = Particle | EntropicParticle | ParticleGibbs | Islands
WholeSpec = BestOfN | WeightedBestOfN | SelfConsistency
SearchSpec = Annotated[
    WholeSpec | Beam | Dvts | FilterSpec,
    Field(discriminator="method"),
]


def explain_search(search: SearchSpec, prm: PrmSpec | None) -> str | None:
    """Say why a search cannot run as it is written; None where it can."""
    parts = budget_parts(search)
    if search.budget % parts:
        low = search.budget - search.budget % parts
        near = ", ".join(str(n) for n in (low, low + parts) if 0 < n <= 4096)
        return (
            f"search.budget {search.budget} cannot be divided by {parts} as {search.method!r} must "
            f"({'width' if isinstance(search, Beam | Dvts) else 'islands x iterations'}): "
            f"take {near}"
        )
    if isinstance(search, ParticleGibbs) and search.n_references >= search.budget // parts:
        return (
            f"search.n_references {search.n_references} leaves no free particle of "
            f"{search.budget // parts} an iteration"
        )
    if isinstance(search, Islands) and search.iterations > 1 and search.budget // parts < 2:
        return f"search.budget {search.budget} leaves one particle an island: nothing to resample"
    if prm is None and search.method != "self_consistency":
        return (
            f"search.method {search.method!r} needs 'prm'; without a reward model take "
            "prm: {layout: self_certainty} or method self_consistency"
        )
    if prm is not None and prm.layout == "outcome" and not isinstance(search, WholeSpec):
        return f"prm layout 'outcome' judges whole solutions, search.method {search.method!r} parts"
    return None


def budget_parts(search: SearchSpec) -> int:
    """Into how many equal parts a method divides its budget."""
    match search:
        case Beam() | Dvts():
            return search.width
        case ParticleGibbs():
            return search.iterations
        case Islands():
            return search.islands * search.iterations
    return 1
