"""What the completion cache costs: bytes and microseconds a sample, SQLite beside PostgreSQL.

``python -m benchmarks.cache [--postgres postgresql://user@host/db] [--texts FILE --column NAME]``.
Samples are made of the texts of a JSON Lines file, or of pocket-sized ones; a request has ``--n``
samples. The layout without what was asked (keys and values alone) stands beside ours.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from butwait.pipelines.cache import completion_keys, describe_request, open_cache
from butwait.pipelines.cache.place import Place
from butwait.schemas.record import Message
from butwait.schemas.sampling import Completion, ModelIdentity, SampleRequest, SamplingParameters

IDENTITY = ModelIdentity(id="Qwen/Qwen2.5-Math-1.5B", revision="0" * 40, engine="vllm")
POCKET = (
    "Ann has 12 pens and buys 3 boxes with 4 pens each. 3 * 4 = 12. 12 + 12 = 24. The answer is "
)


def requests(count: int, n: int) -> Iterator[SampleRequest]:
    """Make requests of different questions."""
    parameters = SamplingParameters(temperature=0.8, top_p=1.0, max_tokens=2048)
    for i in range(count):
        messages = (
            Message(role="system", content="Reason step by step; put the answer in a box."),
            Message(role="user", content=f"What is {i} plus {3 * i}?" * 8),
        )
        yield SampleRequest(
            question_id=f"q{i:016x}", step="sample", messages=messages, prompt=None, n=n,
            seed=(i * 7919 << 20) % 2**62, parameters=parameters,
        )  # fmt: skip


def answers(request: SampleRequest, texts: list[str], at: int) -> list[Completion]:
    """Answer a request with the next texts."""
    return [
        Completion(
            index=i, text=texts[(at + i) % len(texts)], finish_reason="stop", n_prompt_tokens=100,
            n_completion_tokens=200, seed=request.seed + i,
        )
        for i in range(request.n)
    ]  # fmt: skip


def measure(place: Place, texts: list[str], count: int, n: int) -> dict[str, float]:
    """Store and read back; seconds are given in microseconds a sample, and a round trip of one."""
    cache = open_cache(place)
    asked = list(requests(count, n))
    begun = time.perf_counter()
    for at, request in enumerate(asked):
        keys = completion_keys(IDENTITY, request)
        items = dict(zip(keys, answers(request, texts, at * n), strict=True))
        cache.put(items, describe_request(IDENTITY, request, "vllm-0.32.0"))
    put = time.perf_counter() - begun
    begun = time.perf_counter()
    for request in asked:
        assert len(cache.get(completion_keys(IDENTITY, request))) == n
    get = time.perf_counter() - begun
    begun = time.perf_counter()
    for request in asked:
        assert cache.count(completion_keys(IDENTITY, request)) == n
    counted = time.perf_counter() - begun
    cache.database.compact()
    size = cache.database.n_bytes()
    cache.close()
    samples = count * n
    return {
        "bytes a sample": size / samples,
        "put, us a sample": put / samples * 1e6,
        "put, us a request": put / count * 1e6,
        "get, us a sample": get / samples * 1e6,
        "get, us a request": get / count * 1e6,
        "count, us a request": counted / count * 1e6,
    }


def measure_bare(path: Path, texts: list[str], count: int, n: int) -> dict[str, float]:
    """The same without what was asked: a table of keys and values."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE c (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
    begun = time.perf_counter()
    for at, request in enumerate(requests(count, n)):
        keys = completion_keys(IDENTITY, request)
        rows = [
            (key, answer.model_dump_json())
            for key, answer in zip(keys, answers(request, texts, at * n), strict=True)
        ]
        with connection:
            connection.executemany("INSERT OR IGNORE INTO c VALUES (?, ?)", rows)
    put = time.perf_counter() - begun
    connection.execute("VACUUM")
    connection.close()
    samples = count * n
    size = path.stat().st_size / samples
    return {"bytes a sample": size, "put, us a sample": put / samples * 1e6}


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--column", default="text")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--n", type=int, default=8)
    asked = parser.parse_args()
    texts = [f"{POCKET}\\boxed{{{i}}}." for i in range(1000)]
    if asked.texts is not None:
        texts = [json.loads(line)[asked.column] for line in asked.texts.open(encoding="utf-8")]
    found: dict[str, Any] = {"mean characters": sum(map(len, texts)) / len(texts), "n": asked.n}
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.sqlite"
        found["bare"] = measure_bare(bare, texts, asked.requests, asked.n)
        ours = Path(folder) / "ours.sqlite"
        found["sqlite"] = measure(ours, texts, asked.requests, asked.n)
    if asked.postgres is not None:
        found["postgresql"] = measure(asked.postgres, texts, asked.requests, asked.n)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
