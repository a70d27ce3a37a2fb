"""A small world for build tests: sums as questions, and a server that adds, sometimes wrongly."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from butwait.pipelines.build import BuildOptions, build_dataset
from butwait.pipelines.places import is_url, read_folder
from butwait.pipelines.recipe_file import check_recipe
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.stages.beam_run import DEFAULT_RUNNER

_SUM = re.compile(r"What is (\d+) plus (\d+)\?")


def add(payload: dict[str, Any], index: int) -> str:
    """Answer the last sum of a prompt; right or wrong by prompt and seed alone."""
    a, b = (int(n) for n in _SUM.findall(payload["prompt"])[-1])
    name = f"{payload['prompt']}\0{(payload.get('seed') or 0) + index}"
    luck = hashlib.sha256(name.encode()).digest()[0]
    total = a + b if luck < 150 else a + b + 1 + luck % 3
    return f"I take {a} and add {b}.\n\nThat gives {total}.\n\nThe answer is \\boxed{{{total}}}."


def write_questions(path: Path, n: int, extra: list[dict[str, Any]] | None = None) -> Path:
    """Write n sums, and rows of one's own after them."""
    rows = [
        {"problem": f"What is {i + 10} plus {3 * i + 2}?", "answer": str(4 * i + 12)}
        for i in range(n)
    ]
    lines = [json.dumps(row) for row in [*rows, *(extra or [])]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def recipe_document(url: str, **changes: Any) -> dict[str, Any]:
    """A recipe of all transforms against a running server."""
    return {
        "name": "sums",
        "sources": [{"path": "sums.jsonl", "columns": {"problem": "problem", "answer": "answer"}}],
        "model": {"id": "fake/model"},
        "server": {"mode": "attach", "url": url, "served_name": "fake/model", "n_retries": 2},
        "sampling": {"n": 4, "max_tokens": 200},
        "rows": {
            "default": {"transform": "verified"},
            "stitch": {"transform": "stitch", "format": "think_boxed"},
            "but_wait": {"transform": "but_wait", "format": "plain"},
            "limo": {"transform": "limo"},
            "rl": {"transform": "rl"},
        },
        "shards": 3,
        "block_size": 8,
        **changes,
    }


def build(
    folder: Path,
    document: dict[str, Any],
    *,
    out: str = "runs",
    cache: str = "cache.sqlite",
    place: str | None = None,
    from_stage: str | None = None,
    beam_options: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda line: None,
) -> RunFolder:
    """Build in a test's folder."""
    options = BuildOptions(
        base=folder,
        out=read_folder(out) if is_url(out) else folder / out,
        cache=place or folder / cache,
        runner=DEFAULT_RUNNER,
        beam_options=beam_options,
        from_stage=from_stage,
        api_key=None,
        say=say,
    )
    return build_dataset(check_recipe(document, "test recipe"), options)


def dataset_bytes(run: RunFolder) -> dict[str, bytes]:
    """All published files of a run by name."""
    rows = run.stage("rows")
    files = {p.relative_to(rows).as_posix(): p.read_bytes() for p in rows.rglob("train-*.parquet")}
    return {**files, "card": (run.stage("card") / "README.md").read_bytes()}
