"""The same requests with nothing around them: what any client must pay.

``python -m benchmarks.sampling.bare URL BODIES.jsonl IN_FLIGHT``. A fixed number of tasks post the
bodies, one a line, over aiohttp's connections, and drop the replies unread by anything but the
socket. aiohttp, because it is the faster of the common clients (httpx needed many times as much).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp


async def post_all(url: str, bodies: Iterator[bytes], n_open: int) -> int:
    """Post every body; return how many replies were fine."""
    n_fine = 0

    async def post(http: aiohttp.ClientSession) -> None:
        nonlocal n_fine
        for body in bodies:
            async with http.post(url, data=aiohttp.BytesPayload(body, **kind)) as reply:
                await reply.read()
                n_fine += reply.status == 200

    kind = {"content_type": "application/json"}
    limits = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=limits) as http:
        await asyncio.gather(*(post(http) for _ in range(n_open)))
    return n_fine


def main() -> None:
    """Post the bodies of a file."""
    url, path, n_open = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with path.open("rb") as lines:
        n_fine = asyncio.run(post_all(url, (line.strip() for line in lines), n_open))
    print(n_fine, flush=True)


if __name__ == "__main__":
    main()
