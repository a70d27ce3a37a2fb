"""A search tree as an indented outline; equal siblings are one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from butwait.pipelines.places import AnyPath
from butwait.pipelines.run_folder import RunFolder
from butwait.pipelines.tables import read_columns, read_records
from butwait.schemas.errors import ConfigError
from butwait.schemas.tree import SearchTree, TreeNode

_SHOWN_TEXT = 100
_FATES = {"resampled_out": "resampled out", "pruned": "pruned"}


def find_tree(run: Path, question_id: str) -> SearchTree:
    """Find a question's tree in a run.

    Args:
        run: Run folder.
        question_id: Its id, or the start of one that no other question has.

    Raises:
        ConfigError: No trees, no such question, or several.
    """
    parts = _find_parts(run)
    found = [
        (part, place, row["question_id"])
        for part in parts
        for place, row in enumerate(read_columns(part, ["question_id"]))
        if row["question_id"].startswith(question_id)
    ]
    if not found:
        first = next(read_columns(parts[0], ["question_id"]), {"question_id": "none"})
        raise ConfigError(
            f"no question of {run} begins with {question_id!r}; its first is {first['question_id']}"
        )
    if len(found) > 1 and all(found_id != question_id for _, _, found_id in found):
        names = ", ".join(found_id for _, _, found_id in found[:3])
        raise ConfigError(f"{len(found)} questions begin with {question_id!r}: {names} ...")
    part, place, _ = found[0]
    return next(t for i, t in enumerate(read_records(part, SearchTree)) if i == place)


def _find_parts(run: Path) -> list[AnyPath]:
    parts = RunFolder(run).tree_parts()
    if not parts:
        raise ConfigError(
            f"{run} holds no search trees; a recipe with a 'search' section makes them"
        )
    return parts


def list_trees(run: Path) -> Iterator[str]:
    """Yield one line a question: id, outcome, answer.

    Raises:
        ConfigError: No trees.
    """
    for part in _find_parts(run):
        for tree in read_records(part, SearchTree):
            verdicts = Counter(leaf.verdict for leaf in tree.leaves())
            leaves = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common())
            yield f"{tree.question_id}  {_tell_answer(tree)}  leaves: {leaves or 'none'}"


@dataclass
class _Line:
    """Equal siblings."""

    text: str
    nodes: list[TreeNode] = field(default_factory=list)
    below: dict[str, _Line] = field(default_factory=dict)


def summary(tree: SearchTree, width: int = _SHOWN_TEXT) -> Iterator[str]:
    """Yield what a search came to: its cost, its answer and the votes."""
    usage = tree.usage
    yield (
        f"{tree.question_id}  {tree.method}, budget {tree.budget}: {usage.n_samples} solutions "
        f"begun, {usage.n_steps} steps, {usage.n_tokens} tokens, {usage.n_scored} scored"
    )
    yield f"policy {tree.model}, scored by {tree.prm or 'nobody'}"
    yield f"answer: {_tell_answer(tree)}"
    for vote in tree.votes:
        yield f"  {vote.weight:6.1%}  {vote.n:4d} x  {shorten(vote.answer, width)}"


def outline(tree: SearchTree, *, every: bool = False, width: int = _SHOWN_TEXT) -> Iterator[str]:
    """Yield the summary and a line for every step.

    Args:
        tree: The tree.
        every: One line a node instead of one for equal siblings.
        width: Characters of a step that are shown.
    """
    yield from summary(tree, width)
    yield from _write(_merge(tree, every), tree, "", width)


def _merge(tree: SearchTree, every: bool) -> dict[str, _Line]:
    roots: dict[str, _Line] = {}
    lines: list[_Line] = []
    for node in tree.nodes:
        siblings = roots if node.parent is None else lines[node.parent].below
        key = f"{node.id} {node.text}" if every else node.text.strip()
        line = siblings.setdefault(key, _Line(node.text))
        line.nodes.append(node)
        lines.append(line)
    return roots


def _write(siblings: dict[str, _Line], tree: SearchTree, indent: str, width: int) -> Iterator[str]:
    # No recursion: a tree may be a thousand steps deep.
    stack = [(line, indent, i == 0) for i, line in enumerate(reversed(siblings.values()))]
    while stack:
        line, before, is_last = stack.pop()
        yield f"{before}{'└─' if is_last else '├─'} {_tell(line, tree, width)}"
        deeper = before + ("   " if is_last else "│  ")
        stack.extend((x, deeper, i == 0) for i, x in enumerate(reversed(line.below.values())))


def _tell(line: _Line, tree: SearchTree, width: int) -> str:
    scores = [n.score for n in line.nodes if n.score is not None]
    score = f"{max(scores):.3f}" if scores else "  -  "
    times = f" x{len(line.nodes)}" if len(line.nodes) > 1 else ""
    told = Counter(text for node in line.nodes if (text := _tell_fate(node)))
    fates = ", ".join(f"{n} {text}" if len(line.nodes) > 1 else text for text, n in told.items())
    chosen = any(node.id == tree.selected for node in line.nodes)
    end = f"  [{fates}]" if fates else ""
    return f"{score}  {shorten(line.text, width)}{times}{end}{'  <- chosen' if chosen else ''}"


def _tell_fate(node: TreeNode) -> str:
    match node.fate:
        case "continued":
            return ""
        case "finished":
            return node.verdict or (node.extracted and f"answers {node.extracted}") or "finished"
        case "cut":
            return f"cut: {node.cut}"
        case fate:
            return _FATES[fate]


def _tell_answer(tree: SearchTree) -> str:
    if tree.selected is None:
        return "none"
    leaf = tree.nodes[tree.selected]
    verdict = f" ({leaf.verdict})" if leaf.verdict else ""
    weight = f", weight {tree.answer.weight:.3f}" if tree.answer else ""
    return f"{shorten(leaf.extracted or 'no answer', 60)}{verdict}{weight}"


def shorten(text: str, width: int) -> str:
    """One line without control characters: model output may hold terminal escapes."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: width - 1] + "…"
