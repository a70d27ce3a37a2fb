"""The labelled checks of the benchmark: each set with where it comes from.

Sets of ``../shared/data`` are left out by name when that folder is not there. Nothing of them is
written anywhere but under ``build/``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
CASES = ROOT / "tests" / "verifier_cases"
SEED = 20_260_101
# Rows of these are about size, not about forms; they are measured apart.
HUGE = frozenset({"huge", "ex_long"})
LONG = 2_000

Row = dict[str, Any]

# Labels that are wrong: looked at one by one, all of them "wrong" for what is equal by the rules.
# The recorded scores compare strings. Reason -> ids; the benchmark counts with these as "right".
RELABELLED: dict[str, dict[str, tuple[str, ...]]] = {
    "model traces": {
        "a time of day, the hour inside or outside `\\text{}`": tuple(f"3-{k}" for k in range(8)),
        "a thousands mark": ("72-7",),
    },
    "long traces": {
        "spaces, or the size of a bracket or fraction": (
            "792", "2817", "3456", "3679", "3758", "3763", "4415", "4467", "6794",
        ),
        "a degree sign, a unit or a currency that only one side has": (
            "1338", "5207", "5637", "6254", "7179",
        ),
        "thousands marks": ("1907", "5417", "5608"),
        "`name = value` against the value": ("584", "767"),
        "a union of intervals against inequalities joined by \"or\"": ("4646",),
    },
}  # fmt: skip


def read(path: Path) -> list[Row]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def check(
    name: str, gold: str, prediction: str, kind: str, expected: bool, category: str = ""
) -> Row:
    """One check as the measuring process reads it."""
    return {
        "id": name,
        "gold": gold,
        "prediction": prediction,
        "kind": kind,
        "expected": expected,
        "category": category,
    }


def labelled(paths: list[Path]) -> list[Row]:
    """Rows of labelled pairs and traces (fields of ``butwait verify`` and ``category``)."""
    return [
        check(
            row["id"],
            row["gold"],
            row["prediction"],
            "trace" if row["kind"] == "extraction" else "answer",
            row["expected"],
            row["category"],
        )
        for path in paths
        for row in read(path)
    ]


def math_answers() -> list[Row]:
    """Every MATH-500 answer against itself and against another problem's answer."""
    answers = [row["answer"] for row in read(SHARED / "math500" / "math500_even.jsonl")]
    draw = random.Random(SEED)
    out = [check(f"same-{k}", gold, gold, "answer", True) for k, gold in enumerate(answers)]
    for k, gold in enumerate(answers):
        other = draw.choice([x for x in answers if bare(x) != bare(gold)])
        out.append(check(f"other-{k}", gold, other, "answer", False))
    return out


def math_traces() -> list[Row]:
    """Every MATH-500 reference solution against its answer and against another one."""
    table = read(SHARED / "math500" / "math500_even.jsonl")
    draw = random.Random(SEED)
    out = []
    for k, row in enumerate(table):
        others = [x["answer"] for x in table if bare(x["answer"]) != bare(row["answer"])]
        out.append(check(f"right-{k}", row["answer"], row["solution"], "trace", True))
        out.append(check(f"wrong-{k}", draw.choice(others), row["solution"], "trace", False))
    return out


def bare(answer: str) -> str:
    """An answer without what could make two spellings of one value look different here."""
    for old, new in (
        ("\\dfrac", "\\frac"),
        (" ", ""),
        ("\\!", ""),
        ("\\left", ""),
        ("\\right", ""),
    ):
        answer = answer.replace(old, new)
    return answer


def model_traces() -> list[Row]:
    """Eight sampled solutions each of 96 MATH problems, with their recorded scores."""
    out = []
    for row in read(SHARED / "traj_qwen25_math" / "math_cot_100x8.jsonl"):
        for k, text in enumerate(row["response"]):
            out.append(check(f"{row['idx']}-{k}", row["answer"], text, "trace", row["score"][k]))
    return out


def r1_traces() -> list[Row]:
    """Long traces with a thought, scored upstream by string equality."""
    return [
        check(row["problem_id"], row["gt_answer"], row["solution"], "trace", row["is_correct"])
        for row in read(SHARED / "traj_r1_distill_math" / "cots_math.jsonl")
    ]


def gsm8k_traces() -> list[Row]:
    """Four samples each of 1,319 questions, scored upstream by string equality after "A:"."""
    out = []
    names = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    for k, row in enumerate(read(SHARED / "traj_gsm8k_openai" / "example_model_solutions.jsonl")):
        gold = row["ground_truth"].rpartition("A:")[2].strip()
        for name in names:
            found = row[name]
            out.append(check(f"{k}-{name}", gold, found["solution"], "trace", found["is_correct"]))
    return out


def sets() -> Iterator[tuple[str, str, list[Row] | None]]:
    """Name, source and rows of each set; None where its data is absent."""
    for name, source, load in SETS:
        try:
            yield name, source, relabel(name, load())
        except FileNotFoundError:
            yield name, source, None


def relabel(name: str, rows: list[Row]) -> list[Row]:
    """The rows with the set's corrected labels.

    Raises:
        ValueError: A correction names no row that is labelled "wrong".
    """
    ids = {one for group in RELABELLED.get(name, {}).values() for one in group}
    out = []
    for row in rows:
        mend = row["id"] in ids and not row["expected"]
        ids -= {row["id"]} if mend else set()
        out.append({**row, "expected": True} if mend else row)
    if ids:
        raise ValueError(f"corrected labels of {name} that are not there: {sorted(ids)}")
    return out


def hard() -> list[Row]:
    """The labelled pairs and traces without huge numbers and very long texts."""
    paths = sorted(CASES.glob("*.jsonl"))
    if (SHARED / "verifier_dev.jsonl").exists():
        paths.append(SHARED / "verifier_dev.jsonl")
    rows = labelled(paths)
    return [
        row
        for row in rows
        if row["category"] not in HUGE and len(row["gold"]) + len(row["prediction"]) < LONG
    ]


SETS: list[tuple[str, str, Callable[[], list[Row]]]] = [
    ("dev", "128 labelled rows, `verifier_dev.jsonl`",
     lambda: labelled([SHARED / "verifier_dev.jsonl"])),
    ("own cases", "every case in `tests/verifier_cases`",
     lambda: labelled(sorted(CASES.glob("*.jsonl")))),
    ("hard", "both of these without huge numbers and texts over 2,000 characters", hard),
    ("MATH-500 answers", "250 answers, each against itself and another", math_answers),
    ("MATH-500 traces", "250 reference solutions, each against two answers", math_traces),
    ("model traces", "768 sampled MATH solutions, `traj_qwen25_math`", model_traces),
    ("long traces", "153 solutions with thoughts, `traj_r1_distill_math`", r1_traces),
    ("GSM8K traces", "5,276 samples, `traj_gsm8k_openai`", gsm8k_traces),
]  # fmt: skip
