"""The recorded step requests once more, as fast as the server takes them: what is left to win.

``python -m benchmarks.search.bare JOB.json OUT.json``. The prompts of all steps that our run sent,
as token ids, in lists of a fixed length with a fixed number of requests open; nothing waits for
anything, replies are not parsed. ``how`` is ``128x4``: lists of 128, four open.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx

from benchmarks.search.setting import Clock, read_job, write_result


def repack(recorded: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """The same prompts in lists of ``size``; all of them share their other parameters."""
    shared = {key: value for key, value in recorded[0].items() if key != "prompt"}
    for payload in recorded:
        if {key: value for key, value in payload.items() if key != "prompt"} != shared:
            raise ValueError("recorded requests differ in their parameters")
    prompts = [prompt for payload in recorded for prompt in payload["prompt"]]
    return [{**shared, "prompt": prompts[i : i + size]} for i in range(0, len(prompts), size)]


async def resend(url: str, payloads: list[dict[str, Any]], n_open: int) -> dict[str, Any]:
    """Send everything and time it."""
    waiting = iter(payloads)
    async with httpx.AsyncClient(base_url=url, timeout=600.0, trust_env=False) as http:
        clock = Clock()

        async def send() -> None:
            for payload in waiting:
                clock.opened()
                reply = await http.post("/v1/completions", json=payload)
                clock.closed()
                reply.raise_for_status()

        await asyncio.gather(*(send() for _ in range(n_open)))
        return clock.read()


def main() -> None:
    """Run the job."""
    job = read_job(sys.argv[1])
    size, n_open = map(int, job["how"].split("x"))
    assert job["record"] is not None
    recorded = json.loads(Path(job["record"]).read_text())
    payloads = repack(recorded, size)
    result = asyncio.run(resend(job["url"], payloads, n_open))
    n_steps = sum(len(payload["prompt"]) for payload in payloads)
    write_result(sys.argv[2], {**result, "n_steps": n_steps, "failed": []})


if __name__ == "__main__":
    main()
