"""From a chat to tokens and labels: what is in the loss, to the character.

A chat is rendered by the target's own template. Each assistant turn, from the end of the generation
prompt to its end token, is in the loss; everything else is not. The text is tokenized in pieces at
the borders of the loss, because at inference the prompt is tokenized alone and the model's own
tokens follow it. Only where a tokenizer does not read pieces back (those that put a blank before
every text) it is tokenized whole, and a token belongs to where it begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

IGNORED = -100
"""Label of a token outside the loss."""
MASKS: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "wrong": frozenset({"wrong_branch"}),
    "wrong_and_transition": frozenset({"wrong_branch", "transition"}),
    "prefix": frozenset({"prefix"}),
}
"""Roles of spans that each ``mask`` keeps outside the loss; ``prefix`` is that of pairs."""


class Chat(NamedTuple):
    """A row as messages, with labelled characters of the last message's content."""

    id: str
    messages: list[dict[str, str]]
    spans: list[Mapping[str, Any]]


@dataclass(frozen=True)
class Example:
    """Tokens of one chat and what is known about them.

    ``labels`` is parallel to ``input_ids``: the token, or ``IGNORED``.
    """

    input_ids: list[int]
    labels: list[int]
    has_thought: bool
    """Whether the last message's text stands whole in the rendered chat."""
    has_end: bool
    """Whether an end token is in the loss."""
    n_straddling: int
    """Tokens that lie across the border of a masked span; they stay outside the loss."""

    @property
    def n_loss(self) -> int:
        """Tokens in the loss."""
        return sum(label != IGNORED for label in self.labels)


class _Turn(NamedTuple):
    """Characters of the rendered chat that one assistant turn takes."""

    start: int
    end: int


class ChatEncoder:
    """Renders and tokenizes chats for one model.

    Args:
        tokenizer: A fast transformers tokenizer with a chat template.
        end_ids: Tokens that end an assistant turn (the generation configuration's).
        mask: A key of ``MASKS``.
    """

    def __init__(self, tokenizer: Any, end_ids: Iterable[int], mask: str = "none") -> None:
        self._tokenizer = tokenizer
        self._end_ids = frozenset(end_ids)
        self._masked_roles = MASKS[mask]

    def encode(self, chat: Chat) -> Example:
        """Tokenize a chat with its labels.

        Raises:
            ValueError: The template does not render the chat, or not turn by turn.
        """
        text = self._render(chat.messages)
        turns = self._find_turns(chat.messages, text)
        content = chat.messages[-1]["content"]
        # After the turn's head: a short text would be found in "<|assistant|>" itself. Before it
        # only where the head already opens the text, as templates do that begin a thought.
        at, shift = _find_content(text, content, turns[-1].start if turns else 0)
        if at < 0 and len(chat.messages) > 1:
            at, shift = _find_content(text, content, len(self._render(chat.messages[:-1])))
        masked = [
            (at + span["start"] - shift, at + span["end"] - shift)
            for span in chat.spans
            if at >= 0 and span["role"] in self._masked_roles
        ]
        ids, places = self._tokenize(text, turns)
        labels, n_straddling = self._label(ids, places, turns, masked)
        return Example(
            input_ids=ids,
            labels=labels,
            has_thought=at >= 0,
            has_end=any(label in self._end_ids for label in labels),
            n_straddling=n_straddling,
        )

    def _render(self, messages: Sequence[Mapping[str, str]], *, speak: bool = False) -> str:
        try:
            rendered = self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=speak
            )
        except Exception as error:  # a template is somebody's program: it may raise anything
            what = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"the chat template refuses it: {what}") from error
        return str(rendered)

    def _find_turns(self, messages: Sequence[Mapping[str, str]], text: str) -> list[_Turn]:
        """Find where each assistant turn stands in the rendered chat."""
        turns = []
        for k, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            head = self._render(messages[:k], speak=True)
            body = text if k == len(messages) - 1 else self._render(messages[: k + 1])
            if not (text.startswith(head) and text.startswith(body) and len(body) > len(head)):
                raise ValueError("the chat template does not render the chat turn by turn")
            turns.append(_Turn(len(head), len(body)))
        return turns

    def _tokenize(self, text: str, turns: Sequence[_Turn]) -> tuple[list[int], list[_Turn]]:
        """Tokenize piece by piece, else whole; tokens and the characters that each covers."""
        borders = [0, *(border for turn in turns for border in turn), len(text)]
        ids: list[int] = []
        places: list[_Turn] = []
        for start, end in itertools.pairwise(borders):
            piece, where = self._tokenize_piece(text[start:end])
            ids += piece
            places += [_Turn(start + a, start + b) for a, b in where]
        if self._tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text:
            return ids, places
        return self._tokenize_piece(text)

    def _tokenize_piece(self, text: str) -> tuple[list[int], list[_Turn]]:
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded["input_ids"], [_Turn(a, b) for a, b in encoded["offset_mapping"]]

    def _label(
        self,
        ids: Sequence[int],
        places: Sequence[_Turn],
        turns: Sequence[_Turn],
        masked: Sequence[tuple[int, int]],
    ) -> tuple[list[int], int]:
        """Label the tokens of each turn up to its last end token, but for masked characters."""
        labels = [IGNORED] * len(ids)
        n_straddling = 0
        for turn in turns:
            inside = [i for i, place in enumerate(places) if turn.start <= place.start < turn.end]
            ends = [i for i in inside if ids[i] in self._end_ids]
            for i in inside:
                if ends and i > ends[-1]:
                    break
                place = places[i]
                touched = [(a, b) for a, b in masked if place.start < b and a < place.end]
                n_straddling += any(place.start < a or place.end > b for a, b in touched)
                if not touched:
                    labels[i] = ids[i]
        return labels, n_straddling


