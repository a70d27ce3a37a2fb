"""The recipe of a dataset build: one closed model, every field with unit and reason.

A YAML file is checked against this before any work; ``butwait.pipelines.recipe_file`` reads it and
turns mistakes into one line with the nearest known name. Relative local paths are relative to the
recipe's own folder.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from butwait.schemas.recipe_decontaminate import DecontaminateField, DecontaminateSpec
from butwait.schemas.recipe_rows import TREE_TRANSFORMS, ButWaitSpec, RowsSpec
from butwait.schemas.recipe_search import PrmSpec, SearchSpec, explain_search
from butwait.schemas.recipe_sections import ModelSpec, Section, ServerField, ServerSpec
from butwait.schemas.recipe_source import SourceSpec


class SamplingSpec(Section):
    """How solutions are sampled."""

    n: int = Field(default=8, ge=0, le=4096)
    """Independent samples a question; 0 where only a ``search`` is wanted."""
    temperature: float = Field(default=0.8, ge=0.0, le=2.0)
    """0.8 is the fixed value of arXiv 2502.01618; vLLM takes at most 2."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus of the distribution that is sampled; 1 is all of it."""
    max_tokens: int = Field(default=2048, ge=1)
    """Upper bound of generated tokens a sample."""
    fit_context: bool = False
    """Shorten ``max_tokens`` to what the prompt leaves of the model's context, instead of refusing
    the question as ``context_overflow``; what is then cut is ``truncated`` all the same."""
    stop: tuple[str, ...] = Field(default=(), max_length=4)
    """Stop strings; OpenAI-compatible servers take at most four."""
    prompt: Literal["bespoke", "qwen", "sal", "none"] | None = None
    """System-prompt preset; default ``qwen`` (``none`` for recordings)."""
    system: str | None = None
    """System prompt of your own instead of a preset."""
    template: str | None = None
    """Raw completion prompt with ``{problem}`` (and ``{system}``) instead of the chat template."""

    @model_validator(mode="after")
    def _one_prompt(self) -> SamplingSpec:
        if self.prompt is not None and self.system is not None:
            raise ValueError("give 'prompt' (a preset) or 'system' (your own text), not both")
        if self.template is not None and "{problem}" not in self.template:
            raise ValueError("'template' must contain {problem}")
        return self


class ReplayColumns(Section):
    """Columns of recorded trajectories.

    A path may go into a record with dots (``6b_finetuning.solution``).
    """

    problem: str = "problem"
    """Column of the problem."""
    texts: str | tuple[str, ...] = "generations"
    """A column with one text or a list of texts, or several such columns."""
    labels: str | tuple[str, ...] | None = None
    """Recorded verdicts, parallel to ``texts``: booleans, or numbers of which > 0.5 is right."""
    n_tokens: str | tuple[str, ...] | None = None
    """Recorded completion tokens, parallel to ``texts``."""
    finish_reasons: str | tuple[str, ...] | None = None
    """Recorded finish reasons, parallel to ``texts``."""


class ReplaySpec(Section):
    """Recorded trajectories instead of a model: rebuild, re-verify and re-transform without GPU.

    Rows of one problem add up, in file order; problems are matched by normalised text.
    """

    hub: str | None = None
    """Dataset id on the Hub, read by streaming."""
    revision: str | None = None
    """Commit, tag or branch of the Hub dataset."""
    config: str | None = None
    """Configuration of the Hub dataset."""
    split: str = "train"
    """Split of the Hub dataset."""
    path: str | None = None
    """Local .parquet, .jsonl or .json file, or a folder of such shards."""
    columns: ReplayColumns = ReplayColumns()
    problem_between: tuple[str, str] | None = None
    """Start and end marker in the problem column, as in a source."""
    text_from: str | None = None
    """Keep a text from the first occurrence of this marker on (what stands before is prompt)."""
    text_prefix: str = ""
    """Put before every text (what the prompt had already opened, e.g. ``<think>``)."""
    text_drop: tuple[str, ...] = ()
    """Strings removed from every text (end-of-text tokens)."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Token limit of the recording: texts with this many tokens or more were cut by it."""
    n: int | None = Field(default=None, ge=1)
    """Most samples of a question to use; default: all that are recorded."""
    model: str = "recorded"
    """Name of the model that wrote the trajectories, for provenance."""
    model_revision: str | None = None
    """Its commit, where known."""
    r1_derived: bool = False
    """Whether the recorded model derives from DeepSeek-R1; goes on every row."""

    @model_validator(mode="after")
    def _one_place(self) -> ReplaySpec:
        if (self.hub is None) == (self.path is None):
            raise ValueError("give exactly one of 'hub' and 'path'")
        return self


