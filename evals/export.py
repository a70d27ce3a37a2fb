"""Cells of an evaluation as the per-sample logs of other evaluation tools, one JSON object a line.

``lm-eval`` has the keys of lm-evaluation-harness's ``samples_<task>_<time>.jsonl`` (0.4.13),
``lighteval`` the three columns of lighteval's details (0.13.0), ``plain`` one line a cell. Counts
are those of the evaluation: every problem of the benchmark has its line in every arm of the
manifest, and every line all n samples; a sample that is missing or has failed is an empty text that
counts as wrong. Left out: the prompt's text, which cells do not hold (the problem stands in its
place, and the prompt's own hash), tokens and log-probabilities; and writing the lines to files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from butwait.evals.cells import read_manifest
from butwait.evals.metrics import majority_at_k
from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_cell import EvalCell
from butwait.schemas.eval_run import ArmRecord
from butwait.schemas.question import Question
from butwait.schemas.record import SCHEMA_VERSION

Style = Literal["lm-eval", "lighteval", "plain"]
STYLES: tuple[Style, ...] = ("lm-eval", "lighteval", "plain")
MISSING = "missing"
"""Failure of a cell that does not exist."""
_BATCH = 256  # cells held at once


@dataclass(frozen=True)
class Problem:
    """A problem with its n samples in one arm."""

    number: int
    """0-based position in the benchmark."""
    question: Question
    cells: tuple[EvalCell | None, ...]
    """Length n; None where there is no cell."""

    @property
    def texts(self) -> list[str]:
        """The samples, "" for what is missing or failed."""
        return [cell.text if cell is not None else "" for cell in self.cells]

    @property
    def right(self) -> list[bool]:
        """Whether each sample is right."""
        return [cell is not None and cell.verdict == "correct" for cell in self.cells]

    @property
    def failures(self) -> list[str | None]:
        """Why there is no sample, where there is none."""
        return [cell.failure if cell is not None else MISSING for cell in self.cells]


@dataclass(frozen=True)
class Log:
    """The lines of one arm, and how the tool would name their file."""

    path: Path
    """``<arm>/samples_<benchmark>_<time>.jsonl``; ``details_`` for lighteval."""
    lines: Iterator[str]


def read_logs(run: Path, style: str) -> Iterator[Log]:
    """Yield the logs of an evaluation run, arm by arm; a problem's cells are held at a time.

    Args:
        run: Evaluation run.
        style: Whose keys; one of ``STYLES``.

    Raises:
        ConfigError: No evaluation, cells that do not belong together, or an unknown style.
    """
    if style not in STYLES:
        raise ConfigError(f"style {style!r} is none of {', '.join(STYLES)}")
    manifest = read_manifest(run)
    began = datetime.fromisoformat(manifest.begun).astimezone(UTC)
    stem = "details" if style == "lighteval" else "samples"
    files = {benchmark.name: run / benchmark.file for benchmark in manifest.benchmarks}
    for arm in manifest.arms:
        name = f"{stem}_{arm.benchmark}_{began.strftime('%Y-%m-%dT%H-%M-%S.%f')}.jsonl"
        lines = _lines(run / arm.file, arm, files[arm.benchmark], style)
        yield Log(Path(name_arm(arm)) / name, lines)


def name_arm(arm: ArmRecord) -> str:
    """Name an arm as its file is named: ``<model>--<prompt>--<method>``."""
    return Path(arm.file).stem


def _lines(file: Path, arm: ArmRecord, benchmark: Path, style: str) -> Iterator[str]:
    for problem in _read_problems(file, arm, benchmark):
        if style == "plain":
            yield from map(_dump, plain_lines(arm, problem))
        else:
            make = lm_eval_line if style == "lm-eval" else lighteval_line
            yield _dump(make(arm, problem))


def _read_problems(file: Path, arm: ArmRecord, benchmark: Path) -> Iterator[Problem]:
    """Put cells to their problems; both are stored in the benchmark's order."""
    groups = groupby(_read(file, EvalCell), key=lambda cell: cell.problem_id)
    held = next(groups, None)
    for number, question in enumerate(_read(benchmark, Question)):
        cells: list[EvalCell | None] = [None] * arm.n_samples
        if held is not None and held[0] == question.id:
            for cell in held[1]:
                if cell.sample_index >= arm.n_samples or cells[cell.sample_index] is not None:
                    raise ConfigError(
                        f"{file}: problem {question.id} has a second cell of number "
                        f"{cell.sample_index}, or more than {arm.n_samples}"
                    )
                cells[cell.sample_index] = cell
            held = next(groups, None)
        yield Problem(number, question, tuple(cells))
    if held is not None:
        raise ConfigError(
            f"{file}: problem {held[0]} is not in benchmark {arm.benchmark}, or not in its place"
        )


def _read(path: Path, record: type[Any]) -> Iterator[Any]:
    """Yield a file's records; nothing where it does not exist, as an arm's file may not."""
    if not path.is_file():
        if record is EvalCell:
            return
        raise ConfigError(f"{path} does not exist: the evaluation is not whole; run it again")
    with pq.ParquetFile(path) as stored:
        for batch in stored.iter_batches(batch_size=_BATCH):
            yield from (record.model_validate(row, strict=False) for row in batch.to_pylist())


