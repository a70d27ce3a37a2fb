"""How many samples of a stage the cache has, counted by key before anything is sampled.

Counted are the samples that are asked for first. What is asked after them, continuations and steps
of searches, depends on their texts and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from butwait.pipelines.cache import Cache, completion_keys
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.sample_question import AskPlan, sample_request
from butwait.pipelines.stages.trajectories import Block, blocks_to_do
from butwait.pipelines.tables import count_row_groups, read_records
from butwait.schemas.question import Question
from butwait.schemas.sampling import ModelIdentity

MAX_SAMPLES = 100_000
"""Keys that are looked up; beyond that blocks spread over the whole stand for the rest."""


@dataclass(frozen=True)
class Reuse:
    """What is done, what the cache has and what has to be sampled."""

    n_blocks: int
    n_blocks_done: int
    n_samples: int
    """In the blocks that are not done; where estimated, as many as the counted blocks suggest."""
    n_cached: int
    is_estimate: bool

    def describe(self) -> str:
        """Say it in one line."""
        about = "about " if self.is_estimate else ""
        left = self.n_samples - self.n_cached
        found = (
            f"{about}{self.n_samples} samples, {about}{self.n_cached} of them in the cache, "
            f"{about}{left} to be sampled"
        )
        if not self.n_blocks_done:
            return found
        return f"{self.n_blocks_done} of {self.n_blocks} blocks are done; of the others {found}"


def count_reusable(
    run: RunFolder,
    cache: Cache,
    identity: ModelIdentity,
    ask: AskPlan,
    max_samples: int = MAX_SAMPLES,
) -> Reuse:
    """Count what stage 2 need not sample.

    Args:
        run: With its questions; fragments of blocks that are done stay.
        cache: Only its keys are read.
        identity: Who is sampled.
        ask: What a question is asked.
        max_samples: Samples to look up at most, a block at the least.
    """
    todo = blocks_to_do(run)
    shards = run.question_shards()
    n_blocks = sum(count_row_groups(path) for path in shards)
    n_samples = n_cached = n_looked = 0
    for block in _spread(todo):
        questions = list(read_records(shards[block.shard], Question, [block.group]))
        keys = [
            key
            for question in questions
            for key in completion_keys(identity, sample_request(question, ask, ask.sampling.n))
        ]
        n_samples += len(keys)
        n_cached += cache.count(keys)
        n_looked += 1
        if n_samples >= max_samples:
            break
    scale = len(todo) / n_looked if n_looked else 1.0
    return Reuse(
        n_blocks=n_blocks,
        n_blocks_done=n_blocks - len(todo),
        n_samples=round(n_samples * scale),
        n_cached=round(n_cached * scale),
        is_estimate=n_looked < len(todo),
    )


def _spread(blocks: Sequence[Block]) -> list[Block]:
    """Order blocks so that any first few of them are spread over the whole."""
    bits = max(1, (len(blocks) - 1).bit_length())
    places = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
    return [blocks[place] for place in places if place < len(blocks)]
