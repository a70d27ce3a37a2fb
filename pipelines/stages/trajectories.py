"""Stage 2: sample and verify every question, block by block.

A Beam element is one block (row group) of one question shard, its output one parquet fragment.
A worker keeps one event loop; a block is submitted and the next one taken up while it is still
being sampled, so that no slow question holds up the server.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from butwait.pipelines.cache import Place, open_cache
from butwait.pipelines.cached import CachedSampler, NotCached, SharedCache
from butwait.pipelines.engines import Engine, OpenEngine
from butwait.pipelines.failures import reported
from butwait.pipelines.places import AnyPath, files_in, scratch
from butwait.pipelines.progress import StageProgress, StatusFile
from butwait.pipelines.run_folder import RunFolder, StageRecord
from butwait.pipelines.search.spool import TreeSpool
from butwait.pipelines.stages.beam_run import run_pipeline
from butwait.pipelines.stages.sample_question import AskPlan, Outcome, sample_question
from butwait.pipelines.stages.verifier import Verifier
from butwait.pipelines.tables import (
    count_each,
    count_row_groups,
    count_rows,
    read_columns,
    read_footer,
    read_records,
    write_records,
)
from butwait.schemas.dead_letter import DeadLetter
from butwait.schemas.errors import SamplerError
from butwait.schemas.question import Question
from butwait.schemas.sampling import Sampler
from butwait.schemas.trajectory import Trajectory

if TYPE_CHECKING:
    from butwait.pipelines.search.question import SearchPlan

PASSING_REASONS = ("timeout", "unreachable", "bad_reply", "bad_score", "server_error", "refused")
"""Reasons that may be the server's, not the request's: the next run asks again."""
OWN_REASONS = ("context_overflow", "not_recorded", "all_particles_dead")
"""Reasons that are one question's own, however many questions in a row have them."""


@dataclass(frozen=True)
class Block:
    """One row group of one question shard."""

    shard: int
    group: int

    @property
    def name(self) -> str:
        """Stem of the files that belong to this block."""
        return f"part-{self.shard:05d}-{self.group:05d}"


@dataclass(frozen=True)
class TrajectoriesPlan:
    """What the workers of this stage need to know.

    ``engine.cache_only`` answers from the cache alone and leaves blocks undone that it cannot.
    """

    run: RunFolder
    ask: AskPlan
    engine: Engine
    cache: Place
    max_in_flight: int
    search: SearchPlan | None = None
    """The search beside the samples, where the recipe asks for one."""


