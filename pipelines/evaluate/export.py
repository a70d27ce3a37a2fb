"""Cells of an evaluation as the per-sample logs of other evaluation tools, one JSON object a line.

``lm-eval`` has the keys of lm-evaluation-harness's ``samples_<task>_<time>.jsonl`` (0.4.13),
``lighteval`` the three columns of lighteval's details (0.13.0), ``plain`` one line a cell. Counts
are those of the evaluation: every problem of the benchmark has its line in every arm, and every
line all n samples; a sample that is missing or has failed is an empty text that counts as wrong.
Left out: the prompt's text, which cells do not hold (the problem stands in its place, and the
prompt's own hash), tokens and log-probabilities.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from butwait.pipelines.recipe_file import check_recipe, read_document
from butwait.pipelines.tables import read_records, write_lines
from butwait.schemas.errors import ConfigError
from butwait.schemas.eval_cell import PLAIN, EvalCell
from butwait.schemas.question import Question
from butwait.schemas.recipe_eval import EvalRecipe

Style = Literal["lm-eval", "lighteval", "plain"]
STYLES: tuple[Style, ...] = ("lm-eval", "lighteval", "plain")
MISSING = "missing"
"""Failure of a cell that does not exist."""


@dataclass(frozen=True)
class Arm:
    """One model with one prompt and one method on one benchmark."""

    benchmark: str
    name: str
    """``<model>--<prompt>--<method>``, as its file is named."""
    first: EvalCell
    """Any of its cells: model, prompt, method and parameters are those of all."""
    n: int
    """Samples a problem: as the run's recipe says, and not fewer than there are."""


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


def export_cells(run: Path, out: Path, style: Style) -> int:
    """Write the cells of an evaluation run for the tools that read another's logs.

    Args:
        run: Folder with ``cells/<benchmark>/<arm>.parquet`` and ``benchmarks/<benchmark>.parquet``.
        out: A ``.jsonl`` file for all arms together; any other name is a folder, with one file an
            arm and benchmark, ``<arm>/samples_<benchmark>_<time>.jsonl`` (``details_`` for
            lighteval); the time is that of the arm's own file.
        style: Whose keys.

    Returns:
        Lines written.

    Raises:
        ConfigError: No cells, cells that do not belong together, or an unknown style.
    """
    if style not in STYLES:
        raise ConfigError(f"style {style!r} is none of {', '.join(STYLES)}")
    files = sorted((run / "cells").glob("*/*.parquet"))
    if not files:
        raise ConfigError(f"{run} holds no cells: run `butwait eval` on its recipe first")
    if out.suffix == ".jsonl":
        return write_lines(out, (line for file in files for line in _lines(run, file, style)))
    return sum(write_lines(_place(out, file, style), _lines(run, file, style)) for file in files)


def _place(out: Path, file: Path, style: Style) -> Path:
    stem = "details" if style == "lighteval" else "samples"
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
    return out / file.stem / f"{stem}_{file.parent.name}_{written}.jsonl"


def _lines(run: Path, file: Path, style: Style) -> Iterator[str]:
    """Make the lines of one arm; its cells are held in memory together."""
    questions = _read_questions(run, file.parent.name)
    arm, problems = _read_arm(file, questions, _read_recipe(run))
    for problem in problems:
        if style == "plain":
            yield from map(_dump, plain_lines(arm, problem))
        else:
            make = lm_eval_line if style == "lm-eval" else lighteval_line
            yield _dump(make(arm, problem))


def _read_questions(run: Path, benchmark: str) -> list[Question]:
    path = run / "benchmarks" / f"{benchmark}.parquet"
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: {run} is not the folder of an evaluation")
    return list(read_records(path, Question))


def _read_recipe(run: Path) -> EvalRecipe | None:
    path = run / "recipe.yaml"
    return check_recipe(read_document(path), str(path), EvalRecipe) if path.is_file() else None


def _count_planned(recipe: EvalRecipe | None, cell: EvalCell, n_problems: int) -> int:
    """Return the samples that a problem should have; 0 where no recipe says."""
    if recipe is None:
        return 0
    if cell.method != PLAIN:
        return recipe.repeats
    return recipe.samples_of(cell.benchmark, n_problems)


