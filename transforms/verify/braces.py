"""What curly brackets enclose: sets, set builders, families, groups; and dots written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from butwait.transforms.verify.progressions import endless, written_out
from butwait.transforms.verify.series import substitute
from butwait.transforms.verify.tree import (
    SCALARS,
    Builder,
    Chain,
    Family,
    Fn,
    NamedSet,
    Node,
    Num,
    Seq,
    Span,
    Sym,
    Unreadable,
    scalar,
)

if TYPE_CHECKING:
    from butwait.transforms.verify.shapes import Shapes

_MOST_ITEMS = 1_000
# ``{n \\choose k}`` and Stirling numbers: subsets, cycles.
_OVER = {"choose": "binom", "brace": "subsets", "brack": "cycles"}


def read_braces(s: Shapes, left: str) -> Node:
    """A set, a builder, or a group; stands after the bracket ``left``."""
    p = s.p
    right = "\\}" if left == "\\{" else "}"
    if left == "\\{" or (p.saw("sym") and p.peek(1).text in ("|", ":")):
        if p.accept("close", right):
            return NamedSet("empty")
        built = _tried_builder(s, right) if left == "{" else _builder(s, right)
        built = built or _family(s, right)
        if built is not None:
            return built
    elif p.accept("close", right):
        return p.atom()  # an empty group says nothing
    inner = s.items()
    if p.saw("cmd", *_OVER):
        name = _OVER[p.take().text]
        inner = Fn(name, (scalar(inner), scalar(p.sum())))
    p.expect("close", right)
    if isinstance(inner, Seq) and inner.kind == "list":
        return endless(inner.items) or Seq("set", written_out(inner.items))
    return Seq("set", (inner,)) if left == "\\{" else inner


def _tried_builder(s: Shapes, right: str) -> Node | None:
    """The builder in a plain group, which may as well be ``{e |x|}``, a product; tried once."""
    p = s.p
    start, depth, bars = p.at, p.depth, p.bars
    if start in s.no_family:
        return None
    try:
        return _builder(s, right)
    except Unreadable:
        s.no_family.add(start)
        p.at, p.depth, p.bars = start, depth, bars
        return None


def _builder(s: Shapes, right: str) -> Node | None:
    """``{x : condition}`` and ``{x in A : condition}``."""
    p = s.p
    start = p.at
    if not p.accept("sym"):
        return None
    name = p.peek(-1).text
    domain: Node | None = None
    if p.accept("cmd", "in"):
        domain = p.atom()  # a named or bracketed set, where a colon does not mean a ratio
    if not p.accept("op", "|", ":", ",") or (domain is None and p.peek(-1).text == ","):
        p.at = start
        return None
    condition = s.items()
    p.expect("close", right)
    return Builder(name, domain, condition)


def _family(s: Shapes, right: str) -> Node | None:
    """``{2k + 1 : k in Z}``: an expression over all values of its parameter."""
    p = s.p
    start, depth, bars = p.at, p.depth, p.bars
    if start in s.no_family or not _condition_ahead(s):
        return None
    # One attempt a place: nested brackets tried twice at every level would take for ever.
    s.no_family.add(start)
    p.bars = 1  # the bar ends the value, it opens nothing
    try:
        value = p.sum()
        p.bars = bars
        if p.accept("op", "|", ":"):
            condition = s.items()
            p.expect("close", right)
            family = _listed(value, condition) or family_of(value, condition)
            if family is not None:
                return family
            raise Unreadable("a set of values under a condition")
    except Unreadable:
        if p.at > start and _has_bar(s, start, p.at):
            raise
    p.at, p.depth, p.bars = start, depth, bars
    return None


def _condition_ahead(s: Shapes) -> bool:
    """Whether a bar or colon stands in the bracket that is open here, not in one inside it."""
    depth = 1
    for token in s.p.tokens[s.p.at :]:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth == 0:
            return False
        if depth == 1 and token.kind == "op" and token.text in "|:":
            return True
    return False


def _has_bar(s: Shapes, start: int, end: int) -> bool:
    """Whether a bar or colon was passed: then this was meant as a condition."""
    return any(token.text in ("|", ":") for token in s.p.tokens[start:end])


def _listed(value: Node, condition: Node) -> Node | None:
    """``{k/3 : k = 1, 2, 3}``: the values for each of the listed parameters."""
    items = condition.items if isinstance(condition, Seq) else (condition,)
    first = items[0]
    if not isinstance(first, Chain) or first.relations != ("=",) or len(items) > _MOST_ITEMS:
        return None
    name, start = first.items
    values = written_out((start, *items[1:]))
    if not isinstance(name, Sym) or not all(isinstance(x, Num) for x in values):
        return None
    return Seq("set", tuple(substitute(scalar(value), name.name, x) for x in values))


def family_of(value: Node, condition: Node) -> Family | None:
    """The family of ``value`` where ``condition`` is ``k in Z``; None for another condition."""
    if not isinstance(condition, Chain) or condition.relations != ("in",):
        return None
    name, domain = condition.items
    if isinstance(value, Seq) and value.kind == "tuple" and len(value.items) == 2:
        value = Span(scalar(value.items[0]), scalar(value.items[1]), False, False)
    if not isinstance(name, Sym) or not isinstance(value, (*SCALARS, Span)):
        return None
    if isinstance(domain, Sym) and domain.name in ("Z", "N"):
        domain = NamedSet(domain.name)
    return Family(value, name.name, domain.name) if isinstance(domain, NamedSet) else None
