"""The records of one JSON document, without holding it whole.

The document is a list of objects, or an object that holds such a list (``{"data": [...]}``; the
first list in it counts). Leaves out anything deeper.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from butwait.pipelines.sources.place import BadRecord
from butwait.schemas.errors import SourceError

CHUNK_BYTES = 1 << 20


class _Broken(Exception):
    """The document is not what it should be."""


def iterate_json_list(file: IO[bytes], max_bytes: int) -> Iterator[Mapping[str, Any] | BadRecord]:
    """Yield the list's objects; what is in the list and is none is a ``BadRecord``.

    Args:
        file: Open for reading, UTF-8.
        max_bytes: Longest single record.

    Raises:
        SourceError: The document breaks off or is not JSON: what stands behind is lost.
    """
    window = _Window(file, max_bytes)
    n_items = 0
    try:
        window.find_list()
        while window.next_item():
            value = window.value()
            n_items += 1
            if isinstance(value, dict):
                yield value
            else:
                detail = f"the list holds a JSON {type(value).__name__}, not an object"
                yield BadRecord("malformed_json", detail, str(value)[:500])
    except (_Broken, UnicodeDecodeError, RecursionError) as error:
        name = getattr(file, "name", "the file")
        raise SourceError(f"{name} is not JSON behind record {n_items}: {error}") from error


class _Window:
    """A moving window of text over the document."""

    def __init__(self, file: IO[bytes], max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False
        self._first = True

    def find_list(self) -> None:
        """Move behind the bracket that opens the list."""
        if self._peek() == "[":
            self._at += 1
            return
        self._expect("{")
        while True:
            if not isinstance(self.value(), str):
                raise _Broken("a key that is no string")
            self._expect(":")
            if self._peek() == "[":
                self._at += 1
                return
            self.value()
            if self._peek() == "}":
                raise _Broken("neither a list of objects nor an object that holds one")
            self._expect(",")

    def next_item(self) -> bool:
        """Move to the next item; False behind the last one."""
        if self._peek() == "]":
            self._at += 1
            return False
        if not self._first:
            self._expect(",")
        self._first = False
        self._peek()
        return True

    def value(self) -> Any:
        """Return the JSON value at the position and move behind it."""
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except ValueError as error:
                if not self._read(max(CHUNK_BYTES, len(self._text) - self._at)):
                    raise _Broken(str(error)[:200]) from None
                continue
            if end == len(self._text) and not self._ended and self._read(CHUNK_BYTES):
                continue  # a number may go on in the next chunk
            self._at = end
            return value

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read(CHUNK_BYTES):
                raise _Broken("it ends too early")

    def _expect(self, character: str) -> None:
        found = self._peek()
        if found != character:
            raise _Broken(f"{found!r} where {character!r} was due")
        self._at += 1

    def _read(self, n_bytes: int) -> bool:
        if self._ended or len(self._text) - self._at > self._max_bytes:
            return False
        piece = self._file.read(n_bytes)
        self._ended = not piece
        self._text = self._text[self._at :] + self._decode(piece, self._ended)
        self._at = 0
        return True
