"""A recipe's sources of questions: where they are and which column holds what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from butwait.schemas.recipe_sections import Section


class Columns(Section):
    """Names of a dataset's columns; needed where ``layout`` is ``columns``."""

    problem: str = "problem"
    """Column of the problem."""
    answer: str | None = None
    """Column of the gold answer; null: the last balanced box of the solution."""
    solution: str | None = None
    """Column of the reference solution; its last box is the answer where there is no other."""
    source: str | None = None
    """Column that labels where a row comes from (``olympiads``)."""


class SourceSpec(Section):
    """One set of questions: a dataset on the Hub or a local file."""

    hub: str | None = None
    """Dataset id on the Hub, read by streaming; or an ``hf://`` address as under ``path``."""
    revision: str | None = None
    """Commit, tag or branch of the Hub dataset; pin a commit for a build that can be repeated."""
    config: str | None = None
    """Configuration of the Hub dataset."""
    split: str = "train"
    """Split of the Hub dataset."""
    path: str | None = None
    """Local .parquet, .jsonl, .json file (also .jsonl.gz) or a folder of such shards; or such files
    on the Hub: ``hf://datasets/owner/name@revision/path``, the path a file, folder or pattern."""
    layout: Literal["auto", "numina_cot", "numina_1_5", "limo", "butwait", "columns"] = "auto"
    """Column layout. ``auto`` knows the three Hub datasets by id and other files by columns;
    ``butwait`` is a published configuration of transform ``rl``."""
    columns: Columns | None = None
    answer_after: str | None = None
    """Marker in the answer column; the answer is what follows its last occurrence (``####``)."""
    problem_between: tuple[str, str] | None = None
    """Start and end marker in the problem column; the problem is what stands between them."""
    keep: tuple[str, ...] | None = None
    """Source labels to keep; others are dropped as ``source_not_kept``."""
    name: str | None = None
    """Source label where no column gives one; default: the dataset's name."""
    licence: str | None = None
    """Licence of the dataset; known for the three Hub datasets, else ``unknown`` if not given."""
    r1_derived: bool | None = None
    """Whether solutions derive from DeepSeek-R1; known to be true for LIMO."""
    limit: int | None = Field(default=None, ge=1)
    """Read at most this many rows."""

    @model_validator(mode="after")
    def _one_place(self) -> SourceSpec:
        if (self.hub is None) == (self.path is None):
            raise ValueError("give exactly one of 'hub' and 'path'")
        if self.layout == "columns" and self.columns is None:
            raise ValueError("layout 'columns' needs 'columns: {problem: ..., answer: ...}'")
        return self
