"""Addresses and messages without their passwords."""

from __future__ import annotations

import re


def hide_password(text: str) -> str:
    """Put stars in the place of a password in an address.

    >>> hide_password("postgresql://me:secret@db/cache?password=other")
    'postgresql://me:***@db/cache?password=***'
    """
    text = re.sub(r"(://[^:/?\s]*):[^\s]*@", r"\1:***@", text)
    return re.sub(r"((?:ssl)?password=)[^&\s]+", r"\1***", text)
