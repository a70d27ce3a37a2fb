"""One question answered by a search: the answer, its weight, the votes and what it cost."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from butwait.pipelines.cache import Cache, Place, open_cache
from butwait.pipelines.engines import Engine, OpenEngine
from butwait.pipelines.open_engines import FreshEngines
from butwait.pipelines.recipe_file import check_recipe, read_document
from butwait.pipelines.resolve import identify_policy, plan_search
from butwait.pipelines.search.finish import SearchOutcome
from butwait.pipelines.search.question import SearchPlan
from butwait.pipelines.tree_view import outline, summary
from butwait.schemas.errors import ConfigError, SamplerError
from butwait.schemas.question import Question
from butwait.schemas.recipe import Recipe
from butwait.schemas.tree import SearchTree
from butwait.transforms.problem_text import question_id


@dataclass(frozen=True)
class SolveOptions:
    """What answering needs beside its recipe."""

    base: Path
    """Folder that the recipe's relative paths start from."""
    cache: Place
    api_key: str | None
    say: Callable[[str], None]


def read_solver(path: Path, overrides: list[str], method: str | None, budget: int | None) -> Recipe:
    """Read model, reward model, prompt and search out of a recipe; its rows do not matter.

    Args:
        path: The recipe.
        overrides: ``key=value`` strings, as in a build.
        method: Another method than the recipe's; what the recipe says of its own is then dropped.
        budget: Another budget.

    Raises:
        ConfigError: The recipe's to correct.
    """
    document = read_document(path, overrides, Path.cwd())
    search: dict[str, Any] = dict(document.get("search") or {"method": "particle"})
    if method is not None and method != search.get("method"):
        shared = ("separator", "max_steps", "max_step_tokens", "end_on_box", "max_tokens_total")
        kept = {name: search[name] for name in shared if name in search}
        search = {"method": method, "budget": search.get("budget", 8), **kept}
    if budget is not None:
        search["budget"] = budget
    document["search"] = search
    return check_recipe(document, str(path))


def solve_question(
    problem: str, gold: str | None, recipe: Recipe, options: SolveOptions
) -> SearchTree:
    """Search for the answer to one question.

    Args:
        problem: The question's text.
        gold: Its answer, where it is known: then leaves have verdicts.
        recipe: Of which model, server, prm, sampling, search and seed are read.
        options: Where and with what.

    Raises:
        ConfigError: The recipe's to correct.
        SamplerError: No server, or not one solution was finished.
    """
    if not problem.strip():
        raise ConfigError("the question is empty")
    question = _make_question(problem, gold)
    identity, _ = identify_policy(recipe, options.base)
    plan = plan_search(recipe, options.base)
    assert plan is not None and recipe.model is not None
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="butwait-solve-")))
        engines = FreshEngines(options.base, logs, say=options.say, api_key=options.api_key)
        opened = engines.open(recipe.model, recipe.server, plan.prm)
        endpoint, scorer = stack.enter_context(opened)
        engine = Engine(identity, endpoint=endpoint, scorer=scorer)
        cache = open_cache(options.cache)
        stack.callback(cache.close)

        found = asyncio.run(_search(OpenEngine(engine), plan, cache, question, gold is not None))
    if found.letter is not None:
        raise SamplerError(f"{found.letter.reason}: {found.letter.detail}")
    return found.tree


async def _search(
    opened: OpenEngine, plan: SearchPlan, cache: Cache, question: Question, has_gold: bool
) -> SearchOutcome:
    try:
        return await opened.searcher(plan, cache).search(question, has_gold=has_gold)
    finally:
        await opened.close()


def print_answer(tree: SearchTree, *, as_json: bool, with_tree: bool) -> None:
    """Print answer, weight, vote table and cost, for people or as JSON."""
    if as_json:
        print(json.dumps(describe_answer(tree, with_tree=with_tree), ensure_ascii=False))  # noqa: T201
        return
    for line in outline(tree) if with_tree else summary(tree):
        print(line)  # noqa: T201


def describe_answer(tree: SearchTree, *, with_tree: bool) -> dict[str, Any]:
    """Describe what a search came to, as JSON can hold it."""
    chosen = tree.nodes[tree.selected] if tree.selected is not None else None
    document: dict[str, Any] = {
        "answer": chosen.extracted if chosen else None,
        "weight": tree.answer.weight if tree.answer else None,
        "verdict": chosen.verdict if chosen else None,
        "solution": tree.text(chosen.id) if chosen else None,
        "method": tree.method,
        "budget": tree.budget,
        "votes": [vote.model_dump(mode="json") for vote in tree.votes],
        "usage": tree.usage.model_dump(),
    }
    if with_tree:
        document["tree"] = tree.model_dump(mode="json")
    return document


def _make_question(problem: str, gold: str | None) -> Question:
    return Question(
        id=question_id(problem, "solve"),
        problem=problem,
        gold=gold or "",
        gold_canonical=gold or "",
        gold_from="column",
        solution=None,
        source="solve",
        dataset="solve",
        revision=None,
        licence="unknown",
        row=0,
        r1_derived=False,
    )