def lm_eval_line(arm: ArmRecord, problem: Problem) -> dict[str, Any]:
    """Return the line that lm-evaluation-harness would write for one document.

    ``exact_match`` is the share of right samples among all n (of one sample: 0 or 1).
    """
    question, metrics = problem.question, _strict_scores(arm, problem)
    document = {"id": question.id, "problem": question.problem, "answer": question.gold}
    parameters = json.loads(arm.parameters)
    return {
        "doc_id": problem.number,
        "doc": document,
        "target": question.gold,
        "arguments": {"gen_args_0": {"arg_0": question.problem, "arg_1": parameters}},
        "resps": [problem.texts],
        "filtered_resps": [[(c.extracted if c else None) or "" for c in problem.cells]],
        "filter": name_arm(arm),
        "metrics": list(metrics),
        "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
        "prompt_hash": _prompt_hash(problem),
        "target_hash": _hash(question.gold),
        **metrics,
        "butwait": _own_columns(arm, problem),
    }


def lighteval_line(arm: ArmRecord, problem: Problem) -> dict[str, Any]:
    """Return the row that lighteval's details would have for one document."""
    question, parameters = problem.question, json.loads(arm.parameters)
    strict = _strict_scores(arm, problem)
    mean, n = strict["exact_match"], arm.n_samples
    metrics = {f"avg@n:n={n}": mean, f"pass@k:k=1&n={n}": mean}
    if n == 1:
        metrics["extractive_match"] = mean
    else:
        metrics |= {f"pass@k:k={n}&n={n}": strict[f"pass@{n}"], f"maj@n:n={n}": strict[f"maj@{n}"]}
    document = {
        "query": question.problem,
        "choices": [question.gold],
        "gold_index": 0,
        "instruction": None,
        "images": None,
        "specific": _own_columns(arm, problem),
        "unconditioned_query": None,
        "original_query": question.problem,
        "id": str(problem.number),
        "task_name": f"{arm.benchmark}|0",
        "fewshot_samples": [],
        "sampling_methods": ["GENERATIVE"],
        "fewshot_sorting_class": None,
        "generation_size": parameters.get("max_tokens"),
        "stop_sequences": list(parameters.get("stop") or []),
        "use_logits": False,
        "num_samples": n,
        "generation_grammar": None,
    }
    return {"doc": document, "metric": metrics, "model_response": _response(problem)}


def _response(problem: Problem) -> dict[str, Any]:
    return {
        "input": problem.question.problem,
        "input_tokens": [],
        "text": problem.texts,
        "output_tokens": [],
        "text_post_processed": None,
        "reasonings": [None] * len(problem.cells),
        "logprobs": [],
        "argmax_logits_eq_gold": [],
        "logits": None,
        "unconditioned_logprobs": None,
        "truncated_tokens_count": 0,  # of the prompt; a cut sample is in doc.specific.verdicts
        "padded_tokens_count": 0,
    }


def plain_lines(arm: ArmRecord, problem: Problem) -> list[dict[str, Any]]:
    """Return one line for each of a problem's n cells, with the problem and its gold answer."""
    question = problem.question
    asked = {"problem": question.problem, "gold": question.gold}
    missing = dict.fromkeys(EvalCell.model_fields) | {
        "schema_version": SCHEMA_VERSION,
        "benchmark": arm.benchmark,
        "problem_id": question.id,
        "model": arm.model,
        "prompt": arm.prompt,
        "method": arm.method,
        "text": "",
        "failure": MISSING,
    }
    return [
        asked | (missing | {"sample_index": i} if cell is None else cell.model_dump(mode="json"))
        for i, cell in enumerate(problem.cells)
    ]


def _strict_scores(arm: ArmRecord, problem: Problem) -> dict[str, float]:
    """Score a problem over all n samples: what is missing, failed or cut is wrong."""
    scores = {"exact_match": sum(problem.right) / arm.n_samples}
    if arm.n_samples > 1:
        scores[f"pass@{arm.n_samples}"] = float(any(problem.right))
        scores[f"maj@{arm.n_samples}"] = _majority(problem)
    return scores


def _majority(problem: Problem) -> float:
    """Return the chance that the most frequent answer is right; ties are drawn evenly."""
    cells = problem.cells
    right = {cell.answer_class for cell in cells if cell is not None and cell.verdict == "correct"}
    # Right answers that the verifier holds to be unequal stay apart; any of them may win.
    answers = [cell.answer_class if cell is not None else None for cell in cells]
    return float(sum(majority_at_k(answers, a, len(answers)) for a in right if a is not None))


def _own_columns(arm: ArmRecord, problem: Problem) -> dict[str, Any]:
    """What neither tool has a place for: which arm it is, and what became of each sample."""
    return {
        "benchmark": arm.benchmark,
        "arm": name_arm(arm),
        "model": arm.model,
        "model_id": arm.model_id,
        "prompt": arm.prompt,
        "prompt_hash": _prompt_hash(problem),
        "method": arm.method,
        "problem_id": problem.question.id,
        "verdicts": [cell.verdict if cell is not None else None for cell in problem.cells],
        "finish_reasons": [
            cell.finish_reason if cell is not None else "" for cell in problem.cells
        ],
        "failures": problem.failures,
    }


def _prompt_hash(problem: Problem) -> str:
    """Return the hash of the prompt that was sent; "" where no cell knows."""
    return next((cell.prompt_hash for cell in problem.cells if cell is not None), "")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _dump(line: dict[str, Any]) -> str:
    # ASCII alone: a reader that splits lines at U+2028 sees no line end inside a text.
    return json.dumps(line, allow_nan=False)
