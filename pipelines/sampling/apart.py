"""One request on many texts, of which some may be too long.

vLLM refuses the whole list for one text beyond the context. The list is then sorted by length and
halved until the texts that fit have their answers, in about log2(n) further requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from typing import TypeVar

from butwait.schemas.errors import RequestRefused

Q = TypeVar("Q")
A = TypeVar("A")
Answers = list[A | RequestRefused]


async def ask_apart(
    items: list[Q],
    ask: Callable[[list[Q]], Awaitable[Answers[A]]],
    measure: Callable[[Q], Sized],
) -> Answers[A]:
    """Ask for all items, and for parts of them where the whole is refused for its length.

    Args:
        items: What to ask for.
        ask: Answers a list of them, one answer an item.
        measure: The part of an item whose length matters.

    Returns:
        One answer an item; a ``context_overflow`` for those that are too long.

    Raises:
        RequestRefused: The whole list was refused for another reason.
    """
    try:
        return await ask(items)
    except RequestRefused as refusal:
        if refusal.reason != "context_overflow":
            raise
        if len(items) == 1:
            return [refusal]
    order = sorted(range(len(items)), key=lambda i: len(measure(items[i])))
    answers: dict[int, A | RequestRefused] = {}
    for half in (order[: len(order) // 2], order[len(order) // 2 :]):
        found = await ask_apart([items[i] for i in half], ask, measure)
        answers.update(zip(half, found, strict=True))
    return [answers[i] for i in range(len(items))]
