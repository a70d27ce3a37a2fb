"""The same questions through ``distilabel``; runs in an environment of its own.

``python peer_distilabel.py JOB.json``, with url, model, system, problems, in_flight and work. It
opens as many requests as a batch has rows and waits for all of them, so a batch is what may be in
flight.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Sample every problem once."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    os.environ |= {"HF_HUB_OFFLINE": "1", "DISTILABEL_LOG_LEVEL": "WARNING"}
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    size = job["in_flight"]
    with Pipeline(name="bench", cache_dir=f"{job['work']}/distilabel") as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": problem} for problem in job["problems"]], batch_size=size
        )
        llm = OpenAILLM(
            model=job["model"],
            base_url=f"{job['url']}/v1",
            api_key="none",
            generation_kwargs={"temperature": 0.8, "max_new_tokens": job["max_tokens"]},
        )
        ask = TextGeneration(llm=llm, system_prompt=job["system"], input_batch_size=size)
        load >> ask
    answers = pipeline.run(use_cache=False)
    print(sum(len(split) for split in answers["default"].values()), flush=True)


if __name__ == "__main__":
    main()