def _read_arm(
    file: Path, questions: Sequence[Question], recipe: EvalRecipe | None
) -> tuple[Arm, list[Problem]]:
    cells: dict[tuple[str, int], EvalCell] = {}
    for cell in read_records(file, EvalCell):
        key = cell.problem_id, cell.sample_index
        if key in cells:
            raise ConfigError(f"{file}: problem {key[0]} has two cells of number {key[1]}")
        cells[key] = cell
    unknown = {problem for problem, _ in cells} - {question.id for question in questions}
    if unknown:
        raise ConfigError(f"{file}: problem {min(unknown)} is not in benchmark {file.parent.name}")
    if not cells:
        raise ConfigError(f"{file} holds no cells")
    first = next(iter(cells.values()))
    planned = _count_planned(recipe, first, len(questions))
    n = max(planned, 1 + max(index for _, index in cells))
    arm = Arm(file.parent.name, file.stem, first, n)
    return arm, [
        Problem(i, question, tuple(cells.get((question.id, j)) for j in range(n)))
        for i, question in enumerate(questions)
    ]


def lm_eval_line(arm: Arm, problem: Problem) -> dict[str, Any]:
    """Return the line that lm-evaluation-harness would write for one document.

    ``exact_match`` is the share of right samples among all n (of one sample: 0 or 1).
    """
    question, metrics = problem.question, _strict_scores(arm, problem)
    document = {"id": question.id, "problem": question.problem, "answer": question.gold}
    parameters = json.loads(arm.first.parameters)
    return {
        "doc_id": problem.number,
        "doc": document,
        "target": question.gold,
        "arguments": {"gen_args_0": {"arg_0": question.problem, "arg_1": parameters}},
        "resps": [problem.texts],
        "filtered_resps": [[(c.extracted if c else None) or "" for c in problem.cells]],
        "filter": arm.name,
        "metrics": list(metrics),
        "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
        "prompt_hash": _prompt_hash(problem),
        "target_hash": _hash(question.gold),
        **metrics,
        "butwait": _own_columns(arm, problem),
    }


def lighteval_line(arm: Arm, problem: Problem) -> dict[str, Any]:
    """Return the row that lighteval's details would have for one document."""
    question, parameters = problem.question, json.loads(arm.first.parameters)
    strict = _strict_scores(arm, problem)
    mean, n = strict["exact_match"], arm.n
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


def plain_lines(arm: Arm, problem: Problem) -> list[dict[str, Any]]:
    """Return one line for each of a problem's n cells, with the problem and its gold answer."""
    question = problem.question
    asked = {"problem": question.problem, "gold": question.gold}
    missing = dict.fromkeys(EvalCell.model_fields) | {
        "schema_version": arm.first.schema_version,
        "benchmark": arm.benchmark,
        "problem_id": question.id,
        "model": arm.first.model,
        "prompt": arm.first.prompt,
        "method": arm.first.method,
        "text": "",
        "failure": MISSING,
    }
    return [
        asked | (missing | {"sample_index": i} if cell is None else cell.model_dump(mode="json"))
        for i, cell in enumerate(problem.cells)
    ]


def _strict_scores(arm: Arm, problem: Problem) -> dict[str, float]:
    """Score a problem over all n samples: what is missing, failed or cut is wrong."""
    scores = {"exact_match": sum(problem.right) / arm.n}
    if arm.n > 1:
        scores[f"pass@{arm.n}"] = float(any(problem.right))
        scores[f"maj@{arm.n}"] = _majority(problem)
    return scores


def _majority(problem: Problem) -> float:
    """Return the chance that the most frequent answer is right; ties are drawn evenly."""
    cells = [cell for cell in problem.cells if cell is not None and cell.answer_class is not None]
    votes = Counter(cell.answer_class for cell in cells)
    most = max(votes.values(), default=0)
    leaders = {answer for answer, count in votes.items() if count == most}
    right = {cell.answer_class for cell in cells if cell.verdict == "correct"}
    return len(leaders & right) / len(leaders) if leaders else 0.0


def _own_columns(arm: Arm, problem: Problem) -> dict[str, Any]:
    """What neither tool has a place for: which arm it is, and what became of each sample."""
    return {
        "benchmark": arm.benchmark,
        "arm": arm.name,
        "model": arm.first.model,
        "model_id": arm.first.model_id,
        "prompt": arm.first.prompt,
        "prompt_hash": _prompt_hash(problem),
        "method": arm.first.method,
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
