"""A small world for evaluations: sums as a benchmark, models on a fake server, cells by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from butwait.pipelines.evaluate.run import EvalOptions, run_evaluation
from butwait.pipelines.recipe_file import check_recipe
from butwait.pipelines.stages.beam_run import DEFAULT_RUNNER
from butwait.pipelines.tables import write_records, write_text
from butwait.schemas.eval_cell import EvalCell
from butwait.schemas.eval_run import ArmRecord, BenchmarkRecord, EvalManifest
from butwait.schemas.question import Question
from butwait.schemas.recipe_eval import EvalRecipe
from butwait.transforms.problem_text import question_id

COLUMNS = {"problem": "problem", "answer": "answer"}


def eval_document(url: str, **changes: Any) -> dict[str, Any]:
    """An evaluation of one fake model on ``sums.jsonl``."""
    return {
        "name": "exam",
        "models": [{"name": "base", "id": "fake/model"}],
        "benchmarks": [{"name": "sums", "path": "sums.jsonl", "columns": COLUMNS}],
        "sampling": {"n": 4, "max_tokens": 200},
        "server": {"mode": "attach", "url": url, "served_name": "fake/model", "n_retries": 0},
        "block_size": 4,
        **changes,
    }


def evaluate(
    folder: Path, document: dict[str, Any], say: Callable[[str], None] = lambda line: None
) -> Path:
    """Run an evaluation in a test's folder; return its run folder."""
    options = EvalOptions(
        base=folder,
        out=folder / "runs",
        cache=folder / "cache.sqlite",
        runner=DEFAULT_RUNNER,
        beam_options=(),
        api_key=None,
        say=say,
    )
    return run_evaluation(check_recipe(document, "recipe", EvalRecipe), options)


def make_arm(
    verdicts: Sequence[Sequence[str | None]],
    *,
    model: str = "base",
    benchmark: str = "sums",
    prompt: str = "qwen",
    method: str = "sample",
    is_base: bool | None = None,
    parameters: Mapping[str, Any] | None = None,
    **more: Any,
) -> tuple[ArmRecord, list[EvalCell]]:
    """An arm with these verdicts, K lists of n; None for a missing cell, ``!x`` for a failure."""
    record = ArmRecord(
        benchmark=benchmark,
        n_problems=len(verdicts),
        n_samples=len(verdicts[0]),
        model=model,
        model_id=f"fake/{model}",
        model_revision=None,
        arm=more.pop("arm", "-"),
        checkpoint=more.pop("checkpoint", "-"),
        note="",
        prompt=prompt,
        method=method,
        parameters=json.dumps(parameters or {"temperature": 0.8}),
        is_base=model == "base" if is_base is None else is_base,
        file=f"cells/{benchmark}/{model}--{prompt}--{method}.parquet",
        fingerprint="f",
    )
    cells = [
        make_cell(record, k, j, verdict, **more)
        for k, row in enumerate(verdicts)
        for j, verdict in enumerate(row)
        if verdict is not None
    ]
    return record, cells


def make_cell(record: ArmRecord, k: int, j: int, verdict: str, **more: Any) -> EvalCell:
    """One cell of problem k."""
    failure = verdict.removeprefix("!") if verdict.startswith("!") else None
    fields: dict[str, Any] = {
        "benchmark": record.benchmark,
        "problem_id": problem_ids(record.n_problems)[k],
        "sample_index": j,
        "model": record.model,
        "model_id": record.model_id,
        "model_revision": None,
        "engine": "fake",
        "prompt": record.prompt,
        "method": record.method,
        "parameters": record.parameters,
        "prompt_hash": "0" * 16,
        "seed": j,
        "text": "" if failure else "\\boxed{1}",
        "finish_reason": "stop",
        "n_tokens": 0 if failure else 5,
        "n_spent": 0 if failure else 5,
        "extracted": None,
        "answer_canonical": None,
        "answer_class": {"correct": 0, "incorrect": 1}.get(verdict),
        "verdict": None if failure else verdict,
        "rule": "",
        "verifier_version": "3",
        "prm_score": None,
        "any_right": None,
        "n_transitions": 0,
        "n_backtracks": 0,
        "first_verdict": None,
        "failure": failure,
    }
    return EvalCell(**{**fields, **more})


def problem_ids(n: int) -> list[str]:
    """Ids of n handmade problems."""
    return [question_id(f"What is {i}?", "sums") for i in range(n)]


def write_run(
    folder: Path,
    arms: Sequence[tuple[ArmRecord, list[EvalCell]]],
    touched: Mapping[str, str] | None = None,
) -> Path:
    """Write an evaluation run of handmade arms."""
    sizes = {record.benchmark: record.n_problems for record, _ in arms}
    for name, k in sizes.items():
        write_records(folder / f"benchmarks/{name}.parquet", _questions(k), Question)
    for record, cells in arms:
        write_records(folder / record.file, cells, EvalCell)
    manifest = EvalManifest(
        name=folder.name,
        butwait_version="0",
        git_commit=None,
        begun="2026-01-01T00:00:00+00:00",
        seed=0,
        verifier_version="3",
        benchmarks=tuple(
            BenchmarkRecord(
                name=name,
                dataset="sums.jsonl",
                revision="sha256:0",
                n_problems=k,
                file=f"benchmarks/{name}.parquet",
                touched=dict(touched or {}),
            )
            for name, k in sizes.items()
        ),
        arms=tuple(record for record, _ in arms),
    )
    write_text(folder / "manifest.json", manifest.model_dump_json())
    return folder


def spread(n_correct: Sequence[int], n: int) -> list[list[str]]:
    """Verdicts with so many correct ones by problem, in an order drawn by seed."""
    rng = np.random.default_rng(0)
    rows = []
    for count in n_correct:
        row = ["correct"] * count + ["incorrect"] * (n - count)
        rows.append([row[i] for i in rng.permutation(n)])
    return rows


def _questions(n: int) -> list[Question]:
    return [
        Question(
            id=problem,
            problem=f"What is {i}?",
            gold=str(i),
            gold_canonical=str(i),
            gold_from="column",
            solution=None,
            source="sums",
            dataset="sums.jsonl",
            revision=None,
            licence="unknown",
            row=i,
            r1_derived=False,
        )
        for i, problem in enumerate(problem_ids(n))
    ]
