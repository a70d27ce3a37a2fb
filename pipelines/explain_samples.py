"""The samples behind a row, a trajectory or a question of a run, as they would be asked for now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from butwait.pipelines.cache.explain import Finding, explain_sample
from butwait.pipelines.cache.store import Cache
from butwait.pipelines.places import files_in
from butwait.pipelines.recipe_file import load_recipe
from butwait.pipelines.resolve import identify_policy, make_ask_plan
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.sample_question import (
    AskPlan,
    continuation_request,
    sample_request,
)
from butwait.pipelines.tables import read_columns, read_records
from butwait.schemas.errors import ConfigError
from butwait.schemas.question import Question
from butwait.schemas.recipe import Recipe
from butwait.schemas.sampling import ModelIdentity, SampleRequest
from butwait.schemas.trajectory import Trajectory
from butwait.transforms.but_wait import join_continuation, joiner
from butwait.transforms.thoughts import continuation_prefix


@dataclass(frozen=True)
class Target:
    """What a person named."""

    question_id: str
    trajectories: tuple[str, ...] | None = None
    """Those alone; None: all of the question."""


Sample = tuple[str, SampleRequest, int]
"""A trajectory's id, its request, and its index there."""


def explain(
    root: Path, name: str, cache: Cache, path: Path | None, overrides: Sequence[str]
) -> tuple[list[Finding], str | None]:
    """Explain the samples of something in a run.

    Args:
        root: Run folder.
        name: Id of a row, a trajectory or a question, or the beginning of one.
        cache: Where they may be.
        path: A recipe in the place of the run's own.
        overrides: ``key=value`` strings.

    Returns:
        A finding a sample, and a remark on the model's identity where there is one.

    Raises:
        ConfigError: No such run or sample, or a recipe without a model.
    """
    run = RunFolder(root)
    source = path or root / "recipe.yaml"
    recipe = load_recipe(source, overrides, override_base=Path.cwd())
    if recipe.replay is not None:
        raise ConfigError(f"{source} replays recordings: nothing of it is in the cache")
    target = find_target(run, name)
    identity, remark = _identify(recipe, root, path)
    plan = make_ask_plan(recipe)
    samples = list_samples(run, target, plan)
    return [explain_sample(cache, identity, *sample) for sample in samples], remark


def find_target(run: RunFolder, name: str) -> Target:
    """Find a question, trajectory or row by its id or the unambiguous beginning of one.

    Raises:
        ConfigError: None or several begin so.
    """
    known: dict[str, Target] = {}
    for target_id, target in _targets(run):
        if target_id == name:
            return target
        if target_id.startswith(name):
            known[target_id] = target
    questions = {target.question_id for target in known.values()}
    # Rows and trajectories begin with the id of their question.
    if len(questions) == 1 and (len(known) == 1 or next(iter(questions)).startswith(name)):
        found = next(iter(known.values()))
        return found if len(known) == 1 else Target(found.question_id)
    if not known:
        raise ConfigError(
            f"nothing in {run.root} begins with {name!r}: name a row, a trajectory or a question "
            "(`butwait ledger` and the files in rows/ have their ids)"
        )
    shown = ", ".join(list(known)[:3])
    raise ConfigError(f"{len(known)} ids begin with {name!r}: {shown} ...")


def list_samples(run: RunFolder, target: Target, plan: AskPlan) -> list[Sample]:
    """List a target's samples.

    Raises:
        ConfigError: The question is gone, or its rows came from a search.
    """
    base = sample_request(_read_question(run, target.question_id), plan, max(1, plan.sampling.n))
    stored = _read_trajectories(run, target.question_id)
    fresh = [_name_fresh(base, index) for index in range(plan.sampling.n)]
    later = _list_continuations(stored, base, plan)
    if target.trajectories is None:
        return [*fresh, *later]
    wanted = [t for t in stored if t.id in target.trajectories]
    if not wanted:
        raise ConfigError(
            f"{', '.join(target.trajectories) or 'the row'} is not among the samples of "
            f"{target.question_id}: steps of searches and reference solutions are not explained"
        )
    known = {t.id: _name_fresh(base, t.sample_index) for t in stored if t.parent_id is None}
    known |= {sample[0]: sample for sample in later}
    return [known[t.id] for t in wanted if t.id in known]


