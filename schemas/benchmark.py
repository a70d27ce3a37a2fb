"""Benchmarks: a fixed set of problems with answers, known by name or described in a recipe.

The sizes are the denominators of every score: a source with another number of problems is refused.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from butwait.schemas.errors import ConfigError
from butwait.schemas.recipe_source import Columns, SourceSpec

PACKAGED = "package:"
"""Start of a path inside this package."""


class BenchmarkSpec(SourceSpec):
    """One benchmark: where its problems are, and how many there must be."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Names it in tables and files: letters, digits, '_', '-'. A known name (``aime24``) fills in
    all that is left out, so that ``{name: aime24, path: my-copy.jsonl}`` is enough for a copy."""
    n_problems: int | None = Field(default=None, ge=1)
    """Problems that there must be; null: as many as there are."""
    only: dict[str, bool | int | str] = Field(default_factory=dict)
    """Keep rows whose columns have these values; what is left are the benchmark's problems."""


def _known(name: str, n_problems: int | None, **source: Any) -> BenchmarkSpec:
    if "columns" in source:
        source["columns"] = Columns(**source["columns"])
    return BenchmarkSpec(name=name, n_problems=n_problems, **source)


def _pocket(split: str, n_problems: int) -> BenchmarkSpec:
    path = f"{PACKAGED}pocket/data/{split}.jsonl"
    return _known(f"pocket-{split}", n_problems, path=path, layout="numina_cot")


BENCHMARKS = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            # I and II, 15 problems each.
            _known("aime24", 30, hub="HuggingFaceH4/aime_2024",
                   columns={"problem": "problem", "answer": "answer"}),
            _known("aime25", 30, hub="math-ai/aime25", split="test",
                   columns={"problem": "problem", "answer": "answer"}),
            # AMC 12 A and B, the problems whose answer is a number.
            _known("amc23", 40, hub="math-ai/amc23", split="test",
                   columns={"problem": "question", "answer": "answer"}),
            _known("gsm8k", 1319, hub="openai/gsm8k", config="main", split="test",
                   columns={"problem": "question", "answer": "answer"}, answer_after="####"),
            _known("math500", 500, hub="HuggingFaceH4/MATH-500", split="test",
                   columns={"problem": "problem", "answer": "answer"}),
            # Text problems in English with a number, or several, as the answer: 572 of the 675 that
            # Qwen2.5-Math vendors. The Hub's copy has 674 rows; how many are numeric is not known
            # here, so that its number is recorded and not checked.
            _known("olympiadbench", None, hub="Hothan/OlympiadBench", config="OE_TO_maths_en_COMP",
                   columns={"problem": "question", "answer": "final_answer"},
                   only={"answer_type": "Numerical"}),
            _pocket("train", 400), _pocket("validation", 100), _pocket("test", 300),
        )
    }
)  # fmt: skip
"""The benchmarks that are known by name. Sizes of aime25 and amc23 are the editions' own numbers of
problems as their cards state them."""
N_NUMERIC_OLYMPIAD = 572
"""Numeric problems of OlympiadBench as QwenLM/Qwen2.5-Math vendors it (675 rows)."""


def find_benchmark(name: str) -> BenchmarkSpec:
    """Return a benchmark that is known by name.

    Raises:
        ConfigError: There is no such name.

    >>> find_benchmark("aime24").n_problems
    30
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"benchmark {name!r} is not known: one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def count_problems(name: str) -> int:
    """Return K of a benchmark that is known by name.

    Raises:
        ConfigError: There is no such name.
    """
    return find_benchmark(name).n_problems or N_NUMERIC_OLYMPIAD


def fill_benchmark(value: object) -> object:
    """Expand ``aime24`` to its section, and fill what a section of a known name leaves out."""
    if isinstance(value, str):
        try:
            return find_benchmark(value).model_dump(mode="python", exclude_unset=True)
        except ConfigError as error:
            raise ValueError(str(error)) from error
    if isinstance(value, dict) and value.get("name") in BENCHMARKS:
        known = BENCHMARKS[value["name"]].model_dump(mode="python", exclude_unset=True)
        if "path" in value or "hub" in value:
            for key in ("hub", "revision", "config", "split", "path"):
                known.pop(key, None)
        return known | value
    return value


BenchmarkField = Annotated[BenchmarkSpec, BeforeValidator(fill_benchmark)]