class VerifySpec(Section):
    """Limits of the verifier."""

    deadline_s: float = Field(default=1.0, gt=0.0, le=60.0)
    """Longest time for one comparison; more is the verdict ``timeout``."""


class Recipe(Section):
    """A dataset build from questions to published rows."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Names the run folder ``runs/<name>``: letters, digits, '.', '_' and '-'."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Every random choice and every sample's seed derives from it."""
    sources: tuple[SourceSpec, ...] = Field(min_length=1)
    decontaminate: DecontaminateField = DecontaminateSpec()
    model: ModelSpec | None = None
    server: ServerField = ServerSpec()
    replay: ReplaySpec | None = None
    sampling: SamplingSpec = SamplingSpec()
    search: SearchSpec | None = None
    """A search beside the independent samples; its trees feed the rows that grow from trees."""
    prm: PrmSpec | None = None
    """Who scores the search's partial solutions."""
    verify: VerifySpec = VerifySpec()
    rows: RowsSpec
    max_characters: int = Field(default=65536, ge=64)
    """Longest completion of a row; longer ones are refused as ``too_long``, never cut."""
    shards: int = Field(default=4, ge=1, le=10000)
    """Output shards a stage; about one for 50,000 questions."""
    block_size: int = Field(default=128, ge=1, le=100000)
    """Questions a Beam element; its samples are held in memory together."""
    limit: int | None = Field(default=None, ge=1)
    """Read at most this many rows of each source (also ``--limit``)."""

    @model_validator(mode="after")
    def _one_sampler(self) -> Recipe:
        if (self.model is None) == (self.replay is None):
            raise ValueError("give exactly one of 'model' (to sample) and 'replay' (recordings)")
        if self.replay is not None and self.rows.of_kind("but_wait"):
            raise ValueError("rows of 'but_wait' need a 'model': a recording cannot be continued")
        waits = [
            (spec.phrase, spec.n_waits, spec.per_question, spec.max_tokens)
            for spec in self.rows.root.values()
            if isinstance(spec, ButWaitSpec)
        ]
        if len(set(waits)) > 1:
            raise ValueError(
                "all 'but_wait' configurations of a recipe share their continuations: "
                "phrase, n_waits, per_question and max_tokens must be the same"
            )
        if self.server.mode == "attach" and not self.server.url:
            raise ValueError("server mode 'attach' needs 'url'")
        return self

    @model_validator(mode="after")
    def _search_can_run(self) -> Recipe:
        from_trees = [name for kind in TREE_TRANSFORMS for name in self.rows.of_kind(kind)]
        if self.search is None:
            if from_trees:
                raise ValueError(f"rows.{from_trees[0]} grow from trees: give 'search'")
            if self.sampling.n < 1:
                raise ValueError("sampling.n is 0 and there is no 'search': nothing to do")
            return self
        if self.model is None:
            raise ValueError("'search' needs a 'model': a recording cannot be searched")
        if self.sampling.stop:
            raise ValueError("'search' stops at its separator: leave sampling.stop out")
        if self.sampling.n < 1:
            kinds = ("verified", "stitch", "but_wait", "limo", "rl")
            unfed = [name for kind in kinds for name in self.rows.of_kind(kind)]
            if unfed:
                raise ValueError(f"rows.{unfed[0]} are made of samples, and sampling.n is 0")
        explain = explain_search(self.search, self.prm)
        if explain:
            raise ValueError(explain)
        return self