def describe(findings: Sequence[Finding]) -> Iterator[str]:
    """Say what was found in lines for people, equal neighbours together."""
    groups: list[list[Finding]] = []
    for finding in findings:
        if groups and _kind(groups[-1][0]) == _kind(finding):
            groups[-1].append(finding)
        else:
            groups.append([finding])
    for group in groups:
        first = group[0]
        to = f" to {group[-1].sample.rpartition('-')[2]}" if len(group) > 1 else ""
        yield f"{first.sample}{to}: {'hit' if first.is_hit else 'miss'}: {first.reason}"
        yield from (f"  {change.describe()}" for change in first.changes)
        if first.model is not None:
            what = "stored" if first.is_hit else "nearest in the cache: last used"
            by = f" by {first.by}" if first.by else ""
            yield f"  {what} {first.stored or '(no date)'}, {first.model}{by}"


def _kind(finding: Finding) -> tuple[object, ...]:
    step = finding.sample.rpartition("-")[0]
    return (step, finding.is_hit, finding.reason, finding.changes, finding.stored, finding.by)


def _identify(recipe: Recipe, root: Path, path: Path | None) -> tuple[ModelIdentity, str | None]:
    """Find out which weights are meant; those that the run recorded where they are not found."""
    base = path.resolve().parent if path is not None else Path.cwd()
    try:
        return identify_policy(recipe, base)[0], None
    except ConfigError as error:
        if path is not None:
            raise
        try:
            document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
            identity = ModelIdentity.model_validate(document["model"])
        except (OSError, ValueError, KeyError):
            raise error from None
        remark = (
            "the model is taken to be the one that the run recorded; --recipe FILE looks at it "
            f"again ({error})"
        )
        return identity, remark


def _targets(run: RunFolder) -> Iterator[tuple[str, Target]]:
    for path in run.question_shards():
        for row in read_columns(path, ["id"]):
            yield row["id"], Target(row["id"])
    for path in run.trajectory_parts():
        for row in read_columns(path, ["id", "question_id"]):
            yield row["id"], Target(row["question_id"], (row["id"],))
    for path in files_in(run.stage("rows"), "*/train-*.parquet"):
        for row in read_columns(path, ["id", "question_id", "provenance"]):
            yield row["id"], Target(row["question_id"], tuple(row["provenance"]["parents"]))


def _read_question(run: RunFolder, question_id: str) -> Question:
    for path in run.question_shards():
        for question in read_records(path, Question):
            if question.id == question_id:
                return question
    raise ConfigError(f"{run.root} has no question {question_id}: build its questions again")


def _read_trajectories(run: RunFolder, question_id: str) -> list[Trajectory]:
    for path in run.trajectory_parts():
        if any(row["question_id"] == question_id for row in read_columns(path, ["question_id"])):
            return [t for t in read_records(path, Trajectory) if t.question_id == question_id]
    return []


def _name_fresh(base: SampleRequest, index: int) -> Sample:
    return f"{base.question_id}-{base.step}-{index}", base, index


def _list_continuations(
    stored: Sequence[Trajectory], base: SampleRequest, plan: AskPlan
) -> list[Sample]:
    """Ask for every continuation of the run again, from the samples that the run has."""
    if plan.but_wait is None:
        return []
    between, known = joiner(plan.but_wait.phrase), {t.id: t for t in stored}
    texts: dict[str, str] = {}
    found = []
    later = [t for t in stored if t.parent_id is not None]
    for t in sorted(later, key=lambda t: int(t.step.rpartition("-")[2])):
        parent = known.get(t.parent_id or "")
        if parent is None:
            continue
        before = continuation_prefix(texts.get(parent.id, parent.text), parent.finish_reason)
        round_ = int(t.step.rpartition("-")[2])
        request = continuation_request(base, plan, before + between, round_, t.sample_index)
        texts[t.id] = join_continuation(before, between, t.text)
        # A continuation is the only sample of its request.
        found.append((t.id, request, 0))
    return found
