"""The ``butwait cache`` commands: what is in it, what to forget, why something was not in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import find_cache, say
from butwait.schemas.errors import ConfigError

app = make_app(
    help="Look into the completion cache, prune it, explain a miss.\n\n"
    "Example: butwait cache stats",
)

CachePlace = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Completion cache: a file, or postgresql://user@host/database "
        "(default: BUTWAIT_CACHE or ~/.cache/butwait).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command()
def stats(cache: CachePlace = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show what the cache holds: entries, bytes, first and last, by table and model.

    Every entry is looked at, which takes a second for some hundred thousand.

    \b
    Examples:
      butwait cache stats
      butwait cache stats --cache postgresql://me@db/butwait --json
    """
    from butwait.pipelines.cache.passwords import hide_password
    from butwait.pipelines.cache.place import open_existing
    from butwait.pipelines.cache.upkeep import list_held

    place = find_cache(cache)
    opened = open_existing(place)
    held, n_bytes = list_held(opened), opened.database.n_bytes()
    opened.close()
    shown = hide_password(str(place))
    if as_json:
        records = [h.record for h in held]
        print(json.dumps({"cache": shown, "bytes": n_bytes, "held": records}))  # noqa: T201
        return
    total = sum(h.entries for h in held)
    print(f"{shown}: {total:,} entries, {_size(n_bytes)} on disk")  # noqa: T201
    for h in held:
        record = h.record
        days = " to ".join(sorted({str(record[k])[:10] for k in ("oldest", "newest")}))
        model = h.model or "(not told)"
        print(f"  {h.table:11}  {h.entries:>11,}  {_size(h.bytes):>9}  {days}  {model}")  # noqa: T201


@app.command()
def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Forget what was not used for so long: 30d.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="Forget what a model said.")
    ] = None,
    keep_gb: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="N", help="Forget what was used least lately, keep N GB."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cache: CachePlace = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Forget entries, and give their space back where nobody else has the cache open.

    A build may go on meanwhile: what it misses it samples again. Days of use are kept for the
    samples of a question together; entries of a version that kept none go first with --keep-gb.

    \b
    Examples:
      butwait cache prune --older-than 30d --dry-run
      butwait cache prune --model Qwen/Qwen2.5-Math-1.5B --yes
      butwait cache prune --keep-gb 20
    """
    from butwait.pipelines.cache.place import open_existing
    from butwait.pipelines.cache.upkeep import GB, Rule, read_age
    from butwait.pipelines.cache.upkeep import prune as forget

    if sum(value is not None for value in (older_than, model, keep_gb)) != 1:
        raise ConfigError("prune needs one of --older-than, --model and --keep-gb")
    rule = Rule(
        older_than_days=None if older_than is None else read_age(older_than),
        model=model,
        keep_bytes=None if keep_gb is None else int(keep_gb * GB),
    )
    opened = open_existing(find_cache(cache))
    found = forget(opened, rule, dry_run=True)
    what = f"{found.entries:,} entries, {_size(found.bytes)}"
    left = None
    if not dry_run and found.entries:
        if not yes and not _agrees(f"forget {what}?"):
            raise ConfigError(f"nothing was forgotten; --yes forgets {what} without a question")
        found = forget(opened, rule)
        left = opened.database.compact()
    opened.close()
    if as_json:
        record = {"entries": found.entries, "bytes": found.bytes, "dry_run": dry_run}
        print(json.dumps(record))  # noqa: T201
    else:
        verb = "would forget" if dry_run else "forgot"
        print(f"{verb} {found.entries:,} entries, {_size(found.bytes)}")  # noqa: T201
    if left is not None:
        say(left)


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/quickstart.")],
    row: Annotated[
        str, typer.Argument(help="Id of a row, a trajectory or a question, or its beginning.")
    ],
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe to ask with; default: the run's own.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key; repeatable."),
    ] = None,
    cache: CachePlace = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say why the samples behind a row are in the cache, or which field of the key changed.

    Nothing is sampled and nothing stored. A continuation is asked for after the sample that the
    run has; steps of searches are left out.

    \b
    Examples:
      butwait cache explain runs/quickstart q0031
      butwait cache explain runs/quickstart q0031 --set sampling.temperature=0.7
      butwait cache explain runs/quickstart q0031 --recipe recipes/quickstart.yaml
    """
    from butwait.pipelines.cache.place import open_existing
    from butwait.pipelines.explain_samples import describe
    from butwait.pipelines.explain_samples import explain as explain_samples

    opened = open_existing(find_cache(cache))
    findings, remark = explain_samples(run, row, opened, recipe, set_ or ())
    opened.close()
    if remark is not None:
        say(remark)
    if as_json:
        print(json.dumps([finding.record for finding in findings], ensure_ascii=False))  # noqa: T201
        return
    for line in describe(findings):
        print(line)  # noqa: T201


def _agrees(question: str) -> bool:
    return sys.stdin.isatty() and typer.confirm(question, err=True)


def _size(n_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} B"
