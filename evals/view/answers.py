"""What the page can ask for; each answer is plain data for JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from butwait.evals.view.collections import QUESTIONS, Collection, View
from butwait.evals.view.columns import values_at
from butwait.evals.view.filters import NONE, read_filter
from butwait.evals.view.joins import Joins
from butwait.evals.view.maths import find_mathjax
from butwait.evals.view.present import clean, present_row
from butwait.evals.view.scan import PAGE_ROWS, read_cursor, scan
from butwait.evals.view.shards import UNREADABLE, Reader
from butwait.evals.view.trees import present_tree
from butwait.schemas.errors import ConfigError
from butwait.schemas.trace import Flow
from butwait.schemas.verdict import VERDICT_NAMES

_KNOWN = {"verdict": [*VERDICT_NAMES, NONE], "flow": [*get_args(Flow), NONE]}
_MOST_VALUES = 200
_LONGEST_VALUE = 200
_VALUES_S = 0.3


@dataclass(frozen=True)
class Asked:
    """One request."""

    view: View
    query: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """Return a parameter, empty where it was not given."""
        return (self.query.get(name) or [""])[0]

    @property
    def collection(self) -> Collection:
        """The collection that is named; the first where none is."""
        name = self.one("collection")
        return self.view.find(name) if name else self.view.collections[0]

    @property
    def row(self) -> int:
        """The row that is named.

        Raises:
            ConfigError: It is no number.
        """
        if not self.one("row").isdecimal() or len(self.one("row")) > 18:
            raise ConfigError(f"row {self.one('row')[:40]!r} is no number")
        return int(self.one("row"))


def tell_overview(asked: Asked) -> dict[str, Any]:
    """Say what there is."""
    view = asked.view
    return {
        "title": view.title,
        "notes": list(view.notes),
        "has_maths": find_mathjax() is not None,
        "collections": [
            {
                "name": collection.name,
                "kind": collection.layout.kind,
                "n_rows": collection.n_rows,
                "n_shards": len(collection.shards),
                "choices": list(collection.layout.choices),
                "has_length": collection.layout.length is not None,
                "has_pass_rate": collection.layout.rate is not None,
            }
            for collection in view.collections
        ],
    }


def tell_rows(asked: Asked) -> dict[str, Any]:
    """Scan from a cursor on."""
    collection = asked.collection
    wanted = read_filter(asked.query, collection)
    cursor = read_cursor(asked.one("cursor"), collection)
    limit = asked.one("limit")
    most = min(int(limit), PAGE_ROWS) if limit.isdecimal() and int(limit) else PAGE_ROWS
    page = scan(collection, wanted, cursor, Joins(asked.view), limit=most)
    return {
        "rows": clean(page.rows),
        "next": str(page.next) if page.next else None,
        "scanned": page.scanned,
        "total": collection.n_rows,
        "notes": page.notes,
    }


def tell_row(asked: Asked) -> dict[str, Any]:
    """Show one row."""
    return present_row(asked.view, asked.collection, asked.one("shard"), asked.row)


def tell_tree(asked: Asked) -> dict[str, Any]:
    """Show one search tree."""
    merge = asked.one("merge") != "0"
    return present_tree(asked.view, asked.collection, asked.one("shard"), asked.row, merge=merge)


def tell_values(asked: Asked) -> dict[str, Any]:
    """Suggest values of the filters: all there can be, or those of the first rows."""
    collection = asked.collection
    known = {n: _KNOWN[n] for n in collection.layout.choices if n in _KNOWN}
    seen: dict[str, set[str]] = {n: set() for n in collection.layout.choices if n not in _KNOWN}
    ends = time.monotonic() + _VALUES_S
    for shard in collection.shards:
        try:
            with shard.opened() as reader:
                _look(collection, reader, seen, ends)
        except UNREADABLE:
            continue
        if time.monotonic() > ends:
            break
    if collection.layout.choices.get("source") == "@source":
        questions = next((c for c in asked.view.collections if c.name == QUESTIONS), None)
        if questions is not None:
            of_questions = tell_values(Asked(asked.view, {"collection": [QUESTIONS]}))
            seen["source"] = set(of_questions["seen"].get("source", ()))
    return {"known": known, "seen": {name: sorted(found) for name, found in seen.items()}}


def _look(collection: Collection, reader: Reader, seen: dict[str, set[str]], ends: float) -> None:
    stored = {n: p for n, p in collection.layout.choices.items() if n in seen and p[0] != "@"}
    for batch in reader.batches(0, list(stored.values()), 8192) if stored else ():
        for name, path in stored.items():
            found = values_at(batch, path)
            values = found[0].unique().to_pylist() if found else []
            short = {str(v) for v in values if v is not None and len(str(v)) < _LONGEST_VALUE}
            if len(seen[name]) < _MOST_VALUES:
                seen[name] |= short
        if time.monotonic() > ends:
            return


ANSWERS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "overview": tell_overview,
    "rows": tell_rows,
    "row": tell_row,
    "tree": tell_tree,
    "values": tell_values,
}
