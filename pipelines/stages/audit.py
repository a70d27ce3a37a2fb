"""The ledger, counted from the files that the stages left, shard by shard.

Nothing here believes a worker's counter: what is not in a file does not count, and a total that
does not add up is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from butwait.pipelines.engines import key_of, n_replayed
from butwait.pipelines.failures import reported
from butwait.pipelines.places import AnyPath, files_in
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.audit_search import SEARCH_ITEM, count_searches
from butwait.pipelines.stages.audit_waits import count_due
from butwait.pipelines.stages.beam_run import run_pipeline
from butwait.pipelines.tables import read_columns, write_text
from butwait.schemas.ledger import Account, Ledger
from butwait.schemas.recipe_rows import ButWaitSpec
from butwait.schemas.record import Record

USED = "used"
REFUSED = "rows_refused"


class ShardAudit(Record):
    """Counts of one shard; sums over shards give the ledger."""

    questions: dict[str, int]
    """Final fate of the questions that stage 1 kept."""
    requested: int
    """Fresh samples that the recipe asks for."""
    samples: dict[str, int]
    due: int
    """Continuations that the samples call for."""
    continuations: dict[str, int]
    searches: dict[str, int]
    leaves: dict[str, int]
    made: dict[str, int]
    """By configuration: rows made, as the transforms counted them."""
    rows: dict[str, dict[str, int]]
    flows: dict[str, dict[str, int]]
    considered: dict[str, dict[str, int]]


@dataclass(frozen=True)
class AuditPlan:
    """What the workers of the audit need to know."""

    run: RunFolder
    configs: tuple[str, ...]
    n_samples: int | None
    """Samples a question; None: as many as are recorded."""
    has_search: bool = False
    but_wait: ButWaitSpec | None = None
    """What is continued, where something is."""
    run_seed: int = 0


class AuditShard(beam.DoFn):  # type: ignore[misc]
    """shard → its audit, written as JSON."""

    def __init__(self, plan: AuditPlan) -> None:
        self._plan = plan

    def process(self, shard: int) -> Iterator[int]:
        """Audit one shard."""
        path = self._plan.run.parts("card") / f"audit-{shard:05d}.json"
        with reported(self._plan.run.status):
            write_text(path, audit_shard(self._plan, shard).model_dump_json())
        yield shard


def audit_shard(plan: AuditPlan, shard: int) -> ShardAudit:
    """Count one shard; memory is the shard's ids."""
    run, configs = plan.run, plan.configs
    questions = [row["id"] for row in read_columns(run.question_shards()[shard], ["id"])]
    samples, continuations, failed = _count_samples(run, shard)
    written = {
        name: [row["question_id"] for row in _rows(run.row_shards(name)[shard : shard + 1])]
        for name in configs
    }
    refused = _refused_rows(run, shard)
    searches, leaves, unsearched = count_searches(run, shard)
    made, considered, skipped = _considered(run, shard)
    used = {question for ids in written.values() for question in ids}
    failed = {**unsearched, **failed}
    fates = Counter(_fate(question, used, failed, skipped, configs) for question in questions)
    return ShardAudit(
        questions=dict(fates),
        requested=_requested(plan, shard, questions),
        samples=dict(samples),
        due=0 if plan.but_wait is None else count_due(run, shard, plan.but_wait, plan.run_seed),
        continuations=dict(continuations),
        searches=dict(searches),
        leaves=dict(leaves),
        made=dict(made),
        rows={n: {"written": len(ids), **refused.get(n, {})} for n, ids in written.items()},
        flows=_flows(run, shard),
        considered={name: dict(bins) for name, bins in considered.items()},
    )


def make_ledger(plan: AuditPlan, runner: str, options: Sequence[str]) -> Ledger:
    """Audit every shard and add up.

    Raises:
        LedgerError: A total does not add up.
    """
    run = plan.run
    shards = list(range(len(run.question_shards())))

    def build(pipeline: Any) -> None:
        _ = (
            pipeline
            | "Shards" >> beam.Create(shards, reshuffle=False)
            | "Audit" >> beam.ParDo(AuditShard(plan))
        )

    run_pipeline(build, run.status, runner, options)
    audits = [
        ShardAudit.model_validate_json(path.read_text(encoding="utf-8"))
        for path in files_in(run.parts("card"), "audit-*.json")
    ]
    ledger = _add_up(plan, audits)
    ledger.check()
    return ledger


