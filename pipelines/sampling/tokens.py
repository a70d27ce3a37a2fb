"""The tokenizer and chat template of a server, asked over HTTP and remembered.

Nothing is rendered here: a chat template is the served model's, with all its special cases. Left
out: the vocabulary itself (marks are single texts that are asked for).
"""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections.abc import Sequence
from typing import Any

from butwait.pipelines.sampling.http import Asker
from butwait.pipelines.sampling.once import Once
from butwait.pipelines.sampling.wire import read_token_ids, shorten
from butwait.schemas.errors import RequestRefused
from butwait.schemas.record import Message

N_OPEN = 8
"""Requests for tokens that are open at once: each is a matter of milliseconds, and hundreds of
connections opened together cost more than they win."""
N_CHATS = 4096
"""Chats whose tokens are remembered (4 bytes a token)."""
N_TEXTS = 65536
"""Texts (steps) whose tokens are remembered: all particles in flight with all their steps."""


class ServerTokens:
    """Tokens of chats and texts.

    Args:
        asker: Asks the server.
        model: Served name.
    """

    def __init__(self, asker: Asker, model: str) -> None:
        self._asker = asker
        self._model = model
        self._chats: Once[bytes, array[int]] = Once(N_CHATS)
        self._texts: Once[bytes, array[int]] = Once(N_TEXTS)
        self._slots_loop: asyncio.AbstractEventLoop | None = None

    async def of_chat(self, messages: Sequence[Message], *, speak: bool) -> tuple[int, ...]:
        """Tokenize a chat as the served model's template writes it.

        Args:
            messages: The chat.
            speak: Whether to end with the generation prompt, where the assistant speaks.
        """
        said = [message.model_dump() for message in messages]
        what = {"messages": said, "add_generation_prompt": speak}
        return tuple(await self._chats.get(_hash(what), lambda: self._ask(what)))

    async def of_text(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        """Tokenize a text; ``special`` puts before it what the server puts before raw prompts."""
        what = {"prompt": text, "add_special_tokens": special}
        return tuple(await self._texts.get(_hash(what), lambda: self._ask(what)))

    async def spell(self, tokens: Sequence[int]) -> str:
        """Write tokens as the text that tokenizes to exactly them.

        Raises:
            RequestRefused: There is none: the tokenizer does not read back what it writes.
        """
        body = {"model": self._model, "tokens": list(tokens)}
        async with self._slots():
            text = await self._asker.ask("/detokenize", body, _read_text)
        if await self.of_text(text) != tuple(tokens):
            shown = shorten(text, 120)
            raise RequestRefused("refused", f"the chat does not read back from its text {shown!r}")
        return text

    async def _ask(self, what: dict[str, Any]) -> array[int]:
        body = {"model": self._model, **what}
        async with self._slots():
            return array("I", await self._asker.ask("/tokenize", body, read_token_ids))

    def _slots(self) -> asyncio.Semaphore:
        """Return the slots of the running loop."""
        loop = asyncio.get_running_loop()
        if self._slots_loop is not loop:
            self._slots_loop = loop
            self._semaphore = asyncio.Semaphore(N_OPEN)
        return self._semaphore


def _hash(what: dict[str, Any]) -> bytes:
    return hashlib.sha256(repr(what).encode("utf-8", "backslashreplace")).digest()


def _read_text(reply: object) -> str:
    text = reply.get("prompt") if isinstance(reply, dict) else None
    if not isinstance(text, str):
        raise RequestRefused("bad_reply", f"no text in {shorten(repr(reply), 120)}")
    return text
