"""The ``rows`` section of a recipe: which dataset configurations are made, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    RootModel,
    Tag,
    field_validator,
    model_validator,
)

RendererName = Literal["bespoke", "thinking_answer", "think_boxed", "plain"]

HOLD_ON = "Hold on! I made a mistake. Let me try again."
"""Transition sentence of the "Lessons on Reproducing R1-like Reasoning" post (5 Feb 2025)."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _TextSpec(_Spec):
    """What all supervised configurations share."""

    format: RendererName = "bespoke"
    """Renderer that puts markers around thought and solution."""
    system: Literal["sampling", "bespoke", "qwen", "sal", "none"] = "sampling"
    """System prompt on the rows; ``sampling`` is the one that was sampled with."""


class VerifiedSpec(_TextSpec):
    """The best correct trajectory of each question."""

    transform: Literal["verified"]
    """Chooses this section."""
    pick: Literal["first", "shortest", "longest"] = "first"
    """Which correct sample is best; ``first`` is by sample index."""
    per_question: int = Field(default=1, ge=1, le=4096)
    """Rows a question, distinct texts only."""


class StitchSpec(_TextSpec):
    """Wrong thoughts, a transition after each, then the verified one."""

    transform: Literal["stitch"]
    """Chooses this section."""
    n_wrong: tuple[int, int] = (1, 3)
    """Least and most wrong thoughts a trace; drawn by seed, capped by what there is."""
    transitions: tuple[str, ...] = Field(default=(HOLD_ON,), min_length=1)
    """Sentences to draw from, by seed."""
    per_question: int = Field(default=1, ge=1, le=64)
    """Rows a question, each with other wrong thoughts."""

    @field_validator("n_wrong", mode="before")
    @classmethod
    def _single_number(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _ordered(self) -> StitchSpec:
        if not 1 <= self.n_wrong[0] <= self.n_wrong[1]:
            raise ValueError(f"n_wrong must be 1 <= least <= most, not {list(self.n_wrong)}")
        return self


class ButWaitSpec(_TextSpec):
    """A first thought, "But wait,", and its continuation."""

    transform: Literal["but_wait"]
    """Chooses this section."""
    phrase: str = Field(default="But wait,", min_length=1)
    """Put after a blank line behind the thought that is continued."""
    n_waits: int = Field(default=1, ge=1, le=8)
    """Continuations one after the other."""
    per_question: int = Field(default=1, ge=1, le=64)
    """First thoughts of a question that are continued; wrong and right ones in turn, by seed."""
    keep: tuple[Literal["right_right", "wrong_right"], ...] = ("right_right", "wrong_right")
    """First→final flows that become rows. Those that end wrong are counted and never rows."""
    max_right_right_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Cap on right→right among the rows: else the model mostly learns ritual doubt."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Token limit of a continuation; default: the sampling section's."""


class LimoSpec(_TextSpec):
    """No system prompt, thinking and answer tags, one closed pair each (LIMO arm)."""

    transform: Literal["limo"]
    """Chooses this section."""
    format: RendererName = "thinking_answer"
    system: Literal["sampling", "bespoke", "qwen", "sal", "none"] = "none"
    target: Literal["trajectory", "solution"] = "trajectory"
    """``trajectory``: the verified sample. ``solution``: the source's own solution."""


class RlSpec(_Spec):
    """Questions for reinforcement learning, with their pass rates."""

    transform: Literal["rl"]
    """Chooses this section."""
    system: Literal["sampling", "bespoke", "qwen", "sal", "none"] = "sampling"
    """System prompt on the rows; ``sampling`` is the one that was sampled with."""
    min_pass_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Questions with a lower pass rate are left out."""
    max_pass_rate: float = Field(default=1.0, ge=0.0, le=1.0)
    """Questions with a higher pass rate are left out."""


class BacktrackSpec(_TextSpec):
    """A dead branch of a search, a transition, and the return to the path that came out right."""

    transform: Literal["backtrack"]
    """Chooses this section."""
    dead: Literal["faithful", "prm_margin", "rollout_verified", "wrong_leaf"] = "prm_margin"
    """When a branch counts as a mistake. ``faithful``: it was resampled out (the "Lessons" post; a
    particle that lost is not always wrong). ``prm_margin``: and its reward is at least ``margin``
    below that of the step that took its place. ``rollout_verified``: all finished solutions below
    it (at least ``min_rollouts``) are wrong. ``wrong_leaf``: it ends in a wrong answer. The last
    three never take a branch that a right solution grew from."""
    margin: float = Field(default=0.2, gt=0.0, le=1.0)
    """Least difference of rewards for ``prm_margin``."""
    min_rollouts: int = Field(default=2, ge=1)
    """Fewest finished solutions below a branch for ``rollout_verified``."""
    n_backtracks: tuple[int, int] = (1, 3)
    """Least and most mistakes a trace; drawn by seed, capped by what there is."""
    max_branch_steps: int | None = Field(default=None, ge=1)
    """Longest wrong branch in steps, its first ones kept (``wrong_leaf`` leaves longer ones out,
    which would not show their wrong answer); null: to its end."""
    resume: Literal["divergence", "start"] = "divergence"
    """Where the good path goes on after a mistake: at the fork, or told again from the start."""
    transitions: tuple[str, ...] = Field(default=(HOLD_ON,), min_length=1)
    """Sentences to draw from, by seed."""
    per_question: int = Field(default=2, ge=1, le=64)
    """Rows a question, each with other mistakes or another path."""

    @field_validator("n_backtracks", mode="before")
    @classmethod
    def _single_number(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _ordered(self) -> BacktrackSpec:
        if not 1 <= self.n_backtracks[0] <= self.n_backtracks[1]:
            text = list(self.n_backtracks)
            raise ValueError(f"n_backtracks must be 1 <= least <= most, not {text}")
        return self


class CorrectOnlySpec(_TextSpec):
    """Searched solutions that came out right, without their dead branches."""

    transform: Literal["correct_only"]
    """Chooses this section."""
    pick: Literal["best", "shortest", "longest"] = "best"
    """Which right leaf comes first; ``best`` is by reward."""
    per_question: int = Field(default=1, ge=1, le=4096)
    """Rows a question, distinct texts only."""


class PreferenceSpec(_Spec):
    """Two continuations of one prefix of a search, the better one and the worse."""

    transform: Literal["preference"]
    """Chooses this section."""
    system: Literal["sampling", "bespoke", "qwen", "sal", "none"] = "sampling"
    """System prompt on the rows; ``sampling`` is the one that was sampled with."""
    by: Literal["outcome", "value", "prm"] = "outcome"
    """What makes one better. ``outcome``: it ends right, the other wrong. ``value``: the shares of
    right leaves below their first steps differ by ``margin``. ``prm``: their rewards do, and the
    outcomes do not say the opposite."""
    span: Literal["step", "solution"] = "solution"
    """``step``: only the next step, for trainers that add no end of turn. ``solution``: the
    continuation to a leaf; the chosen one is always right."""
    margin: float = Field(default=0.3, gt=0.0, le=1.0)
    """Least difference, for ``value`` and ``prm``."""
    chosen: Literal["right", "any"] = "right"
    """``right``: a chosen solution is a right one. ``any``: for ``prm`` and ``solution``, the best
    and the worst by reward, whatever the verifier says (Dr. SoW)."""
    min_rollouts: int = Field(default=1, ge=1)
    """Fewest finished solutions below each of the two, for ``value``."""
    per_question: int = Field(default=4, ge=1, le=4096)
    """Rows a question, at most one a prefix."""

    @model_validator(mode="after")
    def _any_is_read(self) -> PreferenceSpec:
        if self.chosen == "any" and (self.by, self.span) != ("prm", "solution"):
            raise ValueError("chosen 'any' belongs to by 'prm' with span 'solution'")
        return self


class StepLabelsSpec(_Spec):
    """Solutions cut into steps with a label each: training rows of a process reward model."""

    transform: Literal["step_labels"]
    """Chooses this section."""
    labels: Literal["hard", "soft"] = "hard"
    """``hard``: a step is right where some leaf below it is right (Math-Shepherd). ``soft``: the
    share of right leaves below it is kept in ``values``; the label is true where that is at least
    ``threshold``."""
    threshold: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of right leaves from which a step counts as right, for ``soft``."""
    min_rollouts: int = Field(default=1, ge=1)
    """Fewest finished solutions below a step; a row ends before a step with fewer."""
    per_question: int = Field(default=8, ge=1, le=4096)
    """Rows a question, distinct texts, right and wrong leaves in turn."""


class OwnSpec(_TextSpec):
    """A transform of your own: a function of a Python file or of an installed package."""

    transform: str = Field(pattern=r"^[^:\s]+:[A-Za-z_]\w*$", max_length=200)
    """``FILE.py:FUNCTION`` (a path, relative to the recipe) or ``MODULE:FUNCTION``."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of the function."""
    per_question: int = Field(default=64, ge=1, le=4096)
    """Rows a question; the function is not asked for more."""
    reads_trees: bool = False
    """Whether ``group.tree`` is filled in where the recipe searches."""


TREE_TRANSFORMS = ("backtrack", "correct_only", "preference", "step_labels")
"""Transforms that read search trees."""
TextRowSpec = (
    VerifiedSpec | StitchSpec | ButWaitSpec | LimoSpec | BacktrackSpec | CorrectOnlySpec | OwnSpec
)


def _transform(value: object) -> object:
    """Choose the class of a section by its transform; a name with a colon is somebody's own."""
    name = value.get("transform") if isinstance(value, dict) else getattr(value, "transform", None)
    return "own" if isinstance(name, str) and ":" in name else name


RowSpec = Annotated[
    Annotated[VerifiedSpec, Tag("verified")]
    | Annotated[StitchSpec, Tag("stitch")]
    | Annotated[ButWaitSpec, Tag("but_wait")]
    | Annotated[LimoSpec, Tag("limo")]
    | Annotated[BacktrackSpec, Tag("backtrack")]
    | Annotated[CorrectOnlySpec, Tag("correct_only")]
    | Annotated[OwnSpec, Tag("own")]
    | Annotated[RlSpec, Tag("rl")]
    | Annotated[PreferenceSpec, Tag("preference")]
    | Annotated[StepLabelsSpec, Tag("step_labels")],
    Discriminator(_transform),
]
ConfigName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,31}$")]


class RowsSpec(RootModel[dict[ConfigName, RowSpec]]):
    """Configurations by name, in the order of the recipe; ``default`` is published first."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _some(self) -> RowsSpec:
        if not self.root:
            raise ValueError("name at least one configuration, e.g. default: {transform: verified}")
        return self

    def of_kind(self, transform: str) -> dict[str, RowSpec]:
        """Configurations that use one transform."""
        return {name: spec for name, spec in self.root.items() if spec.transform == transform}

    def ordered(self) -> list[tuple[str, RowSpec]]:
        """Configurations with ``default`` first."""
        return sorted(self.root.items(), key=lambda item: item[0] != "default")

    @property
    def read_trees(self) -> bool:
        """Whether some configuration reads search trees."""
        return any(
            spec.reads_trees if isinstance(spec, OwnSpec) else spec.transform in TREE_TRANSFORMS
            for spec in self.root.values()
        )
