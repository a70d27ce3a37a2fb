"""Sets of real numbers: regions of intervals, and sets that list their elements.

Leaves out: comparing them (``decide``).
"""

from __future__ import annotations

import math
from fractions import Fraction

from butwait.transforms.verify.halflines import ORDERS, chain_region, solutions, whole_ends
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.region import (
    LINE,
    Region,
    complement,
    intersect,
    merge,
)
from butwait.transforms.verify.signs import expand_signs
from butwait.transforms.verify.tree import (
    SCALARS,
    Builder,
    Chain,
    Family,
    NamedSet,
    Node,
    Seq,
    SetOp,
    Span,
    Sym,
    Unreadable,
    number,
    symbols,
)


def joined_region(node: Seq, limits: Limits) -> Region | None:
    """Inequalities of one variable joined by "or" (union), "and" or a comma (both).

    Raises:
        Unreadable: Conditions joined by "and" that no number meets.
    """
    names: set[str] = set()
    regions: list[Region] = []
    for item in node.items:
        if isinstance(item, Chain) and set(item.relations) <= ORDERS:
            names |= chain_variables(item)
        elif _is_point(item) and isinstance(item, Chain) and node.joiner == "or":
            names |= {str(item.items[0].name)} if isinstance(item.items[0], Sym) else set()
        elif isinstance(item, Span):
            names.add("")
        elif _is_any_real(item):
            continue
        else:
            return None
        region = region_of(item, limits)
        if region is None:
            return None
        regions.append(region)
    if not any(isinstance(item, Span) or not _is_point(item) for item in node.items):
        return None
    if len(names) != 1 or (names == {""} and node.joiner == "comma"):
        return None
    if node.joiner == "or" or names == {""}:
        return merge([piece for region in regions for piece in region.pieces], limits)
    return _shared(regions, node.joiner, limits)


def _shared(regions: list[Region], joiner: str, limits: Limits) -> Region | None:
    """What all regions share; those joined by a comma that share nothing meant "or"."""
    result: Region | None = regions[0]
    for region in regions[1:]:
        result = intersect(result, region, limits) if result is not None else None
    if result is None or result.pieces:
        return result
    if joiner != "comma":
        raise Unreadable("conditions that exclude each other")
    return merge([piece for region in regions for piece in region.pieces], limits)


def _is_point(item: Node) -> bool:
    """``x = 7`` among inequalities."""
    return (
        isinstance(item, Chain)
        and item.relations == ("=",)
        and isinstance(item.items[0], Sym)
        and isinstance(item.items[1], SCALARS)
        and not symbols(item.items[1])
    )


def _is_any_real(item: Node) -> bool:
    """``x in R``, which says nothing beside a condition on x."""
    return (
        isinstance(item, Chain)
        and item.relations == ("in",)
        and item.items[1] in (NamedSet("R"), Sym("R"))
    )


def chain_variables(chain: Chain) -> set[str]:
    """The variable of an inequality that has become a region; ends may hold parameters."""
    plain = {item.name for item in chain.items if isinstance(item, Sym)}
    return plain or {name for x in chain.items if isinstance(x, SCALARS) for name in symbols(x)}


def list_variables(node: Seq) -> set[str]:
    return {name for x in node.items if isinstance(x, Chain) for name in chain_variables(x)}


def _is_scalar(node: Node) -> bool:
    return isinstance(node, SCALARS)


def region_of(node: Node, limits: Limits) -> Region | None:
    """The union of intervals a node stands for, or None when it is no such thing."""
    if isinstance(node, Span):
        span = merge([(node.low, node.high, node.low_closed, node.high_closed)], limits)
        # Ends in the wrong order: whatever was meant, it was not the empty set.
        return span if span is not None and span.pieces else None
    if isinstance(node, Seq) and node.kind == "tuple" and len(node.items) == 2:
        low, high = node.items
        if isinstance(low, SCALARS) and isinstance(high, SCALARS):
            return region_of(Span(low, high, False, False), limits)
    if isinstance(node, Seq) and node.kind == "set" and all(map(_is_scalar, node.items)):
        flat = [v for item in node.items for v in expand_signs(item)]
        return merge([(v, v, True, True) for v in flat], limits)
    if isinstance(node, NamedSet):
        return {"R": LINE, "empty": Region(())}.get(node.name)
    if isinstance(node, SetOp):
        return _set_operation(node, limits)
    if isinstance(node, Builder):
        return _built(node, limits)
    if isinstance(node, Chain):
        if _is_point(node):
            return merge([(node.items[1], node.items[1], True, True)], limits)
        return chain_region(node, limits)
    if isinstance(node, Seq) and node.kind == "list":
        return joined_region(node, limits)
    return None


def _set_operation(node: SetOp, limits: Limits) -> Region | None:
    left, right = (region_of(item, limits) for item in node.items)
    if left is None or right is None:
        return None
    if node.op == "union":
        return merge([*left.pieces, *right.pieces], limits)
    if node.op == "minus":
        outside = complement(right, limits)
        return None if outside is None else intersect(left, outside, limits)
    return intersect(left, right, limits)


def _built(node: Builder, limits: Limits) -> Region | None:
    if node.domain not in (None, NamedSet("R")):
        return None
    condition = node.condition
    bounded = (
        chain_variables(condition)
        if isinstance(condition, Chain)
        else list_variables(condition)
        if isinstance(condition, Seq)
        else set()
    )
    if bounded - {node.variable}:
        return None
    if isinstance(condition, Chain) and condition.relations == ("in",):
        return region_of(condition.items[1], limits)
    return region_of(condition, limits)


def built_set(node: Builder, limits: Limits) -> Node | None:
    """A builder that lists its elements: a family, roots of an equation, bounded whole numbers."""
    condition = node.condition
    if isinstance(condition, Chain) and condition.relations == ("=",):
        left, right = condition.items
        if left == Sym(node.variable) and isinstance(right, Family):
            return right
        roots = solutions(left, right, node.variable, limits)
        if roots is None or node.domain not in (None, NamedSet("R")):
            return None
        return Seq("set", tuple(roots)) if roots else NamedSet("empty")
    if node.domain in _WHOLE_SETS:
        return _whole_numbers(node, limits)
    return None


def _whole_numbers(node: Builder, limits: Limits) -> Seq | None:
    condition = node.condition
    names = chain_variables(condition) if isinstance(condition, Chain) else set()
    names |= list_variables(condition) if isinstance(condition, Seq) else set()
    region = region_of(condition, limits) if names <= {node.variable} else None
    if region is None or not isinstance(node.domain, NamedSet):
        return None
    found: set[int] = set()
    lowest = _WHOLE_SETS[node.domain]
    for low, high, low_closed, high_closed in region.pieces:
        first, last = whole_ends(low, high, limits)
        if first is None and lowest is not None:
            first, low_closed = Fraction(lowest), True
        if first is None or last is None or last - first > _MOST_WHOLE:
            return None
        start = math.ceil(first) + (first.denominator == 1 and not low_closed)
        stop = math.floor(last) - (last.denominator == 1 and not high_closed)
        found |= set(range(start if lowest is None else max(start, lowest), stop + 1))
    return Seq("set", tuple(number(k) for k in sorted(found)))


# Number sets whose elements a bounded condition lists, with their least element. Whether N has a
# zero is nobody's agreement, so it is not here.
_WHOLE_SETS: dict[Node | None, int | None] = {
    NamedSet("Z"): None,
    NamedSet("Z+"): 1,
    NamedSet("N0"): 0,
}


_MOST_WHOLE = 1_000
