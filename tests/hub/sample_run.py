"""A small finished run, written as a build writes it, for what reads run folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from butwait.pipelines.card import render_card
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.shards import read_configs

HOSTILE = 'x\n---\n```\n</details><script>alert("|")</script>\u202e{{ "a": `b` }} \\boxed{½}'

MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "name": "tiny",
    "butwait_version": "0.1.0",
    "created": "2026-11-23T00:00:00Z",
    "versions": {"pyarrow": pa.__version__},
    "recipe_sha256": "0" * 64,
    "model": {"id": "someone/model", "revision": "abc123"},
    "stages": {},
    "sources": [
        {"name": "numbers", "licence": "apache-2.0", "revision": "r1", "r1_derived": False}
    ],
}
RECIPE = "name: tiny\nrows:\n  default: {transform: verified}\n  rl: {transform: rl}\n"


def make_text_rows(n_rows: int) -> list[dict[str, Any]]:
    """Return supervised rows; every third holds hostile text."""
    return [
        {
            "id": f"row-{i:04}",
            "messages": [
                {"role": "user", "content": f"What is {i} + {i}?"},
                {"role": "assistant", "content": f"{HOSTILE if i % 3 == 0 else 'ok'} {2 * i}"},
            ],
            "answer": str(2 * i),
            "pass_rate": None if i % 5 == 0 else i / n_rows,
            "provenance": {"licence": "apache-2.0", "verifier_version": "v7", "parents": [f"{i}"]},
        }
        for i in range(n_rows)
    ]


def make_question_rows(n_rows: int) -> list[dict[str, Any]]:
    """Return rows of another layout."""
    return [{"id": f"q-{i:04}", "problem": f"{i}+{i}", "n_samples": i} for i in range(n_rows)]


def write_shards(folder: Path, rows: Sequence[dict[str, Any]], n_shards: int) -> list[Path]:
    """Write the rows of one configuration with the features embedded, in equal parts."""
    from datasets import Features

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.parquet"):
        old.unlink()
    schema = Features.from_arrow_schema(pa.Table.from_pylist(list(rows)).schema).arrow_schema
    size = -(-len(rows) // n_shards)
    paths = []
    for i in range(n_shards):
        path = folder / f"train-{i:05d}-of-{n_shards:05d}.parquet"
        part = list(rows[i * size : (i + 1) * size])
        with pq.ParquetWriter(path, schema) as writer:
            if part:  # a shard without rows has no row group: `datasets` cannot load an empty one
                writer.write_table(pa.Table.from_pylist(part, schema=schema))
        paths.append(path)
    return paths


def write_run(
    run: Path,
    text_rows: Sequence[dict[str, Any]] | None = None,
    *,
    n_shards: int = 2,
    n_question_rows: int = 4,
    more: Mapping[str, Sequence[dict[str, Any]]] = MappingProxyType({}),
) -> Path:
    """Write a whole run with the configurations ``default`` and ``rl``; return its folder.

    Without question rows, ``rl`` is a shard of no rows. ``more``: further configurations.
    """
    rows = make_text_rows(12) if text_rows is None else text_rows
    paths = write_shards(run / "rows" / "default", rows, n_shards)
    paths += write_shards(run / "rows" / "rl", make_question_rows(max(n_question_rows, 1)), 1)
    if not n_question_rows:
        schema = pq.read_schema(paths[-1])
        pq.ParquetWriter(paths[-1], schema).close()
    for name, its_rows in more.items():
        paths += write_shards(run / "rows" / name, its_rows, 1)
    (run / "manifest.json").write_text(json.dumps(MANIFEST))
    (run / "recipe.yaml").write_text(RECIPE)
    ledger = {
        "questions": {"read": 20, "bins": {"kept": 18, "no_gold": 2}},
        "samples": {"requested": 30, "bins": {"correct": 17, "incorrect": 13}},
        "rows": {
            "default": {"made": len(rows) + 1, "bins": {"written": len(rows), "too_long": 1}},
            "rl": {"made": n_question_rows, "bins": {"written": n_question_rows}},
            **{
                name: {"made": len(its), "bins": {"written": len(its)}}
                for name, its in more.items()
            },
        },
    }
    (run / "ledger.json").write_text(json.dumps(ledger))
    folder = RunFolder(run)
    counts = {path: pq.read_metadata(path).num_rows for path in paths}
    folder.finish("rows", "f", 0.0, {}, counts)
    card = render_card(MANIFEST, ledger, read_configs(run / "rows"), RECIPE)
    readme = run / "card" / "README.md"
    readme.parent.mkdir(exist_ok=True)
    readme.write_text(card, encoding="utf-8")
    folder.finish("card", "f", 0.0, {}, {readme: 0})
    return run