def _find_content(text: str, content: str, begin: int) -> tuple[int, int]:
    """Find a message's content in the rendered chat, from a place on.

    Returns:
        Where it begins (-1: not there whole) and how many characters the template has taken from
        its start; templates that strip white space take no thought away.
    """
    at = text.find(content, begin)
    if at >= 0:
        return at, 0
    stripped = content.strip()
    return text.find(stripped, begin), len(content) - len(content.lstrip())


def read_chat(row: Mapping[str, Any], number: int) -> Chat:
    """Read a row as a chat; ``number`` names it where it has no id.

    Raises:
        ValueError: It is none: a turn without a role or a text (None is no text), no turn at all,
            or a span without its place.
    """
    if row.get("prompt") is not None and row.get("completion") is not None:
        messages = read_messages(row["prompt"], "user")
        messages += read_messages(row["completion"], "assistant")
    elif row.get("messages") is not None:
        messages = read_messages(row["messages"], "user")
    else:
        messages = _read_conversations(row)
    if not messages:
        raise ValueError("no messages")
    return Chat(name_row(row, number), messages, _read_spans(row.get("spans") or ()))


def name_row(row: Mapping[str, Any], number: int) -> str:
    """A row's id, or its number where it has none."""
    return str(row.get("id") or f"row {number}")


def _read_spans(said: Any) -> list[Mapping[str, Any]]:
    spans = list(said) if isinstance(said, list | tuple) else [said]
    for span in spans:
        place = (span.get("start"), span.get("end")) if isinstance(span, Mapping) else ()
        if not place or not all(isinstance(x, int) for x in place) or "role" not in span:
            raise ValueError(f"no span with start, end and role: {str(span)[:80]}")
    return spans


SPEAKERS = {"human": "user", "gpt": "assistant"}
"""Roles of the ``from``/``value`` layout that have another name here."""


def _read_conversations(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Read the layout of ShareGPT and Bespoke-Stratos: ``conversations``, perhaps ``system``."""
    said = read_messages(row["system"], "system") if row.get("system") else []
    turns = _read_turns(row.get("conversations"), "from", "value")
    return said + [{**turn, "role": SPEAKERS.get(turn["role"], turn["role"])} for turn in turns]


def read_messages(said: Any, role: str) -> list[dict[str, str]]:
    """Read messages; a text alone is one of that role.

    Raises:
        ValueError: A turn without a role or a text.
    """
    if isinstance(said, str):
        return [{"role": role, "content": said}]
    return _read_turns(said, "role", "content")


def _read_turns(said: Any, role: str, text: str) -> list[dict[str, str]]:
    """Read turns by the names of their two fields; str(None) would be learned as "None"."""
    messages = []
    for turn in said if isinstance(said, list | tuple) else [said]:
        found = [turn.get(role), turn.get(text)] if isinstance(turn, Mapping) else [None]
        if not all(isinstance(x, str) for x in found):
            raise ValueError(f"no turn with {role} and {text}: {str(turn)[:80]}")
        messages.append({"role": turn[role], "content": turn[text]})
    return messages
