"""What the README and the pages say is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from butwait.pipelines.cli import app
from butwait.pipelines.recipe_file import check_recipe


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_folder_of_the_annotated_tree_exists_and_none_is_left_out(root: Path) -> None:
    readme = (root / "README.md").read_text()
    tree = readme.split("## The house")[1].split("##")[0]
    named = set(re.findall(r"^    ([a-z]+)/ ", tree, re.MULTILINE))
    assert all((root / name).is_dir() for name in named)
    code = {p.parent.name for p in root.glob("*/__init__.py")}
    assert code <= named


def test_every_link_between_pages_leads_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *root.glob("docs/*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_butwait_command_in_the_pages_exists(root: Path) -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    for page in [*root.glob("*.md"), *root.glob("docs/*.md")]:
        for block in fenced(page.read_text(), "sh"):
            for name in re.findall(r"^butwait ([a-z]+)", block, re.MULTILINE):
                assert name in known, f"{page.name}: butwait {name}"


def test_the_readmes_recipe_is_valid(root: Path) -> None:
    [recipe] = fenced((root / "README.md").read_text(), "yaml")
    assert check_recipe(yaml.safe_load(recipe), "README").name == "my-dataset"


def test_the_recipe_reference_is_what_the_models_say(root: Path) -> None:
    from butwait.pipelines.recipe_reference import render_reference

    said = (root / "docs" / "recipes.md").read_text()
    assert said == render_reference(), "write it anew with `make docs`"


def test_every_recipe_key_has_a_meaning() -> None:
    from butwait.pipelines.recipe_reference import SECTIONS, describe_fields

    silent = [
        f"{model.__name__}.{name}"
        for _, model in SECTIONS
        for name in model.model_fields
        if not describe_fields(model).get(name)
    ]
    assert silent == []


def test_every_make_target_in_the_pages_exists(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    for page in [*root.glob("*.md"), *root.glob("docs/*.md")]:
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert name in targets, f"{page.name}: make {name}"


@pytest.mark.parametrize(
    "pattern",
    [
        r"/(?:root|work|home)/[a-z]",
        r"https?://(?!127\.0\.0\.1|localhost)[^\s)\"'>`]*(?:pypi|simple|whl)",
    ],
)
def test_no_file_names_a_path_of_a_machine_or_a_package_registry(root: Path, pattern: str) -> None:
    found = []
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if not path.is_file() or {"runs", "build", "data"} & set(parts) or parts[0][0] == ".":
            continue
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".in", ".cfg"}:
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path.relative_to(root)}: {m[0]}" for m in re.finditer(pattern, text)]
    assert [f for f in found if "test_docs.py" not in f] == []
