"""The commands that one begins with: ``doctor`` and ``recipes``."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from butwait.pipelines.cli_help import make_app
from butwait.pipelines.terminal import find_cache, say

app = make_app()
recipes_app = make_app(
    help="Recipes to begin with: list them, show one, write a new one from a template.\n\n"
    "Example: butwait recipes new my-dataset"
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Shelf = Annotated[Path, typer.Option("--folder", help="Folder of recipes of your own.")]


@app.command()
def doctor(
    cache: Annotated[str | None, typer.Option(metavar="PLACE", help="Completion cache.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the Hub.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what this machine has and lacks, with the commands that install it.

    Python, packages, vLLM and its device, GPU memory, disk, cache, Hub login. Takes some seconds,
    because vLLM is asked what it would run on. Exit code 1 where something is missing.

    \b
    Examples:
      butwait doctor
      butwait doctor --offline
      butwait doctor --json
    """
    from butwait.pipelines.doctor import describe, examine

    found = []
    endpoint = os.environ.get("HF_ENDPOINT")
    for finding in examine(find_cache(cache), out, endpoint=endpoint, is_online=not offline):
        found.append(finding)
        if not as_json:
            for line in describe(finding):
                print(line, flush=True)  # noqa: T201
    missing = [finding.name for finding in found if finding.state == "missing"]
    if as_json:
        print(json.dumps([finding.model_dump() for finding in found], indent=1))  # noqa: T201
    elif missing:
        say(f"missing: {', '.join(missing)}")
    if missing:
        raise typer.Exit(1)


@recipes_app.command("list")
def list_(folder: Shelf = Path("recipes"), as_json: AsJson = False, debug: Debug = False) -> None:
    """List the templates, and the recipes below a folder.

    \b
    Examples:
      butwait recipes list
      butwait recipes list --folder recipes/redhat
      butwait recipes list --json
    """
    from butwait.pipelines.recipe_shelf import list_recipes

    listed = list(list_recipes(folder))
    if as_json:
        print(json.dumps([one.model_dump() for one in listed], indent=1))  # noqa: T201
        return
    width = max(len(one.name) for one in listed)
    columns = shutil.get_terminal_size((160, 24)).columns
    for one in listed:
        line = f"{one.name:{width}}  {one.command:10}  {one.about}"
        print(line if len(line) <= columns else line[: columns - 1] + "…")  # noqa: T201


@recipes_app.command()
def show(
    name: Annotated[str, typer.Argument(help="A template's name, or a recipe's path or name.")],
    folder: Shelf = Path("recipes"),
    debug: Debug = False,
) -> None:
    """Print a recipe with its comments.

    \b
    Examples:
      butwait recipes show build
      butwait recipes show quickstart
      butwait recipes show recipes/search.yaml
    """
    from butwait.pipelines.recipe_shelf import find_recipe

    print(find_recipe(name, folder).read_text(encoding="utf-8"), end="")  # noqa: T201


@recipes_app.command()
def new(
    path: Annotated[Path, typer.Argument(help="File to write, e.g. my-dataset.yaml.")],
    template: Annotated[
        str, typer.Option("--from", help="Template: `butwait recipes list` names them.")
    ] = "build",
    debug: Debug = False,
) -> None:
    """Write a new recipe from a template with comments; an existing file is kept.

    \b
    Examples:
      butwait recipes new my-dataset
      butwait recipes new my-search --from search
      butwait recipes new my-model --from sft
    """
    from butwait.pipelines.recipe_shelf import write_new

    written = write_new(path, template)
    say(f"{written} written: read its comments, then run the command in its first lines")
