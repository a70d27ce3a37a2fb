"""Search trees made by hand, and random ones, for the tests of the transforms that read trees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from handmade import QUESTION_ID
from hypothesis import strategies as st

from butwait.schemas.trajectory import QuestionGroup
from butwait.schemas.tree import SearchTree, TreeNode, Usage

RIGHT_END = "The answer is \\boxed{5}."
WRONG_END = "The answer is \\boxed{6}."
_ENDS = {"correct": ("boxed", RIGHT_END, "5"), "incorrect": ("boxed", WRONG_END, "6")}


def node(
    parent: int | None, text: str, fate: str = "continued", score: float | None = None, **more: Any
) -> dict[str, Any]:
    """One step; ``fate`` may be a verdict, which stands for a finished solution."""
    values: dict[str, Any] = {"parent": parent, "text": text, "fate": fate, "score": score}
    if fate in ("correct", "incorrect", "no_answer"):
        end, _, answer = _ENDS.get(fate, ("end_of_text", "", None))
        values |= {"fate": "finished", "verdict": fate, "end": end, "extracted": answer}
    if fate == "cut":
        values |= {"cut": "max_steps"}
    return {**values, **more}


def make_tree(nodes: Sequence[dict[str, Any]], **changes: Any) -> SearchTree:
    """A search of the question ``What is 2 + 3?``."""
    made: list[TreeNode] = []
    for i, values in enumerate(nodes):
        parent = values["parent"]
        defaults = {
            "id": i,
            "step": 0 if parent is None else made[parent].step + 1,
            "n_tokens": 3,
            "log_prob": -1.0,
            "seed": 1000 + i,
        }
        made.append(TreeNode(**{**defaults, **values}))
    values = {
        "question_id": QUESTION_ID,
        "method": "particle",
        "budget": 8,
        "parameters": "{}",
        "temperature": 0.7,
        "top_p": 0.95,
        "prompt_preset": "qwen",
        "separator": "\n\n",
        "model": "pocket",
        "model_revision": "abc",
        "engine": "vllm",
        "prm": "judge",
        "prm_revision": None,
        "r1_derived": False,
        "verifier_version": "1",
        "nodes": tuple(made),
        "resamplings": (),
        "final": (),
        "final_log_weights": (),
        "selected": None,
        "votes": (),
        "usage": Usage(n_samples=8, n_steps=9, n_tokens=9, n_prompt_tokens=9, n_scored=9),
    }
    return SearchTree(**{**values, **changes})


def make_tree_group(tree: SearchTree | None, **changes: Any) -> QuestionGroup:
    """A question of which nothing is known but its search."""
    values = {"question_id": QUESTION_ID, "samples": (), "continuations": (), "tree": tree}
    return QuestionGroup(**{**values, **changes})


def sum_tree(**changes: Any) -> SearchTree:
    """Two right leaves, two wrong ones, and branches that were resampled out.

    0 Take 2 and 3. ── 1 Add them. ──┬─ 2 It makes 5. ── 3 right
                    │                ├─ 4 It makes 6. ─┬─ 5 wrong
                    │                │                 └─ 6 wrong (The total is 6.)
                    │                └─ 7 It makes 7. (resampled out)
                    ├─ 8 Multiply them. ── 9 It makes 8. (resampled out)
                    └─ 10 Count on from 2. ── 11 right
    12 Is it 23? (resampled out)
    """
    nodes = [
        node(None, "Take 2 and 3.\n\n", score=0.8),
        node(0, "Add them.\n\n", score=0.9),
        node(1, "It makes 5.\n\n", score=0.9),
        node(2, RIGHT_END, "correct", 0.95),
        node(1, "It makes 6.\n\n", score=0.4),
        node(4, WRONG_END, "incorrect", 0.3),
        node(4, "The total is \\boxed{6}.", "incorrect", 0.2),
        node(1, "It makes 7.\n\n", "resampled_out", 0.1),
        node(0, "Multiply them.\n\n", score=0.6),
        node(8, "It makes 8.\n\n", "resampled_out", 0.5),
        node(0, "Count on from 2: 3, 4, 5.\n\n", score=0.7),
        node(10, RIGHT_END, "correct", 0.8),
        node(None, "Is it 23?\n\n", "resampled_out", 0.79),
    ]
    return make_tree(nodes, **changes)


_TAILS = {"correct": RIGHT_END, "incorrect": WRONG_END, "no_answer": "I do not know."}
_SEPARATORS = ("\n\n", "\n", "\n\n## ")


@st.composite
def random_trees(draw: st.DrawFn) -> SearchTree:
    """Trees of few words, so that texts repeat, with any fate, score and separator."""
    separator = draw(st.sampled_from(_SEPARATORS))
    n = draw(st.integers(1, 25))
    parents = [None if i == 0 else draw(st.none() | st.integers(0, i - 1)) for i in range(n)]
    inner = {parent for parent in parents if parent is not None}
    nodes = []
    for i, parent in enumerate(parents):
        word = draw(st.sampled_from(["add", "count", "guess", "take two"]))
        score = draw(st.none() | st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]))
        if i in inner:
            tail = draw(st.sampled_from([separator, separator, separator, "", " \n"]))
            nodes.append(node(parent, f"I {word}.{tail}", score=score))
            continue
        fate = draw(st.sampled_from(["correct", "incorrect", "no_answer", "resampled_out", "cut"]))
        tail = f"\n\n{_TAILS[fate]}" if fate in _TAILS and draw(st.booleans()) else ""
        text = _TAILS[fate] if fate in _TAILS and not tail else f"I {word}.{tail}"
        nodes.append(node(parent, text, fate, score))
    return make_tree(nodes, separator=separator)


def big_tree(n_particles: int = 512, n_steps: int = 40, seed: int = 0) -> SearchTree:
    """A particle filter's tree of about ``n_particles * n_steps`` nodes."""
    rng = np.random.default_rng(seed)
    nodes: list[dict[str, Any]] = []
    standing: list[int | None] = [None] * n_particles
    for step in range(n_steps):
        grown: list[int | None] = []
        for parent in standing:
            text = f"Step {step} says {int(rng.integers(10**6))} and goes on from there.\n\n"
            nodes.append(node(parent, text, score=float(rng.uniform())))
            grown.append(len(nodes) - 1)
        standing = [grown[int(i)] for i in rng.integers(0, n_particles, n_particles)]
        for lost in {*grown} - {*standing}:
            assert lost is not None
            nodes[lost]["fate"] = "resampled_out"
    for i, parent in enumerate(standing):
        verdict = "correct" if i % 2 else "incorrect"
        nodes.append(node(parent, _TAILS[verdict] + f" I am {i}.", verdict, float(rng.uniform())))
    return make_tree(nodes)


def read_parameters(text: str) -> dict[str, Any]:
    """A row's transform parameters."""
    values: dict[str, Any] = json.loads(text)
    return values
