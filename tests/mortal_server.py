"""A fake vLLM in a process of its own, whose first life ends in the middle of the work.

Run as ``mortal_server.py PORT FILE``: the file counts the lives.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from fake_openai import FakeOpenAI, tell_random_story


def main(port: int, lives: Path) -> None:
    """Serve until killed, or until the thirtieth request of the first life."""
    life = int(lives.read_text()) + 1
    lives.write_text(str(life))
    server = FakeOpenAI(model="pocket", delay_s=0.02)

    def tell(payload: dict[str, Any], index: int) -> str:
        if life == 1 and server.n_requests >= 30:
            print("RuntimeError: out of memory", flush=True)
            os._exit(1)
        return tell_random_story(payload, index)

    server.answer = tell
    server.start(port)
    time.sleep(300)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
