r"""What a rollout is worth: the verifier's verdict, its layout, its length.

The only module of the trainer that knows the verifier. A rollout whose verdict is not about the
policy (an unusable gold answer, a check out of time, an error, a comparison left open) has None
for every reward: TRL leaves it out of its group's mean and deviation and gives it advantage 0.
Departs from TRL's rewards: rollouts are read from their tokens, because TRL drops special tokens
from its texts, and thought markers may be such.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from butwait.schemas.recipe_grpo import FormatName, LengthSpec, RewardsSpec
from butwait.transforms.verify import Limits, canonical
from butwait.transforms.verify.adapters.outcome import list_golds
from butwait.transforms.verify.adapters.trl_reward import accuracy_reward
from butwait.transforms.verify.pool import shared_pool

LAYOUTS: dict[FormatName, tuple[str, ...]] = {
    "boxed": (),
    "think_boxed": ("<think>", "</think>"),
    "thinking_answer": ("<thinking>", "</thinking>", "<answer>", "</answer>"),
    "bespoke": (
        "<|begin_of_thought|>",
        "<|end_of_thought|>",
        "<|begin_of_solution|>",
        "<|end_of_solution|>",
    ),
}
"""Markers of each layout in order; a test compares them with the renderers'."""
_BOX = re.compile(r"\\(?:boxed|fbox)\s?\{")

RewardFunction = Callable[..., list[float | None]]


def format_reward(text: str, layout: FormatName) -> float:
    r"""Whether a rollout has a layout: 1 or 0.

    Args:
        text: The whole rollout; with the thought's marker where the prompt opened it.
        layout: Its markers must stand once each, in order, the first one at the start, and a
            closed box after the thought; nothing may stand beside a solution that has markers.

    >>> format_reward(r"<think>2 + 2</think> So \boxed{4}.", "think_boxed")
    1.0
    >>> format_reward(r"2 + 2</think> So \boxed{4}.", "think_boxed")
    0.0
    >>> format_reward(r"<thinking>\boxed{4}</thinking><answer>4</answer>", "thinking_answer")
    0.0
    >>> format_reward(r"It is \boxed{\frac{1}{2}}", "boxed"), format_reward(r"\boxed{4", "boxed")
    (1.0, 0.0)
    """
    parts = [text]
    for marker in LAYOUTS[layout]:
        before, found, after = parts.pop().partition(marker)
        if not found or marker in after:
            return 0.0
        parts += [before, after]
    # Before the thought, (thought), between, (solution), after: what must hold no word.
    beside = [parts[i] for i in range(0, len(parts) - 1, 2)]
    if len(parts) == 5:
        beside.append(parts[-1])
    if any(part.strip() for part in beside):
        return 0.0
    solution = parts[3] if len(parts) == 5 else parts[-1]
    return float(_has_box(solution))


def _has_box(text: str) -> bool:
    """Whether a text's last box is closed and not empty."""
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return False
    start = boxes[-1].end()
    depth = 1
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return bool(text[start:end].strip())
    return False


def length_reward(n_tokens: int, longest: int, correct: bool, spec: LengthSpec) -> float:
    """The reward of a rollout's length.

    Args:
        n_tokens: Tokens of the rollout, without the end token.
        longest: ``max_completion_length``; a rollout of as many was cut.
        correct: Whether its answer is right.
        spec: The curve and its ends.

    Source: arXiv 2502.03373, section 4 (``cosine``); ``linear`` is a straight line.

    >>> spec = LengthSpec()
    >>> [length_reward(n, 100, True, spec) for n in (0, 50, 100)]
    [1.0, 0.75, -1.0]
    >>> length_reward(25, 100, True, LengthSpec(kind="linear"))
    0.875
    >>> length_reward(50, 100, False, spec)
    -0.75
    """
    if n_tokens >= longest:
        return spec.cut
    short, long = spec.correct if correct else spec.wrong
    share = n_tokens / longest
    if spec.kind == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    return short + (long - short) * share