def _add_up(plan: AuditPlan, audits: Sequence[ShardAudit]) -> Ledger:
    record = plan.run.record("questions")
    assert record is not None, "stage 1 is whole before the ledger is made"
    fates = _sum(a.questions for a in audits)
    letters = plan.run.dead_letters.glob("questions-*.parquet")
    fates.update(row["reason"] for path in letters for row in read_columns(path, ["reason"]))
    made = _sum(a.made for a in audits)
    continuations = _sum(a.continuations for a in audits)
    rows = {name: _sum(a.rows.get(name, {}) for a in audits) for name in plan.configs}
    considered = {name: _sum(a.considered.get(name, {}) for a in audits) for name in plan.configs}
    kept = record.counts["kept"]
    return Ledger(
        questions=_account(record.counts["read"], fates),
        samples=_account(sum(a.requested for a in audits), _sum(a.samples for a in audits)),
        continuations=_account(sum(a.due for a in audits), continuations),
        searches=_account(kept, _sum(a.searches for a in audits)) if plan.has_search else None,
        leaves=_leaves(audits) if plan.has_search else None,
        rows={name: _account(made[name], bins) for name, bins in rows.items()},
        flows={
            name: _ordered(bins)
            for name in plan.configs
            if (bins := _sum(a.flows.get(name, {}) for a in audits))
        },
        considered={name: _account(kept, bins) for name, bins in considered.items()},
        notes=record.notes,
    )


def _leaves(audits: Sequence[ShardAudit]) -> Account:
    """All nodes without children; how many there are, only the trees know."""
    bins = _sum(a.leaves for a in audits)
    return _account(sum(bins.values()), bins)


def _requested(plan: AuditPlan, shard: int, questions: Sequence[str]) -> int:
    """Samples that the recipe asks for, without looking at what was sampled."""
    recordings = plan.run.stage("recordings") / f"recordings-{shard:05d}.parquet"
    if not recordings.is_file():
        assert plan.n_samples is not None, "a recipe with a model states n"
        return plan.n_samples * len(questions)
    recorded = Counter(row["problem_key"] for row in read_columns(recordings, ["problem_key"]))
    return sum(n_replayed(recorded[key_of(id_)], plan.n_samples) for id_ in questions)


def _count_samples(run: RunFolder, shard: int) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    """Verdict bins of fresh samples and continuations, and why questions failed."""
    bins: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    failed: dict[str, str] = {}
    parts = files_in(run.stage("trajectories"), f"part-{shard:05d}-*.parquet")
    for row in _rows(parts, ["parent_id", "verdict"]):
        bins[row["parent_id"] is None][row["verdict"]] += 1
    letters = files_in(run.dead_letters, f"trajectories-part-{shard:05d}-*.parquet")
    for row in _rows(letters, ["item", "question_id", "reason"]):
        if row["item"].endswith(SEARCH_ITEM):
            continue
        fresh = row["item"].split("-")[1] == "sample"
        bins[fresh][f"failed: {row['reason']}"] += 1
        if fresh:
            failed[row["question_id"]] = row["reason"]
    return bins[True], bins[False], failed


def _refused_rows(run: RunFolder, shard: int) -> dict[str, Counter[str]]:
    """Reasons of refused rows, by configuration (the last part of a row's id)."""
    refused: dict[str, Counter[str]] = {}
    paths = [
        *run.dead_letters.glob(f"rows-part-{shard:05d}-*.parquet"),
        *run.dead_letters.glob(f"rows-cap-*-{shard:05d}.parquet"),
    ]
    for row in _rows(sorted(paths), ["item", "reason"]):
        config = row["item"].rsplit("-", 1)[1]
        refused.setdefault(config, Counter())[row["reason"]] += 1
    return refused


def _considered(
    run: RunFolder, shard: int
) -> tuple[Counter[str], dict[str, Counter[str]], dict[str, dict[str, str]]]:
    """Rows made by configuration; bins by configuration; question → configuration → reason."""
    made: Counter[str] = Counter()
    bins: dict[str, Counter[str]] = {}
    reasons: dict[str, dict[str, str]] = {}
    paths = files_in(run.considered, f"rows-part-{shard:05d}-*.parquet")
    for row in _rows(paths, ["question_id", "config", "n_rows", "reason"]):
        made[row["config"]] += row["n_rows"]
        bins.setdefault(row["config"], Counter())[row["reason"] or "made_rows"] += 1
        if row["reason"] is not None:
            reasons.setdefault(row["question_id"], {})[row["config"]] = row["reason"]
    return made, bins, reasons


def _flows(run: RunFolder, shard: int) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    paths = files_in(run.considered, f"rows-part-{shard:05d}-*.parquet")
    for row in _rows(paths, ["config", "flows"]):
        found.setdefault(row["config"], Counter()).update(row["flows"])
    return {name: dict(bins) for name, bins in found.items()}


def _fate(
    question: str,
    used: set[str],
    failed: dict[str, str],
    skipped: dict[str, dict[str, str]],
    configs: Sequence[str],
) -> str:
    """The one bin in which a question ends."""
    if question in used:
        return USED
    if question in failed:
        return f"failed: {failed[question]}"
    reasons = skipped.get(question, {})
    # The first configuration speaks for the question: it is the one most users load.
    return next((reasons[name] for name in configs if name in reasons), REFUSED)


def _rows(
    paths: Iterable[AnyPath], columns: Sequence[str] = ("question_id",)
) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from read_columns(path, columns)


def _sum(parts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def _account(total: int, bins: Counter[str]) -> Account:
    return Account(total=total, bins=_ordered(bins))


def _ordered(bins: Counter[str]) -> dict[str, int]:
    """Largest first, then by name."""
    return dict(sorted(bins.items(), key=lambda item: (-item[1], item[0])))
