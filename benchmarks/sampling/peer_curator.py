"""The same questions through ``bespokelabs-curator``; runs in an environment of its own.

``python peer_curator.py JOB.json``, with url, model, system, problems, in_flight and work. Rate
limits are set out of the way; its own cache is on, as ours is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Sample every problem once."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    os.environ |= {
        "TELEMETRY_ENABLED": "false",
        "CURATOR_CACHE_DIR": f"{job['work']}/curator",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "HF_HUB_OFFLINE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "OPENAI_API_KEY": "none",
    }
    # The encoding that litellm brings; tiktoken would fetch it from the network.
    spec = importlib.util.find_spec("litellm")
    assert spec is not None and spec.origin is not None
    tokenizers = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tokenizers)
    from bespokelabs import curator

    most = 10**9
    llm = curator.LLM(
        model_name=job["model"],
        backend=job.get("backend", "openai"),
        system_prompt=job["system"],
        backend_params={
            "base_url": f"{job['url']}/v1",
            "api_key": "none",
            "max_requests_per_minute": most,
            "max_tokens_per_minute": most,
            "max_concurrent_requests": job["in_flight"],
            "invalid_finish_reasons": ["content_filter"],
        },
        generation_params={"temperature": 0.8, "max_tokens": job["max_tokens"]},
    )
    answers = llm(job["problems"])
    print(len(getattr(answers, "dataset", answers)), flush=True)


if __name__ == "__main__":
    main()
