"""One tree, one meaning: plus-minus into lists, names off values, conditions into real sets.

Leaves out: comparing. ``Region`` is a union of intervals; everything else keeps its node type.
"""

from __future__ import annotations

from dataclasses import dataclass

from butwait.transforms.verify.halflines import ORDERS
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.region import (
    LINE,
    Region,
)
from butwait.transforms.verify.scalars import equal_scalars
from butwait.transforms.verify.sets import (
    built_set,
    chain_variables,
    joined_region,
    list_variables,
    region_of,
)
from butwait.transforms.verify.signs import expand_signs, has_signs, with_sign
from butwait.transforms.verify.tree import (
    SCALARS,
    Builder,
    Chain,
    Fn,
    Mul,
    NamedSet,
    Node,
    Percent,
    Ratio,
    Residue,
    Seq,
    SetOp,
    Span,
    Sym,
    Text,
    Unit,
    Unreadable,
    contains,
    symbols,
)


@dataclass(frozen=True, slots=True)
class Named:
    """``name = value``; a tuple of names names a tuple."""

    name: Node
    value: Settled


Settled = Node | Region | Named


def settle(node: Node, limits: Limits) -> Settled:
    """The settled meaning of a tree.

    Raises:
        Unreadable: A chain or set that makes no sense.
    """
    if isinstance(node, SCALARS):
        both = expand_signs(node)
        return both[0] if len(both) == 1 else Seq("list", tuple(both), "or")
    if isinstance(node, Seq):
        return _settle_seq(node, limits)
    if isinstance(node, Chain):
        return _settle_chain(node, limits)
    if isinstance(node, Builder):
        return built_set(node, limits) or region_of(node, limits) or node
    if isinstance(node, Span | SetOp):
        return region_of(node, limits) or node
    if isinstance(node, NamedSet) and node.name == "R":
        return LINE
    if isinstance(node, Unit):
        values = expand_signs(node.value)
        if len(values) > 1:
            parts: tuple[Node, ...] = tuple(Unit(v, node.dims, node.factor) for v in values)
            return Seq("list", parts, "or")
    if isinstance(node, Residue) and len(both := expand_signs(node.value)) > 1:
        return Seq("list", tuple(Residue(v, node.modulus, node.name) for v in both), "or")
    if isinstance(node, Percent) and len(both := expand_signs(node.value)) > 1:
        return Seq("list", tuple(Percent(v) for v in both), "or")
    return node


# -- sequences ------------------------------------------------------------------------------------


def _settle_seq(node: Seq, limits: Limits) -> Settled:
    if node.kind == "list":
        region = joined_region(node, limits)
        if region is not None:
            return _of_variable(region, list_variables(node))
    if node.kind == "tuple" and _is_open_interval(node):
        return region_of(node, limits) or node
    flat: list[Node] = []
    for item in node.items:
        if isinstance(item, SCALARS) and node.kind != "tuple":
            flat.extend(expand_signs(item))
        elif isinstance(item, Chain) and node.kind == "list" and _has_equation_signs(item):
            flat.extend(Chain((item.items[0], v), ("=",)) for v in expand_signs(item.items[1]))
        else:
            flat.append(item)
    if node.kind == "tuple":
        return _tuple_with_signs(Seq("tuple", tuple(flat)))
    # Only of relations it matters whether all hold or one.
    related = any(isinstance(item, Chain) and set(item.relations) <= ORDERS for item in flat)
    joiner = node.joiner if related else "comma"
    return (
        flat[0] if node.kind == "list" and len(flat) == 1 else Seq(node.kind, tuple(flat), joiner)
    )


def _has_equation_signs(node: Chain) -> bool:
    return node.relations == ("=",) and isinstance(node.items[1], SCALARS) and (
        has_signs(node.items[1])
    )  # fmt: skip


def _tuple_with_signs(node: Seq) -> Settled:
    if not any(isinstance(item, SCALARS) and has_signs(item) for item in node.items):
        return node
    both = [
        Seq("tuple", tuple(with_sign(x, s) if isinstance(x, SCALARS) else x for x in node.items))
        for s in (1, -1)
    ]
    return Seq("list", tuple(both), "or")


def _is_open_interval(node: Seq) -> bool:
    return len(node.items) == 2 and any(
        isinstance(item, SCALARS) and contains(item, "inf") for item in node.items
    )


def _of_variable(region: Region, names: set[str]) -> Settled:
    """The region with the variable it bounds: ``x > 3`` is not ``y > 3``."""
    return Named(Sym(names.pop()), region) if len(names) == 1 else region


# -- relations ------------------------------------------------------------------------------------


def _settle_chain(node: Chain, limits: Limits) -> Settled:
    items, relations = list(node.items), list(node.relations)
    while relations and relations[-1] == "approx" and len(items) > 1:
        if len(items) == 2 and isinstance(items[0], Sym):
            relations[-1] = "="
            break
        items.pop()
        relations.pop()
    if not relations:
        return settle(items[0], limits)
    if relations == ["in"]:
        inside = LINE if items[1] == Sym("R") else settle(items[1], limits)
        if is_name(items[0]):
            return Named(items[0], inside)
        bound = isinstance(items[0], SCALARS) and symbols(items[0])
        return node if bound else inside
    if set(relations) == {"="}:
        return _settle_equation(items, limits)
    if set(relations) <= ORDERS:
        chain = Chain(tuple(items), tuple(relations))
        region = region_of(chain, limits)
        return chain if region is None else _of_variable(region, chain_variables(chain))
    raise Unreadable("mixed relations")


def _settle_equation(items: list[Node], limits: Limits) -> Settled:
    first, last = items[0], items[-1]
    if not is_name(first) and is_name(last) and len(items) == 2:
        first, last = last, first
    if is_name(first) and not _mentions(first, last):
        return Named(first, settle(last, limits))
    constants = all(isinstance(item, SCALARS) and not symbols(item) for item in items)
    if len(items) == 2 and constants and equal_scalars(items[0], items[1], limits) is True:
        return settle(items[1], limits)  # a calculation and its result
    if len(items) == 2:
        return Chain((first, last), ("=",))
    if all(isinstance(item, SCALARS) and not symbols(item) for item in items):
        return settle(last, limits)
    raise Unreadable("chain of equations")


def _mentions(name: Node, value: Node) -> bool:
    return isinstance(name, Sym) and isinstance(value, SCALARS) and name.name in symbols(value)


def is_name(node: Node) -> bool:
    """A variable, a function of variables, a product of capitals (a segment), a tuple of names."""
    if isinstance(node, Sym):
        return True
    if isinstance(node, Fn) and node.name in ("call", "overline"):
        return True
    if isinstance(node, Fn) and node.name == "abs":
        return _has_size(node.args[0])
    if isinstance(node, SetOp):
        return all(map(is_name, node.items))
    if isinstance(node, Text):
        return True
    if isinstance(node, Mul):
        return all(isinstance(x, Sym) and x.name.isupper() for x in node.items)
    if isinstance(node, Ratio):
        return all(map(is_name, node.items))
    return isinstance(node, Seq) and node.kind == "tuple" and all(map(is_name, node.items))


def _has_size(node: Node) -> bool:
    """A set, a segment, a vector or a complex number: its bars make a name of its size.

    ``|x| = 5`` is an equation of a real number, which has two roots.
    """
    return is_name(node) and not (isinstance(node, Sym) and node.name in _UNKNOWNS)


_UNKNOWNS = frozenset("xytnmks")


# -- sets -----------------------------------------------------------------------------------------
