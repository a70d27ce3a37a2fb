"""Throughput of a process reward model's server: texts a request against requests open at once.

    python -m benchmarks.pooling http://127.0.0.1:8101 --seconds 4

Every text is new (no prefix is in the server's cache but the chat's head), about 100 tokens, with
five step tokens. Prints one table of texts a second. Left out: starting the server.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time

import httpx

STEP = "<extra_0>"


def write_text(rng: random.Random) -> str:
    """Write a chat of about 100 pocket tokens."""
    steps = [
        f"Step {k}: {rng.randint(1, 99)} + {rng.randint(1, 99)} = {rng.randint(1, 99)}{STEP}"
        for k in range(1, 6)
    ]
    problem = f"Tom has {rng.randint(1, 99)} beads. Tom gives {rng.randint(1, 99)} beads to Ivy."
    return f"<|user|>{problem}<|end|><|assistant|>{''.join(steps)}"


async def measure(
    url: str, model: str, n_texts: int, n_open: int, seconds: float, as_tokens: bool
) -> float:
    """Return texts a second."""
    n_done, began = 0, time.perf_counter()
    rng = random.Random(f"{n_texts} {n_open} {began}")

    async def ask(http: httpx.AsyncClient) -> None:
        nonlocal n_done
        while time.perf_counter() - began < seconds:
            inputs: list[object] = [write_text(rng) for _ in range(n_texts)]
            if as_tokens:
                inputs = [[rng.randint(5, 600) for _ in range(100)] + [704] for _ in inputs]
            body = {"model": model, "input": inputs, "task": "token_classify"}
            reply = await http.post("/pooling", json={**body, "add_special_tokens": False})
            assert len(reply.json()["data"]) == n_texts, reply.text[:200]
            n_done += n_texts

    async with httpx.AsyncClient(base_url=url, timeout=120.0, trust_env=False) as http:
        await asyncio.gather(*[ask(http) for _ in range(n_open)])
    return n_done / (time.perf_counter() - began)


async def main() -> None:
    """Measure the grid and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--open", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--tokens", action="store_true", help="token ids instead of texts")
    args = parser.parse_args()
    listed = httpx.get(f"{args.url}/v1/models", trust_env=False).json()["data"]
    model = str(listed[0]["id"])
    print(f"texts a second at {args.url}\n| texts a request | {args.open} open |")
    for size in args.sizes:
        found = [
            await measure(args.url, model, size, n_open, args.seconds, args.tokens)
            for n_open in args.open
        ]
        print(f"| {size} | " + " | ".join(f"{rate:.0f}" for rate in found) + " |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
