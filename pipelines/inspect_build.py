"""Inspect a build: stages, ledger, rows, verdicts, tokens."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from butwait.pipelines.inspection import (
    Inspection,
    Reader,
    find_places,
    is_held,
    read_recipe,
    tell_versions,
)
from butwait.pipelines.run_folder import STAGES, RunFolder
from butwait.pipelines.summary import accounts, read_ledger
from butwait.schemas.ledger import Ledger
from butwait.schemas.verdict import VERDICT_NAMES

N_DROPS = 5
_KEPT = {"used", "made_rows", "written", "solved", "answered", *VERDICT_NAMES}


def inspect_build(root: Path, manifest: dict[str, Any], read: Reader) -> Inspection:
    """Look at a build."""
    run = RunFolder(root)
    recipe = read_recipe(root, read)
    stages = tuple(_stage(run, name, read) for name in STAGES)
    missing = [stage["stage"] for stage in stages if not stage["whole"]]
    ledger: Ledger | None = None
    if (root / "ledger.json").is_file():
        ledger = read.attempt(partial(read_ledger, root), None)
    verdicts, tokens = _count_samples(run, read)
    asked = ledger.samples.total if ledger is not None else sum(verdicts.values())
    folders = sorted(p.name for p in (root / "rows").glob("*") if p.is_dir())
    rows = {n: read.count(run.row_shards(n)) for n in folders if not n.startswith(".")}
    held = is_held(root)
    return Inspection(
        kind="build",
        name=str(manifest.get("name") or recipe.get("name") or root.name),
        folder=str(root),
        state=_state(missing, held),
        made=_made(manifest, recipe, stages),
        versions=tell_versions(manifest),
        stages=stages,
        totals={} if ledger is None else {t: a.total for t, a in accounts(ledger).items()},
        drops=() if ledger is None else _drops(ledger),
        rows=rows,
        verdicts=dict(verdicts.most_common()),
        pass_rate=verdicts["correct"] / asked if asked else None,
        tokens=tokens,
        cached=_cached(run, read),
        places=find_places(dataset=run.stage("rows"), card=run.stage("card") / "README.md",
                      logs=root / "logs", report=root / "report.html"),
        problems=tuple(read.problems),
        next=_next_build(root, missing, held),
    )  # fmt: skip


def _stage(run: RunFolder, name: str, read: Reader) -> dict[str, Any]:
    record = read.attempt(partial(run.record, name), None)
    if record is None:
        begun = run.fingerprint(name) is not None
        return {"stage": name, "whole": False, "begun": begun, "parts": _parts(run, name)}
    return {
        "stage": name,
        "whole": True,
        "seconds": record.seconds,
        "counts": record.counts,
        "notes": record.notes,
    }


def _parts(run: RunFolder, name: str) -> int:
    return len(run.trajectory_parts()) if name == "trajectories" else 0


def _count_samples(run: RunFolder, read: Reader) -> tuple[Counter[str], int]:
    """Verdicts of the fresh samples, and tokens of everything that was generated."""
    verdicts: Counter[str] = Counter()
    tokens = 0
    columns = ["parent_id", "verdict", "n_completion_tokens"]
    for path in run.trajectory_parts():
        for row in read.rows(path, columns):
            tokens += row["n_completion_tokens"]
            if row["parent_id"] is None:
                verdicts[row["verdict"]] += 1
    for path in run.tree_parts():
        for row in read.rows(path, ["usage"]):
            tokens += row["usage"]["n_tokens"]
    return verdicts, tokens


def _cached(run: RunFolder, read: Reader) -> int | None:
    """Cache hits of all stretches of sampling: the last line of each."""
    if not run.timeline.is_file():
        return None
    last: dict[tuple[str, int], int] = {}
    text = read.attempt(partial(run.timeline.read_text, encoding="utf-8"), "")
    for line in text.splitlines():
        try:
            found = json.loads(line)
            last[str(found["label"]), int(found["begun"])] = int(found["counts"].get("cached", 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off by a kill
    return sum(last.values())


def _drops(ledger: Ledger) -> tuple[dict[str, Any], ...]:
    of = {
        **accounts(ledger),
        **{f"questions for {name}": account for name, account in ledger.considered.items()},
    }
    found = [
        (n / account.total, {"account": title, "reason": name, "count": n})
        for title, account in of.items()
        for name, n in account.bins.items()
        if n and account.total and name not in _KEPT and title != "leaves of the search trees"
    ]
    found.sort(key=lambda pair: -pair[0])
    return tuple({**drop, "share": share} for share, drop in found[:N_DROPS])


def _made(
    manifest: dict[str, Any], recipe: dict[str, Any], stages: tuple[dict[str, Any], ...]
) -> dict[str, Any]:
    model = _mapping(manifest.get("model") or recipe.get("model"))
    sources = manifest.get("sources") or recipe.get("sources")
    named = [_mapping(s) for s in sources] if isinstance(sources, list) else []
    engine = [_mapping(s.get("notes")).get("engine") for s in stages]
    server = recipe.get("server")
    return {
        "sources": [str(s.get("name") or s.get("hub") or s.get("path")) for s in named],
        "model": model.get("id"),
        "revision": model.get("revision"),
        "engine": next(filter(None, engine), None),
        "server": server.get("mode") if isinstance(server, dict) else server,
        "samples": _mapping(recipe.get("sampling")).get("n"),
        "search": _mapping(recipe.get("search")).get("method"),
        "seed": manifest.get("seed", recipe.get("seed")),
        "begun": manifest.get("begun"),
        "git_commit": manifest.get("git_commit"),
    }


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _state(missing: list[str], held: bool) -> str:
    if held:
        return "a build is at work in it"
    return "whole" if not missing else f"not whole: {', '.join(missing)}"


def _next_build(root: Path, missing: list[str], held: bool) -> str:
    if held:
        return f"butwait inspect {root}  (again, later)"
    if missing:
        return f"butwait build RECIPE  (the one of {root / 'recipe.yaml'}; what is whole is kept)"
    if not (root / "report.html").is_file():
        return f"butwait report {root}"
    return f"butwait push {root} me/{root.name}"
