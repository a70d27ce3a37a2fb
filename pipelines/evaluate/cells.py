"""From a run's trajectories or search trees to the cells of its arm, problem by problem."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from butwait.pipelines.evaluate.arms import Arm
from butwait.pipelines.resolve import Resolved
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.sample_question import sample_request
from butwait.pipelines.stages.trajectories import PASSING_REASONS
from butwait.pipelines.tables import read_columns, read_records
from butwait.schemas.errors import ButwaitError
from butwait.schemas.eval_cell import EvalCell
from butwait.schemas.question import Question
from butwait.schemas.trajectory import Trajectory
from butwait.schemas.tree import SearchTree
from butwait.schemas.verdict import VerdictName
from butwait.transforms.search.select import Answered, count_votes
from butwait.transforms.transitions import find_turns
from butwait.transforms.verify import VERIFIER_VERSION, Limits, verify


@dataclass(frozen=True)
class ArmRun:
    """One run of an arm: what was asked, and where the answers are."""

    arm: Arm
    parameters: str
    resolved: Resolved
    run: RunFolder
    number: int
    """Of its repetitions."""


@dataclass(frozen=True)
class _Found:
    """One sample, wherever it came from."""

    index: int
    text: str
    finish_reason: str
    n_tokens: int
    n_spent: int
    seed: int | None
    engine: str
    verdict: VerdictName
    rule: str
    extracted: str | None
    canonical: str | None
    prm_score: float | None = None
    any_right: bool | None = None
    failure: str | None = None
    """Why there is no sample; None: there is one."""


def make_cells(runs: Sequence[ArmRun], questions: Sequence[Question]) -> Iterator[list[EvalCell]]:
    """Yield each problem's cells, in the benchmark's order.

    A sample that failed for the server's sake has no cell: it is missing, and asked again.

    Args:
        runs: The arm's runs, all of them sampled.
        questions: The benchmark's problems.
    """
    readers = [_Reader(run) for run in runs]
    for question in questions:
        cells = [cell for reader in readers for cell in reader.take(question)]
        yield _with_classes(question, sorted(cells, key=lambda cell: cell.sample_index))
    for reader in readers:
        reader.check_empty()


class _Reader:
    """A run's samples, problem by problem, as its stage wrote them: in the benchmark's order."""

    def __init__(self, run: ArmRun) -> None:
        self._run = run
        self._samples = _by_problem(run)
        self._failures = _failures(run.run)
        self._held = next(self._samples, None)

    def take(self, question: Question) -> Iterator[EvalCell]:
        """Yield the cells of the next problem; none where all its samples are missing."""
        failures = self._failures.get(question.id, {})
        if self._held is not None and self._held[0] == question.id:
            for sample in self._held[1]:
                failures.pop(sample.index, None)
                yield _cell(self._run, question, sample)
            self._held = next(self._samples, None)
        for index, reason in failures.items():
            yield _failure(self._run, question, index, reason)

    def check_empty(self) -> None:
        """Raise if samples are left: they were not in the benchmark's order."""
        if self._held is not None:
            raise ButwaitError(
                f"{self._run.run.root}: samples of {self._held[0]} are not in their place; "
                "remove the folder, the samples are in the cache"
            )


def _by_problem(run: ArmRun) -> Iterator[tuple[str, list[_Found]]]:
    """Yield each problem's samples; one problem's texts are held, and a row group."""
    if run.arm.search is None:
        records = (t for path in run.run.trajectory_parts() for t in read_records(path, Trajectory))
        for key, group in groupby(records, key=lambda t: t.question_id):
            yield key, [_of_trajectory(t) for t in group]
        return
    of = _of_leaves if run.arm.is_scored else _of_search
    for path in run.run.tree_parts():
        for tree in read_records(path, SearchTree):
            yield tree.question_id, list(of(tree, run.number))


def _of_trajectory(t: Trajectory) -> _Found:
    return _Found(
        t.sample_index, t.text, t.finish_reason, t.n_completion_tokens, t.n_completion_tokens,
        t.seed, t.engine, t.verdict, t.rule, t.extracted, t.answer_canonical,
    )  # fmt: skip


def _of_leaves(tree: SearchTree, _number: int) -> Iterator[_Found]:
    """The samples of a best-of-n: its first steps are whole solutions."""
    for index, node in enumerate(n for n in tree.nodes if n.parent is None):
        yield _Found(
            index, node.text, "length" if node.end == "length" else "stop", node.n_tokens,
            node.n_tokens, node.seed, tree.engine, node.verdict or "no_answer", "tree",
            node.extracted, node.answer_canonical, node.score,
            failure=None if node.cut == "empty" else node.cut,
        )  # fmt: skip


