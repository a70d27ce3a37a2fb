"""Untrusted text inside Markdown: cells, fenced blocks and shortened rows.

Model text may hold backticks, pipes, HTML, front-matter marks or invisible characters that turn
text round; nothing of that may leave its cell or its block.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")


def escape_inline(value: object) -> str:
    """Return text for a table cell or a heading: one line, no mark-up.

    >>> escape_inline("a|b <i> `c`")
    'a\\\\|b &lt;i&gt; \\\\`c\\\\`'
    """
    text = re.sub(r"\s+", " ", _spell_invisible(str(value), keep=" \t\n\r")).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def fence_text(text: str, language: str) -> str:
    """Return a code block whose fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{_spell_invisible(text, keep=chr(10) + chr(9)).rstrip()}\n{fence}"


def render_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table with every cell escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(escape_inline(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def shorten_row(row: Mapping[str, Any], max_chars: int) -> tuple[str, bool]:
    """Return a row as indented JSON with long strings and lists cut, and whether any was cut.

    Args:
        row: One row of a dataset.
        max_chars: Longest string shown, in characters.
    """
    shown = _shorten(row, max_chars)
    text = json.dumps(shown, ensure_ascii=False, indent=2, default=str)
    return text, shown != row


def _shorten(value: Any, max_chars: int) -> Any:
    if isinstance(value, str) and len(value) > max_chars:
        return f"{value[:max_chars]}… [{len(value)} characters in all]"
    if isinstance(value, Mapping):
        return {str(key): _shorten(item, max_chars) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        kept = [_shorten(item, max_chars) for item in value[:8]]
        return [*kept, f"… [{len(value)} items in all]"] if len(value) > 8 else kept
    return value


def _spell_invisible(text: str, keep: str) -> str:
    r"""Write control, format and separator characters as ``\uXXXX``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in INVISIBLE and c not in keep else c
        for c in text
    )
