"""Which column holds what: the known datasets, files of the same shape, and named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from butwait.pipelines.sources.place import require_column
from butwait.schemas.errors import SourceError
from butwait.schemas.recipe_source import SourceSpec


@dataclass(frozen=True, slots=True)
class Layout:
    """Column paths of one dataset; None where it has no such column."""

    name: str
    problem: str
    answer: str | None = None
    solution: str | None = None
    source: str | None = None
    question_type: str | None = None
    problem_is_valid: str | None = None
    solution_is_valid: str | None = None
    licence: str | None = None
    """Column of the row's own licence."""
    row_r1_derived: str | None = None
    """Column that says whether the row derives from DeepSeek-R1."""
    r1_derived: bool = False
    """Whether solutions of this layout are known to derive from DeepSeek-R1."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All column paths that there are."""
        paths = (self.problem, self.answer, self.solution, self.source, self.question_type)
        flags = (self.problem_is_valid, self.solution_is_valid, self.licence, self.row_r1_derived)
        return tuple(path for path in (*paths, *flags) if path is not None)

    @property
    def top(self) -> tuple[str, ...]:
        """First parts of all column paths."""
        return tuple(path.split(".")[0] for path in self.paths)


LAYOUTS = {
    "numina_cot": Layout("numina_cot", "problem", solution="solution", source="source"),
    "numina_1_5": Layout(
        "numina_1_5",
        "problem",
        answer="answer",
        solution="solution",
        source="source",
        question_type="question_type",
        problem_is_valid="problem_is_valid",
        solution_is_valid="solution_is_valid",
    ),
    # LIMO's solutions were written with DeepSeek-R1 among others; its questions were not.
    "limo": Layout("limo", "question", answer="answer", solution="solution", r1_derived=True),
    "butwait": Layout(
        "butwait",
        "problem",
        answer="answer",
        solution="solution",
        source="provenance.source",
        licence="provenance.licence",
        row_r1_derived="provenance.r1_derived",
    ),
}
KNOWN_DATASETS = {
    "AI-MO/NuminaMath-CoT": ("numina_cot", "apache-2.0"),
    "AI-MO/NuminaMath-1.5": ("numina_1_5", "apache-2.0"),
    "GAIR/LIMO": ("limo", "mit"),
}
"""Layout, and the licence where the card of the pinned revision states none."""


def choose_layout(spec: SourceSpec, columns: Sequence[str], dataset: str) -> Layout:
    """Return the layout of a dataset, with all its columns checked.

    Raises:
        SourceError: A column that is not there, or a shape that needs ``columns:``.
    """
    if spec.columns is not None and spec.layout not in ("auto", "columns"):
        raise SourceError(f"{dataset}: give layout {spec.layout!r} or 'columns', not both")
    layout = _named(spec, dataset) or _shaped(columns, dataset)
    for path in layout.paths:
        require_column(path, columns, dataset, f"layout {layout.name}")
    return layout


def _named(spec: SourceSpec, dataset: str) -> Layout | None:
    if spec.columns is not None:
        named = spec.columns
        return Layout("columns", named.problem, named.answer, named.solution, named.source)
    if spec.layout != "auto":
        return LAYOUTS[spec.layout]
    known = KNOWN_DATASETS.get(dataset)
    return LAYOUTS[known[0]] if known else None


def _shaped(columns: Sequence[str], dataset: str) -> Layout:
    """Recognise a layout by its columns; other files need a problem and something to check."""
    present = set(columns)
    if {"question_id", "provenance"} <= present:
        if set(LAYOUTS["butwait"].top) <= present:
            return LAYOUTS["butwait"]
        raise SourceError(
            f"{dataset} holds a dataset's texts, not its questions: read its configuration of "
            f"transform rl (often `config: rl`); the columns here are {', '.join(columns)}"
        )
    if set(LAYOUTS["numina_1_5"].paths) <= present:
        return LAYOUTS["numina_1_5"]
    if {"problem", "solution", "source"} <= present and "answer" not in present:
        return LAYOUTS["numina_cot"]
    if {"question", "solution", "answer"} <= present <= {"id", "question", "solution", "answer"}:
        return LAYOUTS["limo"]
    problems = [name for name in ("problem", "question") if name in present]
    if len(problems) == 1 and present & {"answer", "solution"}:
        answer, solution, source = (
            name if name in present else None for name in ("answer", "solution", "source")
        )
        return Layout("plain", problems[0], answer, solution, source)
    raise SourceError(
        f"{dataset} has none of the known layouts; name its columns in the recipe, e.g."
        f" columns: {{problem: ..., answer: ...}}; its columns are {', '.join(columns)}"
    )


def look_up(record: Mapping[str, Any], path: str) -> Any:
    """Return the value at a column path (dots go into records), or None."""
    if path in record:
        return record[path]
    value: Any = record
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def top_level(paths: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that hold these paths, once each."""
    names = (path if path in columns else path.split(".")[0] for path in paths)
    return tuple(dict.fromkeys(names))


def cut_between(text: str, markers: tuple[str, str]) -> str | None:
    """Return what stands between the first start marker and the next end marker, or None."""
    _, start, rest = text.partition(markers[0])
    between, end, _ = rest.partition(markers[1])
    return between.strip() if start and end else None


def as_text(value: Any) -> str | None:
    """Return a cell as text: numbers as written, a list's items joined; None for other kinds."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**4000 else None
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        items = [as_text(item) for item in value]
        return ", ".join(item for item in items if item) or None
    return None
