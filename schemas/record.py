"""What all records share: frozen, strict, closed; and the two nouns used everywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION: Literal[1] = 1
"""Version of every stored record and row; a reader of another version says so."""


class Record(BaseModel):
    """A frozen record that refuses unknown fields and silent coercion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Message(Record):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str
