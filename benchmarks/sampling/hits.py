"""How many samples a second the completion cache answers with; ``JOB_FOLDER`` as a build left it.

``python -m benchmarks.sampling.hits FOLDER`` asks for every sample of the build once more, through
the same sampler as a build and without an engine, and prints hits, seconds and processor time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from butwait.pipelines.cache import open_cache
from butwait.pipelines.cached import CachedSampler, SharedCache
from butwait.pipelines.recipe_file import load_recipe
from butwait.pipelines.resolve import resolve
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.sample_question import sample_request
from butwait.pipelines.tables import read_records
from butwait.schemas.question import Question

_BLOCK = 128


async def ask_all(folder: Path) -> dict[str, float]:
    """Ask a block of questions at a time, as a build does."""
    recipe = load_recipe(folder / "recipe.yaml", (), None, override_base=folder)
    resolved = resolve(recipe, folder)
    shards = RunFolder(folder / "runs" / "bench").question_shards()
    questions = [q for shard in shards for q in read_records(shard, Question)]
    requests = [sample_request(question, resolved.ask, 1) for question in questions]
    cache = open_cache(folder / "cache.sqlite")
    sampler = CachedSampler(None, SharedCache(cache), resolved.identity)
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(requests), _BLOCK):
        await asyncio.gather(*map(sampler.sample, requests[start : start + _BLOCK]))
    spent = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    cache.close()
    return {"hits": sampler.n_hits, **spent}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask_all(Path(sys.argv[1])))))