def _of_search(tree: SearchTree, number: int) -> Iterator[_Found]:
    """The one answer that a search chose; none is an answer too, and wrong."""
    verdicts = [node.verdict for node in tree.nodes]
    shared: dict[str, Any] = {
        "n_spent": tree.usage.n_tokens,
        "engine": tree.engine,
        "any_right": "correct" in verdicts,
        "seed": None,
    }
    if tree.selected is None:
        yield _Found(number, "", "none", 0, verdict="no_answer", rule="no_selection",
                     extracted=None, canonical=None, **shared)  # fmt: skip
        return
    leaf = tree.nodes[tree.selected]
    path = tree.path(leaf.id)
    yield _Found(
        number, tree.text(leaf.id), "length" if leaf.end == "length" else "stop",
        sum(tree.nodes[i].n_tokens for i in path), verdict=leaf.verdict or "no_answer",
        rule="tree", extracted=leaf.extracted, canonical=leaf.answer_canonical,
        prm_score=leaf.score, **shared,
    )  # fmt: skip


def _failures(run: RunFolder) -> dict[str, dict[int, str]]:
    """Reasons by problem and sample index, of failures that are the request's own."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for path in run.dead_letters.glob("trajectories-part-*.parquet"):
        for row in read_columns(path, ["question_id", "item", "reason"]):
            index = row["item"].rpartition("-")[2]
            if row["reason"] not in PASSING_REASONS and index.isdigit():
                found[row["question_id"]][int(index)] = row["reason"]
    return found


def _cell(run: ArmRun, question: Question, sample: _Found) -> EvalCell:
    if sample.failure is not None:
        return _failure(run, question, sample.index, sample.failure)
    turns = find_turns(sample.text)
    first = _first_verdict(run, question, sample.text[: turns[0].start]) if turns else None
    return EvalCell(
        **_shared(run, question),
        sample_index=sample.index,
        engine=sample.engine,
        seed=sample.seed,
        text=sample.text,
        finish_reason=sample.finish_reason,
        n_tokens=sample.n_tokens,
        n_spent=sample.n_spent,
        extracted=sample.extracted,
        answer_canonical=sample.canonical,
        answer_class=None,
        verdict=sample.verdict,
        rule=sample.rule,
        prm_score=sample.prm_score,
        any_right=sample.any_right,
        n_transitions=len(turns),
        n_backtracks=sum(turn.is_backtrack for turn in turns),
        first_verdict=first,
        failure=None,
    )


def _failure(run: ArmRun, question: Question, index: int, reason: str) -> EvalCell:
    return EvalCell(
        **_shared(run, question),
        sample_index=index,
        engine=run.resolved.identity.engine,
        seed=None, text="", finish_reason="none", n_tokens=0, n_spent=0, extracted=None,
        answer_canonical=None, answer_class=None, verdict=None, rule="", prm_score=None,
        any_right=None, n_transitions=0, n_backtracks=0, first_verdict=None, failure=reason,
    )  # fmt: skip


def _shared(run: ArmRun, question: Question) -> dict[str, Any]:
    arm, identity = run.arm, run.resolved.identity
    return {
        "benchmark": arm.benchmark,
        "problem_id": question.id,
        "model": arm.model.name,
        "model_id": identity.id,
        "model_revision": identity.revision,
        "prompt": arm.prompt.name,
        "method": arm.method,
        "parameters": run.parameters,
        "prompt_hash": _hash_prompt(run, question),
        "verifier_version": VERIFIER_VERSION,
    }


def _hash_prompt(run: ArmRun, question: Question) -> str:
    request = sample_request(question, run.resolved.ask, 1)
    said = [m.model_dump() for m in request.messages] if request.messages else request.prompt
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _first_verdict(run: ArmRun, question: Question, before: str) -> VerdictName | None:
    """What the text had come to before it turned round; None where to nothing."""
    limits = Limits(worker_s=run.resolved.ask.deadline_s)
    found = verify(question.gold, before, problem=question.problem, limits=limits)
    return None if found.extracted is None else found.verdict


def _with_classes(question: Question, cells: list[EvalCell]) -> list[EvalCell]:
    """Number the classes of equal answers by their first sample."""
    votes = count_votes(
        [Answered(i, c.extracted, c.answer_canonical, 0.0, None) for i, c in enumerate(cells)],
        question.problem,
    )
    first = sorted(votes, key=lambda vote: vote.leaves[0])
    classes = {leaf: number for number, vote in enumerate(first) for leaf in vote.leaves}
    return [c.model_copy(update={"answer_class": classes.get(i)}) for i, c in enumerate(cells)]
