"""How many continuations a shard's samples call for, found out anew from the samples.

The draws are derived from the run's seed, so that what stage 2 should have asked for can be told
without asking what it did ask for: one that is in no bin, or in two, shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from butwait.pipelines.places import AnyPath, files_in
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.tables import read_records
from butwait.schemas.recipe_rows import ButWaitSpec
from butwait.schemas.trajectory import Trajectory
from butwait.transforms.but_wait import join_continuation, joiner, pick_sources
from butwait.transforms.thoughts import continuation_prefix


def count_due(run: RunFolder, shard: int, spec: ButWaitSpec, run_seed: int) -> int:
    """Count the continuations of one shard; memory is one question's trajectories."""
    parts = files_in(run.stage("trajectories"), f"part-{shard:05d}-*.parquet")
    return sum(_count_of_part(path, spec, run_seed) for path in parts)


def _count_of_part(path: AnyPath, spec: ButWaitSpec, run_seed: int) -> int:
    by_question = groupby(read_records(path, Trajectory), key=lambda t: t.question_id)
    return sum(count_of_question(list(group), spec, run_seed) for _, group in by_question)


def count_of_question(trajectories: Iterable[Trajectory], spec: ButWaitSpec, run_seed: int) -> int:
    """Count what one question's samples call for.

    A chain ends with its last wait, with a text that cannot go on, or with the first continuation
    that is not there: that one was asked for and failed, or it is lost.
    """
    known = {t.id: t for t in trajectories}
    samples = sorted((t for t in known.values() if t.parent_id is None), key=_by_index)
    sources = pick_sources(samples, spec, run_seed)
    return sum(_walk(source, place, known, spec) for place, source in enumerate(sources))


def _walk(
    source: Trajectory, place: int, known: Mapping[str, Trajectory], spec: ButWaitSpec
) -> int:
    """Count the continuations that were due on one source."""
    between = joiner(spec.phrase)
    parent, text = source, source.text
    for round_ in range(spec.n_waits):
        before = continuation_prefix(text, parent.finish_reason)
        if not before:
            return round_
        made = known.get(f"{source.question_id}-continue-{round_}-{place}")
        if made is None:
            return round_ + 1
        parent, text = made, join_continuation(before, between, made.text)
    return spec.n_waits


def _by_index(trajectory: Trajectory) -> int:
    return trajectory.sample_index
