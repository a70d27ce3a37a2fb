"""What reward models' servers answer, read without trust: no connection here.

Shapes are those of vLLM 0.32. A reply that is no such shape as a whole is a ``bad_reply`` (worth
another attempt); a text whose own part is wrong is a ``bad_score`` of that text alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from butwait.pipelines.sampling.wire import shorten
from butwait.schemas.errors import RequestRefused

T = TypeVar("T")
ROUNDING = 1e-4
"""How far above 0 a log-probability may be by rounding."""
LEAST = -1e30
"""Below it is no log-probability (vLLM writes -9999 for minus infinity)."""


def read_rewards(row: object, n_steps: int) -> tuple[float, ...]:
    """Read one text's part of a ``/pooling`` reply: the probability of class 1 at each step token.

    >>> read_rewards([[0.25, 0.75], [0.5, 0.5]], 2)
    (0.75, 0.5)

    Raises:
        RequestRefused: ``bad_score``.
    """
    if not isinstance(row, list) or len(row) != n_steps:
        seen = f"{len(row)} rewards" if isinstance(row, list) else shorten(repr(row), 80)
        raise RequestRefused("bad_score", f"{seen} for {n_steps} steps")
    return tuple(_read_class(pair, f"step {i + 1}") for i, pair in enumerate(row))


def read_outcome(row: object) -> tuple[float, ...]:
    """Read one text's part of a ``/classify`` reply: one label's, or the last of several.

    Raises:
        RequestRefused: ``bad_score``.
    """
    if not isinstance(row, list) or not row:
        raise RequestRefused("bad_score", f"no probabilities but {shorten(repr(row), 80)}")
    return (check_reward(row[-1], "the solution"),)


def read_mark(choice: dict[str, Any], good: int, bad: int) -> float:
    """Read the probability of the good mark against the bad one at the next token.

    Raises:
        RequestRefused: ``bad_score``.
    """
    try:
        found = choice["logprobs"]["top_logprobs"][0]
        gap = float(found[f"token_id:{bad}"]) - float(found[f"token_id:{good}"])
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        shown = shorten(repr(choice.get("logprobs")), 120)
        raise RequestRefused("bad_score", f"marks {good} and {bad} are not in {shown}") from error
    if not math.isfinite(gap):
        raise RequestRefused("bad_score", f"log-probabilities {gap} apart")
    return 1.0 / (1.0 + math.exp(gap)) if gap < 700.0 else 0.0


def read_log_probs(choice: dict[str, Any], tokens: Sequence[int]) -> list[float | None]:
    """Read every prompt token's log-probability; None for the first, which has none.

    Raises:
        RequestRefused: ``bad_score``: the reply is of other tokens, or no log-probability.
    """
    rows = choice.get("prompt_logprobs")
    if not isinstance(rows, list) or len(rows) != len(tokens):
        seen = len(rows) if isinstance(rows, list) else shorten(repr(rows), 60)
        raise RequestRefused("bad_score", f"{len(tokens)} tokens, log-probabilities of {seen}")
    return [_read_log_prob(row, token) for row, token in zip(rows, tokens, strict=True)]


def check_reward(value: object, where: str) -> float:
    """Return a reward that is a number in [0, 1].

    Raises:
        RequestRefused: ``bad_score``.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0:
        return float(value)
    shown = shorten(repr(value), 60)
    raise RequestRefused("bad_score", f"{shown} is no number from 0 to 1 ({where})")


def check_log_prob(value: object, where: str) -> float:
    """Return a log-probability that is a finite number not above 0.

    Raises:
        RequestRefused: ``bad_score``.
    """
    if isinstance(value, int | float) and LEAST <= value <= ROUNDING and value is not False:
        return min(0.0, float(value))
    shown = shorten(repr(value), 60)
    raise RequestRefused("bad_score", f"{shown} is no log-probability ({where})")


def read_rows(
    reply: object, n_texts: int, rows: str, field: str, read: Callable[[int, Any], T]
) -> list[T | RequestRefused]:
    """Read a reply on several texts, one row a text.

    Args:
        reply: Parsed JSON.
        n_texts: Texts that were sent.
        rows: Name of the list of rows (``data``, ``choices``).
        field: Field of a row that ``read`` is given; empty: the row itself.
        read: Reads text i's part; its ``bad_score`` is that text's alone.

    Raises:
        RequestRefused: ``bad_reply``: not one row a text, in order of their indices.
    """
    found = reply.get(rows) if isinstance(reply, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise RequestRefused("bad_reply", f"no {rows!r} in {shorten(repr(reply), 120)}")
    by_index = {row.get("index"): row for row in found if isinstance(row.get("index"), int)}
    if len(found) != n_texts or sorted(by_index) != list(range(n_texts)):
        raise RequestRefused("bad_reply", f"{len(found)} rows for {n_texts} texts")
    return [_try_read(read, i, by_index[i], field) for i in range(n_texts)]


def _try_read(
    read: Callable[[int, Any], T], i: int, row: dict[str, Any], field: str
) -> T | RequestRefused:
    try:
        return read(i, row.get(field) if field else row)
    except RequestRefused as refusal:
        return refusal


def _read_class(pair: object, where: str) -> float:
    if not isinstance(pair, list) or len(pair) != 2:
        shown = shorten(repr(pair), 60)
        raise RequestRefused("bad_score", f"{shown} is not of two classes ({where})")
    return check_reward(pair[1], where)


def _read_log_prob(row: object, token: int) -> float | None:
    if row is None:
        return None
    found = row.get(str(token)) if isinstance(row, dict) else None
    value = found.get("logprob") if isinstance(found, dict) else None
    return check_log_prob(value, f"token {token}")
