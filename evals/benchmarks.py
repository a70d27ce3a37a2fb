"""Sizes of known benchmarks: how many problems K a score is over."""

from __future__ import annotations

from types import MappingProxyType

from butwait.schemas.errors import ConfigError

N_PROBLEMS = MappingProxyType(
    {
        "aime24": 30,  # AIME I and II of 2024, 15 problems each
        "aime25": 30,  # AIME I and II of 2025, 15 problems each
        "amc23": 40,  # AMC 12 A and B of 2023 as Qwen2.5-Math vendors them; not checked
        "gsm8k": 1319,  # openai/grade-school-math, test
        "math500": 500,  # HuggingFaceH4/MATH-500, test
        # English text problems in mathematics with a final answer, as QwenLM/Qwen2.5-Math vendors
        # them (evaluation/data/olympiadbench/test.jsonl); another copy has 674.
        "olympiadbench": 675,
    }
)


def count_problems(benchmark: str) -> int:
    """Return K of a benchmark that is known by name.

    Args:
        benchmark: Short name, e.g. ``aime24``.

    Raises:
        ConfigError: Not a known name.

    >>> count_problems("aime24")
    30
    """
    if benchmark not in N_PROBLEMS:
        raise ConfigError(
            f"benchmark {benchmark!r} is not known: give --problems, or one of "
            f"{', '.join(N_PROBLEMS)}"
        )
    return N_PROBLEMS[benchmark]