@dataclass(frozen=True)
class Reader:
    """Reads a rollout's tokens.

    Args:
        decode: Tokens to text, special tokens kept.
        ends: Tokens that end a turn, and padding.
        opened: Marker of a thought that the prompt has opened; empty where it has not.
    """

    decode: Callable[[list[int]], str]
    ends: frozenset[int]
    opened: str = ""

    def strip(self, ids: Sequence[int]) -> list[int]:
        """Take the end tokens off: a rollout that was cut has none, and keeps its length."""
        n = len(ids)
        while n and ids[n - 1] in self.ends:
            n -= 1
        return list(ids[:n])

    def read(self, ids: Sequence[int]) -> str:
        """The text of stripped tokens, with the marker that the prompt holds."""
        return self.opened + self.decode(list(ids))


def make_reader(tokenizer: Any, ends: set[int]) -> Reader:
    """Make the reader of a tokenizer whose chat template may open the thought."""
    ask = [{"role": "user", "content": "1 + 1?"}]
    prompt = tokenizer.apply_chat_template(ask, tokenize=False, add_generation_prompt=True)
    begins = {markers[0] for markers in LAYOUTS.values() if markers}
    opened = next((marker for marker in begins if prompt.rstrip().endswith(marker)), "")
    known = ends | {tokenizer.eos_token_id, tokenizer.pad_token_id}
    return Reader(
        lambda ids: str(tokenizer.decode(ids, skip_special_tokens=False)),
        frozenset(known - {None}),
        opened,
    )


class Judge:
    """The reward functions of one trainer; TRL calls them in order with the same rollouts.

    Args:
        spec: Weights and what they weigh.
        reader: Reads rollouts.
        longest: ``max_completion_length``.
        problem_column: Column of the questions' texts, if there is one.
    """

    def __init__(
        self, spec: RewardsSpec, reader: Reader, longest: int, problem_column: str | None
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._longest = longest
        self._found: list[float | None] = []
        self._verify = accuracy_reward(
            "answer",
            problem_column=problem_column,
            no_answer=spec.no_answer,
            truncated=spec.truncated,
            max_completion_length=longest,
            limits=Limits(worker_s=spec.worker_s),
            name="accuracy",
        )

    def list_functions(self) -> tuple[list[RewardFunction], list[float]]:
        """Return the functions that have a weight, accuracy first and always, and the weights."""
        spec = self._spec
        more: tuple[tuple[RewardFunction, float], ...] = (
            (self.format, spec.format),
            (self.length, spec.length),
        )
        chosen = [(self.accuracy, spec.accuracy), *(pair for pair in more if pair[1])]
        return [function for function, _ in chosen], [weight for _, weight in chosen]

    def accuracy(
        self, prompts: Sequence[Any], completion_ids: Sequence[Sequence[int]], **columns: Any
    ) -> list[float | None]:
        """Verify answers: 1, 0, or None for what is no finding about the policy."""
        columns.pop("completions", None)
        ids = [self._reader.strip(one) for one in completion_ids]
        lost = shared_pool().n_lost
        self._found = self._verify(prompts, [self._reader.read(one) for one in ids], ids, **columns)
        if log_metric := columns.get("log_metric"):
            log_metric("verifier/workers_lost", float(shared_pool().n_lost - lost))
        return self._found

    def format(self, completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
        """Reward the layout."""
        texts = [self._reader.read(self._reader.strip(one)) for one in completion_ids]
        return self._leave_out([format_reward(text, self._spec.layout) for text in texts])

    def length(self, completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
        """Reward the length."""
        spec = self._spec.length_reward
        return self._leave_out(
            [
                length_reward(len(self._reader.strip(ids)), self._longest, found == 1.0, spec)
                for ids, found in zip(completion_ids, self._found, strict=True)
            ]
        )

    def _leave_out(self, rewards: list[float]) -> list[float | None]:
        """No reward for what has no accuracy: TRL would rank it by the other rewards."""
        return [
            None if found is None else reward
            for reward, found in zip(rewards, self._found, strict=True)
        ]


def is_usable(answer: object) -> bool:
    """Whether an answer can be checked against, so that its question is worth a rollout.

    >>> is_usable("1/2"), is_usable("proof"), is_usable(None)
    (True, False, False)
    """
    return any(canonical(gold) is not None for gold in list_golds(answer))