class SampleBlocks(beam.DoFn):  # type: ignore[misc]
    """block → name of its fragment; a block that the cache alone cannot answer gives nothing."""

    def __init__(self, plan: TrajectoriesPlan) -> None:
        self._plan = plan

    def setup(self) -> None:
        """Start the loop, open cache and engine."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sampling", daemon=True)
        self._thread.start()
        with reported(self._plan.run.status):
            self._cache = open_cache(self._plan.cache)
        self._shared_cache = SharedCache(self._cache)
        self._verifier = Verifier(self._plan.ask.deadline_s)
        self._open = OpenEngine(self._plan.engine)
        self._searcher = None
        if self._plan.search is not None:
            self._searcher = self._open.searcher(self._plan.search, self._cache)
        self._failing = 0
        self._shards: dict[int, tuple[AnyPath, int]] = {}
        self._status = StatusFile(self._plan.run.status)
        writing = self._status.keep_written()
        self._writing = asyncio.run_coroutine_threadsafe(writing, self._loop)

    def start_bundle(self) -> None:
        """Begin with nothing under way."""
        self._pending: set[Future[str | None]] = set()
        self._n_pending = 0

    def process(self, block: Block) -> Iterator[str]:
        """Submit a block; give back blocks that are done, wait only when enough are under way."""
        work = self._sample_block(block)
        self._pending.add(asyncio.run_coroutine_threadsafe(work, self._loop))
        # Two blocks beyond what fills the server: one finishing, one to follow.
        most = 2 + self._plan.max_in_flight // max(1, self._n_questions(block))
        yield from self._collect(most)

    def finish_bundle(self) -> Iterator[Any]:
        """Wait for what is still under way."""
        window = GlobalWindow()
        for name in self._collect(0):
            yield WindowedValue(name, window.max_timestamp(), [window])

    def teardown(self) -> None:
        """Stop the loop and close what was opened."""
        self._writing.cancel()
        asyncio.run_coroutine_threadsafe(self._open.close(), self._loop).result(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._cache.close()
        self._status.write()

    def _collect(self, most: int) -> Iterator[str]:
        while len(self._pending) > most:
            try:
                done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
                with reported(self._plan.run.status):
                    names = [future.result() for future in done]
            except BaseException:
                self._abandon()
                raise
            yield from (name for name in names if name is not None)

    def _abandon(self) -> None:
        """Cancel what is under way and wait until it is gone; its requests are dropped."""

        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(timeout=30)

    def _n_questions(self, block: Block) -> int:
        return self._shard(block.shard)[1]

    def _shard(self, number: int) -> tuple[AnyPath, int]:
        """Find a question shard, and the questions of its blocks: all but the last have as many."""
        if number not in self._shards:
            path = self._plan.run.question_shards()[number]
            footer = read_footer(path)
            self._shards[number] = path, max(1, footer.num_rows // footer.num_row_groups)
        return self._shards[number]

    async def _sample_block(self, block: Block) -> str | None:
        shard, _ = self._shard(block.shard)
        # In threads: a file of a remote store takes its time, and the server is not to wait for it.
        questions = await asyncio.to_thread(self._read, shard, block.group)
        sampler = self._sampler(block)
        spool = self._spool(block)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(q, sampler, block, spool)) for q in questions]
        except BaseExceptionGroup as failures:
            if failures.subgroup(NotCached) is not None:
                return None
            # One cause is enough for a person; the others died of the same.
            raise _first_leaf(failures) from failures
        if spool is not None:
            # Before the fragment that says that the block is done.
            await asyncio.to_thread(spool.write, [question.id for question in questions])
        await asyncio.to_thread(self._write, block, [task.result() for task in tasks])
        return block.name

    def _sampler(self, block: Block) -> Sampler:
        engine = self._open.sampler(block.shard)
        if engine is not None and self._plan.engine.recordings is not None:
            return engine  # recordings are on disk already
        return CachedSampler(engine, self._shared_cache, self._plan.engine.identity)

    def _spool(self, block: Block) -> TreeSpool | None:
        if self._searcher is None:
            return None
        run = self._plan.run
        folder = scratch(run.trees / ".parts" / block.name)
        return TreeSpool(folder, run.tree_part(block.name))

    async def _one(
        self, question: Question, sampler: Sampler, block: Block, spool: TreeSpool | None
    ) -> Outcome:
        if spool is None:
            outcome = await self._sample(question, sampler, block)
        else:
            outcome, letters = await asyncio.gather(
                self._sample(question, sampler, block), self._search(question, spool)
            )
            outcome = Outcome(outcome.trajectories, (*outcome.letters, *letters))
        self._watch(outcome)
        self._status.add(questions=1, failed=len(outcome.letters))
        return outcome

    async def _sample(self, question: Question, sampler: Sampler, block: Block) -> Outcome:
        n = await self._open.n_samples(question, block.shard)
        if n is None and self._plan.ask.sampling.n == 0:
            return Outcome((), ())
        n_asked = n or self._plan.ask.sampling.n
        self._status.add(in_flight=n_asked)
        try:
            outcome = await sample_question(question, sampler, self._plan.ask, n, self._verifier)
        finally:
            self._status.add(in_flight=-n_asked)
        verdicts: Counter[str] = Counter(t.verdict for t in outcome.trajectories)
        tokens = sum(t.n_completion_tokens for t in outcome.trajectories)
        cached = sampler.take_hits() if isinstance(sampler, CachedSampler) else 0
        self._status.add(tokens=tokens, cached=cached, **verdicts)
        return outcome

    async def _search(self, question: Question, spool: TreeSpool) -> tuple[DeadLetter, ...]:
        """Search, keep the tree, and return a letter where it has no solution."""
        assert self._searcher is not None
        found = await self._searcher.search(question)
        await asyncio.to_thread(spool.keep, found.tree)
        usage = found.tree.usage
        self._status.add(searched=1, tokens=usage.n_tokens, steps=usage.n_steps)
        return () if found.letter is None else (found.letter,)

    def _watch(self, outcome: Outcome) -> None:
        """Stop when nothing gets through any more, instead of burning all questions.

        Raises:
            SamplerError: As many questions in a row as the server holds failed for reasons that
                are not their own.
        """
        foreign = [x for x in outcome.letters if x.reason not in OWN_REASONS]
        self._failing = self._failing + 1 if foreign else 0
        most = max(8, self._plan.max_in_flight)
        if self._failing >= most:
            raise SamplerError(
                f"{most} questions in a row failed, the last with {foreign[0].reason} "
                f"({foreign[0].detail}); look at the server, then run the same command again"
            )

    def _read(self, shard: AnyPath, group: int) -> list[Question]:
        return list(read_records(shard, Question, [group]))

    def _write(self, block: Block, outcomes: Sequence[Outcome]) -> None:
        run = self._plan.run
        letters = [letter for outcome in outcomes for letter in outcome.letters]
        path = run.dead_letters / f"trajectories-{block.name}.parquet"
        path.unlink(missing_ok=True)  # of an attempt that was killed before its fragment
        if letters:
            write_records(path, letters, DeadLetter)
        trajectories = (t for outcome in outcomes for t in outcome.trajectories)
        write_records(run.stage("trajectories") / f"{block.name}.parquet", trajectories, Trajectory)


def blocks_to_do(run: RunFolder) -> list[Block]:
    """Blocks that have no fragment yet, in order."""
    blocks = [
        Block(shard, group)
        for shard, path in enumerate(run.question_shards())
        for group in range(count_row_groups(path))
    ]
    done = {path.stem for path in run.trajectory_parts()}
    return [block for block in blocks if block.name not in done]


def forget_passing_failures(run: RunFolder) -> int:
    """Remove the fragments of blocks in which requests failed for passing reasons.

    What was sampled of them is in the cache; the next run asks for the rest.

    Returns:
        Number of blocks that will be done again.
    """
    found = [
        path
        for path in run.dead_letters.glob("trajectories-part-*.parquet")
        if any(row["reason"] in PASSING_REASONS for row in read_columns(path, ["reason"]))
    ]
    for path in found:
        part = path.name.removeprefix("trajectories-")
        (run.stage("trajectories") / part).unlink(missing_ok=True)
        (run.trees / part).unlink(missing_ok=True)
        path.unlink()
    return len(found)


def count_failures(run: RunFolder) -> Counter[str]:
    """Return the number of failed samples by reason."""
    paths = run.dead_letters.glob("trajectories-part-*.parquet")
    return Counter(row["reason"] for path in paths for row in read_columns(path, ["reason"]))


def first_failure(run: RunFolder) -> str:
    """Return the detail of one failed sample, empty where there is none."""
    paths = files_in(run.dead_letters, "trajectories-part-*.parquet")
    rows = (row for path in paths for row in read_columns(path, ["detail"]))
    return str(next(rows, {"detail": ""})["detail"])


def sample_blocks(plan: TrajectoriesPlan, runner: str, options: Sequence[str], label: str) -> None:
    """Sample all blocks that have no fragment yet."""
    run = plan.run
    blocks = blocks_to_do(run)
    shards = run.question_shards()
    total = sum(
        _group_rows(shards[shard], [b.group for b in blocks if b.shard == shard])
        for shard in sorted({b.shard for b in blocks})
    )

    def build(pipeline: Any) -> None:
        _ = (
            pipeline
            | "Blocks" >> beam.Create(blocks, reshuffle=False)
            | "Sample" >> beam.ParDo(SampleBlocks(plan))
        )

    with StageProgress(label, run.status, total, "questions", timeline=run.timeline):
        run_pipeline(build, run.status, runner, options)


def finish_trajectories(
    run: RunFolder, fingerprint: str, begun: float, notes: dict[str, str]
) -> StageRecord:
    """Write the stage's record from what its files hold."""
    parts = count_each(run.trajectory_parts())
    trees = count_each(run.tree_parts())
    failed = sum(count_rows(p) for p in run.dead_letters.glob("trajectories-*.parquet"))
    counts = {"trajectories": sum(parts.values()), "failed": failed}
    if trees:
        counts["trees"] = sum(trees.values())
    seconds = time.monotonic() - begun
    return run.finish("trajectories", fingerprint, seconds, counts, parts | trees, notes)


def _first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first


def _group_rows(path: AnyPath, groups: Sequence[int]) -> int:
    metadata = read_footer(path)
    return sum(metadata.row_group(group).num_rows for group in groups)
