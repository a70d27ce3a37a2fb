"""One tree, one meaning: plus-minus into lists, names off values, conditions into real sets.

Leaves out: comparing. ``Region`` is a union of intervals; everything else keeps its node type.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from butwait.transforms.verify.exact import Exact
from butwait.transforms.verify.forms import ONE_DEN, UNIT, TooBig, Undefined
from butwait.transforms.verify.limits import Limits
from butwait.transforms.verify.region import (
    LINE,
    Region,
    complement,
    intersect,
    merge,
    ray,
)
from butwait.transforms.verify.tree import (
    SCALARS,
    Add,
    Builder,
    Chain,
    Div,
    Fn,
    Mul,
    NamedSet,
    Node,
    Num,
    Percent,
    PlusMinus,
    Pow,
    Seq,
    SetOp,
    Span,
    Sym,
    Text,
    Unit,
    Unreadable,
    contains,
    number,
    symbols,
)

_FLIP = {"<": ">", ">": "<", "le": "ge", "ge": "le", "=": "=", "ne": "ne"}
_ORDERS = frozenset({"<", ">", "le", "ge", "ne"})


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
    if isinstance(node, Span | SetOp | Builder):
        return region_of(node, limits) or node
    if isinstance(node, NamedSet) and node.name == "R":
        return LINE
    if isinstance(node, Unit):
        values = expand_signs(node.value)
        if len(values) > 1:
            parts: tuple[Node, ...] = tuple(Unit(v, node.dims, node.factor) for v in values)
            return Seq("list", parts, "or")
    if isinstance(node, Percent) and len(both := expand_signs(node.value)) > 1:
        return Seq("list", tuple(Percent(v) for v in both), "or")
    return node


def expand_signs(node: Node) -> list[Node]:
    """The one or two values of a scalar that may hold plus-minus signs (which go together)."""
    if not _has_signs(node):
        return [node]
    return [_with_sign(node, 1), _with_sign(node, -1)]


def _has_signs(node: Node) -> bool:
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, PlusMinus):
            return True
        if isinstance(item, Add | Mul):
            stack.extend(item.items)
        elif isinstance(item, Fn):
            stack.extend(item.args)
        elif isinstance(item, Div):
            stack.extend((item.num, item.den))
        elif isinstance(item, Pow):
            stack.extend((item.base, item.exp))
    return False


def _with_sign(node: Node, sign: int) -> Node:
    if isinstance(node, PlusMinus):
        inner = _with_sign(node.item, sign)
        return inner if sign * node.sign > 0 else Mul((number(-1), inner))
    if isinstance(node, Add):
        return Add(tuple(_with_sign(item, sign) for item in node.items))
    if isinstance(node, Mul):
        return Mul(tuple(_with_sign(item, sign) for item in node.items))
    if isinstance(node, Fn):
        return Fn(node.name, tuple(_with_sign(item, sign) for item in node.args))
    if isinstance(node, Div):
        return Div(_with_sign(node.num, sign), _with_sign(node.den, sign))
    if isinstance(node, Pow):
        return Pow(_with_sign(node.base, sign), _with_sign(node.exp, sign))
    return node


# -- sequences ------------------------------------------------------------------------------------


def _settle_seq(node: Seq, limits: Limits) -> Settled:
    if node.kind == "list":
        region = _joined_region(node, limits)
        if region is not None:
            return _of_variable(region, _list_variables(node))
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
    return flat[0] if node.kind == "list" and len(flat) == 1 else Seq(node.kind, tuple(flat))


def _has_equation_signs(node: Chain) -> bool:
    return node.relations == ("=",) and isinstance(node.items[1], SCALARS) and (
        _has_signs(node.items[1])
    )  # fmt: skip


def _tuple_with_signs(node: Seq) -> Settled:
    if not any(isinstance(item, SCALARS) and _has_signs(item) for item in node.items):
        return node
    both = [
        Seq("tuple", tuple(_with_sign(x, s) if isinstance(x, SCALARS) else x for x in node.items))
        for s in (1, -1)
    ]
    return Seq("list", tuple(both), "or")


def _is_open_interval(node: Seq) -> bool:
    return len(node.items) == 2 and any(
        isinstance(item, SCALARS) and contains(item, "inf") for item in node.items
    )


def _joined_region(node: Seq, limits: Limits) -> Region | None:
    """Inequalities of one variable joined by "or" (union), "and" or a comma (both)."""
    names: set[str] = set()
    regions: list[Region] = []
    for item in node.items:
        if isinstance(item, Chain) and set(item.relations) <= _ORDERS:
            names |= _chain_variables(item)
        elif isinstance(item, Span):
            names.add("")
        else:
            return None
        region = region_of(item, limits)
        if region is None:
            return None
        regions.append(region)
    if len(names) != 1 or (names == {""} and node.joiner == "comma"):
        return None
    if node.joiner == "or" or names == {""}:
        return merge([piece for region in regions for piece in region.pieces], limits)
    result: Region | None = regions[0]
    for region in regions[1:]:
        result = intersect(result, region, limits) if result is not None else None
    return result


def _chain_variables(chain: Chain) -> set[str]:
    """The variable of an inequality that has become a region; ends may hold parameters."""
    plain = {item.name for item in chain.items if isinstance(item, Sym)}
    return plain or {name for x in chain.items if isinstance(x, SCALARS) for name in symbols(x)}


def _list_variables(node: Seq) -> set[str]:
    return {name for x in node.items if isinstance(x, Chain) for name in _chain_variables(x)}


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
        inside = settle(items[1], limits)
        return Named(items[0], inside) if is_name(items[0]) else inside
    if set(relations) == {"="}:
        return _settle_equation(items, limits)
    if set(relations) <= _ORDERS:
        chain = Chain(tuple(items), tuple(relations))
        region = region_of(chain, limits)
        return chain if region is None else _of_variable(region, _chain_variables(chain))
    raise Unreadable("mixed relations")


def _settle_equation(items: list[Node], limits: Limits) -> Settled:
    first, last = items[0], items[-1]
    if not is_name(first) and is_name(last) and len(items) == 2:
        first, last = last, first
    if is_name(first) and not _mentions(first, last):
        return Named(first, settle(last, limits))
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
    if isinstance(node, Text):
        return True
    if isinstance(node, Mul):
        return all(isinstance(x, Sym) and x.name.isupper() for x in node.items) or (
            len(node.items) == 2 and node.items[0] in _FUNCTION_LETTERS
        )
    return isinstance(node, Seq) and node.kind == "tuple" and all(map(is_name, node.items))


_FUNCTION_LETTERS = tuple(Sym(c) for c in "pqrstuyPQRSTU")


def _is_scalar(node: Node) -> bool:
    return isinstance(node, SCALARS)


# -- sets -----------------------------------------------------------------------------------------


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
        return _chain_region(node, limits)
    if isinstance(node, Seq) and node.kind == "list":
        return _joined_region(node, limits)
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
        _chain_variables(condition)
        if isinstance(condition, Chain)
        else _list_variables(condition)
        if isinstance(condition, Seq)
        else set()
    )
    if bounded - {node.variable}:
        return None
    if isinstance(condition, Chain) and condition.relations == ("in",):
        return region_of(condition.items[1], limits)
    if isinstance(condition, Chain) and condition.relations == ("=",):
        value = condition.items[1]
        points = expand_signs(value) if isinstance(value, SCALARS) else []
        return merge([(v, v, True, True) for v in points], limits) if points else None
    return region_of(condition, limits)


def _chain_region(node: Chain, limits: Limits) -> Region | None:
    if len(node.items) == 2:
        left, right = node.items
        relation = node.relations[0]
        if isinstance(left, SCALARS) and isinstance(right, SCALARS):
            if isinstance(left, Sym) and left.name not in symbols(right):
                return ray(relation, right)
            if isinstance(right, Sym) and right.name not in symbols(left):
                return ray(_FLIP[relation], left)
            return _absolute(node, limits) or _linear(node, limits)
        return None
    if len(node.items) == 3 and isinstance(node.items[1], Sym):
        low, _middle, high = node.items
        one, two = node.relations
        if "ne" in node.relations or not isinstance(low, SCALARS) or not isinstance(high, SCALARS):
            return None
        if one[0] != two[0] and {one, two} & {"<", "le"} and {one, two} & {">", "ge"}:
            return None
        first = ray(_FLIP[one], low)
        second = ray(two, high)
        if first is None or second is None:
            return None
        both = intersect(first, second, limits)
        if both is None and one in ("<", "le"):
            return Region(((low, high, one == "le", two == "le"),))
        return both
    return None


def _absolute(node: Chain, limits: Limits) -> Region | None:
    left, right = node.items
    if not isinstance(left, Fn) or left.name != "abs" or not isinstance(left.args[0], Sym):
        return None
    if not isinstance(right, Num) or right.value <= 0 or node.relations[0] not in ("<", "le"):
        return None
    closed = node.relations[0] == "le"
    return merge([(number(-right.value), right, closed, closed)], limits)


def _linear(node: Chain, limits: Limits) -> Region | None:
    """The half line of ``a x + b < 0`` with rational numbers."""
    left, right = node.items
    names = symbols(left) | symbols(right)
    if len(names) != 1 or node.relations[0] not in _ORDERS:
        return None
    try:
        exact = Exact(limits)
        form = exact.sub(exact.form(left), exact.form(right))
    except (TooBig, Undefined, RecursionError):
        return None
    mono = frozenset({(("v", names.pop()), Fraction(1))})
    terms = dict(form.num)
    slope = terms.pop(mono, Fraction(0))
    offset = terms.pop(UNIT, Fraction(0))
    if terms or not slope or form.den != ONE_DEN:
        return None
    relation = node.relations[0] if slope > 0 else _FLIP[node.relations[0]]
    return ray(relation, number(-offset / slope))
