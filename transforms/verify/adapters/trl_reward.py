"""A reward function for TRL's ``GRPOTrainer`` and ``RLOOTrainer``: is the final answer right?

    GRPOTrainer(model, reward_funcs=accuracy_reward("answer"), ...)

Imports neither TRL nor torch: the trainers call any callable with lists. Departs from the reward
of the same name in TRL: what is not the model's doing is None instead of 0, and nothing depends on
the main thread. Leaves out: rewards for format or length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from butwait.schemas.errors import ConfigError
from butwait.schemas.verdict import VERDICT_NAMES, Verdict
from butwait.transforms.verify import DEFAULT, AnswerType, Check, Limits
from butwait.transforms.verify.adapters.outcome import is_scored, list_golds, verify_any

Completion = str | Sequence[Mapping[str, Any]]
# What the trainers pass beside the data set's columns.
_NOT_COLUMNS = frozenset({"trainer_state", "environments"})


@dataclass(frozen=True)
class AccuracyReward:
    """A reward function; make one with ``accuracy_reward``, which explains the fields.

    An object and not a closure: TRL's asynchronous trainers pickle reward functions.
    """

    gold_column: str
    problem_column: str | None
    correct: float
    incorrect: float
    no_answer: float | None
    truncated: float | None
    max_completion_length: int | None
    prefix: str
    answer_type: AnswerType | None
    tolerance: float | None
    limits: Limits
    name: str

    @property
    def __name__(self) -> str:
        """The name under which TRL logs the reward."""
        return self.name

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Rewards of completions, one each; None where there is nothing to reward or punish.

        Args:
            prompts: Not used.
            completions: Texts, or lists of messages of which the assistant's last one counts.
            completion_ids: Token ids of each completion.
            log_extra: TRL's; gets each completion's verdict, rule and extracted answer.
            log_metric: TRL's; gets the share of every verdict in the batch.
            columns: The data set's other columns, as lists.

        Raises:
            ConfigError: The data set has no such column.
        """
        golds = self._column(columns, self.gold_column)
        problems: Sequence[Any] = [None] * len(completions)
        if self.problem_column is not None:
            problems = self._column(columns, self.problem_column)
        groups = [
            self._checks(completion_text(completion, self.prefix), gold, problem, cut)
            for completion, gold, problem, cut in zip(
                completions, golds, problems, self._cut(completions, completion_ids), strict=True
            )
        ]
        verdicts = verify_any(groups, self.limits)
        if log_metric is not None:
            self._log_shares(verdicts, log_metric)
        if log_extra is not None:
            log_extra(f"{self.name}/verdict", [verdict.verdict for verdict in verdicts])
            log_extra(f"{self.name}/rule", [verdict.rule for verdict in verdicts])
            log_extra(f"{self.name}/extracted", [verdict.extracted for verdict in verdicts])
        return [self.reward(verdict) for verdict in verdicts]

    def reward(self, verdict: Verdict) -> float | None:
        """The reward of one verdict; None for what is not the model's doing."""
        if not is_scored(verdict):
            return None
        if verdict.verdict == "correct":
            return self.correct
        if verdict.verdict == "incorrect":
            return self.incorrect
        return self.truncated if verdict.verdict == "truncated" else self.no_answer

    def _column(self, columns: Mapping[str, Any], name: str) -> Sequence[Any]:
        if name in columns:
            column: Sequence[Any] = columns[name]
            return column
        there = ", ".join(sorted(columns.keys() - _NOT_COLUMNS)) or "none"
        raise ConfigError(
            f"{self.name}: the data set passes no column {name!r} to the reward (it passes: "
            f"{there}); name another one, or set remove_unused_columns=False"
        )

    def _cut(
        self, completions: Sequence[Completion], ids: Sequence[Sequence[int]] | None
    ) -> list[bool]:
        longest = self.max_completion_length
        if longest is None or ids is None:
            return [False] * len(completions)
        return [len(tokens) >= longest for tokens in ids]

    def _checks(self, text: str, gold: object, problem: str | None, cut: bool) -> list[Check]:
        stopped = "length" if cut else None
        kind = (self.answer_type, self.tolerance)
        return [Check(one, text, problem, "trace", *kind, stopped) for one in list_golds(gold)]

    def _log_shares(self, verdicts: Sequence[Verdict], log: Callable[[str, float], None]) -> None:
        # Every verdict every time: TRL averages a metric over the processes and steps that log it.
        found = [verdict.verdict for verdict in verdicts]
        for name in VERDICT_NAMES:
            log(f"verdicts/{self.name}/{name}", found.count(name) / max(len(found), 1))


