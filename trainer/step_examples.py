"""From labelled steps to tokens: the chat that a search will show, a label at each step's token.

The text is what the scorer of layout ``qwen`` sends (docs/scoring.md): system line and problem in
the model's own template, then each step without the white space at its end, followed by the step
token, tokenized as one string. Some rows are cut after a random step and shown as one step, with
their separators inside: so a search with ``aggregation: model`` shows prefixes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from butwait.schemas.recipe_prm import PrmRecipe
from butwait.trainer.examples import name_row
from butwait.trainer.reward_model import UNLABELLED

QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
CHECKS = {
    "not rendered": "prompt and steps are no texts, or the chat template refuses them",
    "uneven": "not one label a step",
    "bad label": "a label is neither true, false nor null, or a value lies beyond [0, 1]",
    "no label": "no step has a label",
    "odd tokens": "the tokenizer does not read each step token as one token",
    "too long": "more tokens than max_length",
}
"""What is checked of every row, and what it means."""


@dataclass(frozen=True)
class Solution:
    """A row: one solution in steps.

    ``labels`` are probabilities that a step is right, None where nothing is known.
    """

    id: str
    question_id: str
    problem: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    separator: str

    @property
    def is_even(self) -> bool:
        """Whether there is one label a step."""
        return len(self.labels) == len(self.steps)


class StepExample(NamedTuple):
    """Tokens and, for each, the probability of "right so far" or ``UNLABELLED``."""

    input_ids: list[int]
    labels: list[float]


def read_solution(row: Mapping[str, Any], number: int, recipe: PrmRecipe) -> Solution:
    """Read a row; one without ids is named by its number and grouped by its problem.

    Raises:
        TypeError: The prompt or a step is no text.
        ValueError: A label that is none.
    """
    problem, steps = row["prompt"], row["completions"]
    if not isinstance(steps, list | tuple) or not all(
        isinstance(x, str) for x in (problem, *steps)
    ):
        raise TypeError("prompt and steps must be texts")
    labels = _read_labels(row[recipe.label_source])
    return Solution(
        id=name_row(row, number),
        question_id=str(row.get("question_id") or problem),
        problem=problem,
        steps=tuple(steps),
        labels=labels,
        separator=str(row.get("separator") or recipe.separator),
    )


def _read_labels(said: Any) -> tuple[float | None, ...]:
    try:
        labels = tuple(None if x is None else float(x) for x in said)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"no labels: {str(said)[:80]}") from error
    if any(x is not None and not 0.0 <= x <= 1.0 for x in labels):
        raise ValueError("a label beyond [0, 1]")
    return labels


class StepEncoder:
    """Renders and tokenizes solutions for one model.

    Args:
        tokenizer: With chat template and step token.
        recipe: Step token and system line.
    """

    def __init__(self, tokenizer: Any, recipe: PrmRecipe) -> None:
        self._tokenizer = tokenizer
        self._token = recipe.step_token
        self._system = QWEN_SYSTEM if recipe.system is None else recipe.system
        self.step_id = int(tokenizer.convert_tokens_to_ids(recipe.step_token))

    def encode(self, problem: str, steps: Sequence[str]) -> list[int]:
        """Tokenize a problem and consecutive steps, a step token after each.

        Raises:
            ValueError: The template refuses it, or a step token is not read as one token.
        """
        chat = [{"role": "system", "content": self._clean(self._system)}] if self._system else []
        chat.append({"role": "user", "content": self._clean(problem)})
        try:
            head = self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template is somebody's program: it may raise anything
            what = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"the chat template refuses it: {what}") from error
        text = head + "".join(self._clean(step).rstrip() + self._token for step in steps)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def label(self, ids: list[int], labels: Sequence[float | None]) -> StepExample:
        """Put the steps' labels at their tokens."""
        known = iter(UNLABELLED if label is None else label for label in labels)
        return StepExample(ids, [next(known) if i == self.step_id else UNLABELLED for i in ids])

    def encode_steps(self, solution: Solution) -> StepExample:
        """Tokenize a solution with a token after each step."""
        return self.label(self.encode(solution.problem, solution.steps), solution.labels)

    def encode_joined(self, solution: Solution, n_steps: int) -> StepExample:
        """Tokenize the first steps of a solution as one, with one token at the end."""
        whole = solution.separator.join(solution.steps[:n_steps])
        return self.label(
            self.encode(solution.problem, [whole]), solution.labels[n_steps - 1 : n_steps]
        )

    def count_steps(self, ids: Sequence[int]) -> int:
        """Count the step tokens."""
        return sum(i == self.step_id for i in ids)

    def _clean(self, text: str) -> str:
        """Break up a step token that a text brings along: it would be read as a step's end."""
        broken = f"{self._token[:1]} {self._token[1:]}"
        return text.replace(self._token, broken) if len(self._token) > 1 else text


def draw_cut(recipe: PrmRecipe, solution: Solution) -> int | None:
    """Draw after how many steps a row is cut and joined; None: it keeps its step tokens."""
    rng = np.random.default_rng(_hash(f"{recipe.seed} {solution.id}"))
    if rng.random() >= recipe.joined:
        return None
    known = [n for n, label in enumerate(solution.labels, 1) if label is not None]
    return int(rng.choice(known))


def is_held_out(question_id: str, share: float) -> bool:
    """Whether a question is measured on, by its id alone: the same in every run."""
    return _hash(question_id) < share * 2**64


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")


def encode_row(
    encoder: StepEncoder, recipe: PrmRecipe
) -> Callable[[Mapping[str, Any], int], dict[str, Any]]:
    """Make the function that encodes one row and says what is wrong with it."""

    def encode(row: Mapping[str, Any], number: int) -> dict[str, Any]:
        name = name_row(row, number)
        try:
            solution = read_solution(row, number, recipe)
        except TypeError:
            return _describe(name, StepExample([], []), ["not rendered"])
        except ValueError:
            return _describe(name, StepExample([], []), ["bad label"])
        problem = _explain(solution)
        if problem is not None:
            return _describe(name, StepExample([], []), [problem])
        cut = draw_cut(recipe, solution)
        try:
            example = (
                encoder.encode_steps(solution)
                if cut is None
                else encoder.encode_joined(solution, cut)
            )
        except ValueError:
            return _describe(name, StepExample([], []), ["not rendered"])
        problems = []
        if encoder.count_steps(example.input_ids) != (len(solution.steps) if cut is None else 1):
            problems.append("odd tokens")
        if len(example.input_ids) > recipe.max_length:
            problems.append("too long")
        return _describe(name, example, problems)

    return encode


def _explain(solution: Solution) -> str | None:
    if not solution.is_even:
        return "uneven"
    return "no label" if all(label is None for label in solution.labels) else None


def _describe(name: str, example: StepExample, problems: list[str]) -> dict[str, Any]:
    return {
        "id": name,
        "input_ids": example.input_ids,
        "labels": example.labels,
        "problems": problems,
        "n_labels": sum(label != UNLABELLED for label in example.labels),
    }
