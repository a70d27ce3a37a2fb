"""Names of the scalar grammar: variables with index and primes, function calls, named points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from butwait.transforms.verify.functions import read_call, read_indexed_count
from butwait.transforms.verify.tree import Const, Node, Sym

if TYPE_CHECKING:
    from butwait.transforms.verify.grammar import Scalars

_RELATIONS = frozenset({"=", "<", ">", "le", "ge", "ne"})
_CALLABLE = frozenset("fghFGH")


def read_name(p: Scalars, name: str) -> Node:
    """A name with its index, primes and star; a function of it; a named point."""
    if p.saw("op", "_"):
        p.take()
        start = p.at
        index = p.group_text()
        if name in ("C", "A", "P") and p.saw("op", "^"):
            return read_indexed_count(p, name, start)
        return Sym(f"{name}_{index}")
    while p.saw("op", "'"):
        p.take()
        name += "'"
    if name in ("e", "i"):
        return Const(name)
    if _conjugate_mark(p):
        name += "*"
    if len(name) == 1 and name.isupper() and p.saw("open", "(") and _relation_inside(p):
        return Sym(name + _bracket_text(p))
    if len(name) == 1 and name.isupper() and p.saw("open", "(") and _lists_inside(p):
        return read_call(p, name)
    if name[0] in _CALLABLE and p.saw("open", "(") and not p.next.space:
        return read_call(p, name)
    return Sym(name)


def _lists_inside(p: Scalars) -> bool:
    """Whether the bracket that opens here holds a comma of its own."""
    depth = 0
    for token in p.tokens[p.at : p.at + 80]:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth == 0:
            return False
        if depth == 1 and token.text == "," and token.kind == "op":
            return True
    return False


def _relation_inside(p: Scalars) -> bool:
    """``P(X = 2)``: an event in brackets makes the whole a name."""
    depth = 0
    for token in p.tokens[p.at : p.at + 80]:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth == 0:
            return False
        if depth == 1 and token.kind == "op" and token.text in _RELATIONS:
            return True
    return False


def _bracket_text(p: Scalars) -> str:
    """The text of a bracket as written, not parsed; its end has been seen."""
    parts: list[str] = []
    depth = 1
    while depth:
        token = p.take()
        depth += {"open": int(bool(parts)), "close": -1}.get(token.kind, 0)
        parts.append(token.text)
    return "".join(parts)


def _conjugate_mark(p: Scalars) -> bool:
    """Pass over a star that marks a name, as in ``z^*``."""
    if not p.saw("op", "^"):
        return False
    braces = p.peek(1).text == "{"
    star, after = p.peek(2 if braces else 1), p.peek(4 if braces else 2)
    if star.text != "*" or (after.kind not in ("end", "close") and after.text not in "=,;<>"):
        return False
    for _ in range(4 if braces else 2):
        p.take()
    return True