def accuracy_reward(
    gold_column: str = "solution",
    *,
    problem_column: str | None = None,
    correct: float = 1.0,
    incorrect: float = 0.0,
    no_answer: float | None = 0.0,
    truncated: float | None = None,
    max_completion_length: int | None = None,
    prefix: str = "",
    answer_type: AnswerType | None = None,
    tolerance: float | None = None,
    limits: Limits = DEFAULT,
    name: str = "accuracy_reward",
) -> AccuracyReward:
    """Make a reward function for ``GRPOTrainer(reward_funcs=...)``.

    Args:
        gold_column: Column with the gold answers: bare, or a solution whose last box holds it; a
            list of several means that any one of them will do.
        problem_column: Column with the questions' texts, whose options connect a choice letter
            with a value; None for none.
        correct: Reward of an answer shown equal.
        incorrect: Reward of one shown different.
        no_answer: Reward of a completion that ends without an answer, or hedges or withdraws it.
        truncated: Reward of one that stops inside its thought, its box, or at the length limit
            without an answer. None leaves it out of the gradient.
        max_completion_length: The trainer's; a completion of that many tokens counts as cut.
        prefix: Put before every completion: ``"<think>"`` where the chat template already opened
            the thought, so that an unfinished thought is not read as an answer.
        answer_type: What every gold answer is, where notation leaves that open; None to infer it.
        tolerance: Largest relative difference of two equal numbers; None for exact equality.
        limits: Bounds of each check.
        name: The name in TRL's logs; two rewards of one trainer need two names.

    Returns:
        A callable that gives one reward a completion, and None (TRL leaves that completion out)
        for an unusable gold answer, a timeout, an error, or a comparison that stays undecided.

    >>> reward = accuracy_reward("answer")
    >>> reward(["6 / 2 = ?"] * 2, ["The answer is 3.", "The answer is 4."], answer=[3, 3])
    [1.0, 0.0]
    """
    return AccuracyReward(
        gold_column=gold_column,
        problem_column=problem_column,
        correct=correct,
        incorrect=incorrect,
        no_answer=no_answer,
        truncated=truncated,
        max_completion_length=max_completion_length,
        prefix=prefix,
        answer_type=answer_type,
        tolerance=tolerance,
        limits=limits,
        name=name,
    )


def completion_text(completion: Completion, prefix: str = "") -> str:
    """The text of a completion: itself, or the content of the assistant's last message.

    Where TRL has split a thought off (``reasoning_content``, ``thinking``), the content follows it
    and takes no prefix.

    >>> completion_text([{"role": "assistant", "content": "5"}], "<think>")
    '<think>5'
    """
    if isinstance(completion, str):
        return prefix + completion
    said = [message for message in completion if message.get("role", "assistant") == "assistant"]
    if not said:
        return ""
    content = _plain(said[-1].get("content"))
    has_thought = said[-1].get("reasoning_content") or said[-1].get("thinking")
    return content if has_thought else prefix + content


def _plain(content: object) -> str:
    """Content as text: TRL passes lists of blocks for models that also see images."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    blocks = [block for block in content if isinstance(block, Mapping)]
    return "".join(str(block["text"]) for block in blocks if block.get("type") == "text")
