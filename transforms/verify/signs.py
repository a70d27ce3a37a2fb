"""Plus-minus signs of a scalar, taken out into its two values."""

from __future__ import annotations

from butwait.transforms.verify.tree import (
    Add,
    Div,
    Fn,
    Mul,
    Node,
    PlusMinus,
    Pow,
    number,
)


def expand_signs(node: Node) -> list[Node]:
    """The one or two values of a scalar that may hold plus-minus signs (which go together)."""
    if not has_signs(node):
        return [node]
    return [with_sign(node, 1), with_sign(node, -1)]


def has_signs(node: Node) -> bool:
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


def with_sign(node: Node, sign: int) -> Node:
    if isinstance(node, PlusMinus):
        inner = with_sign(node.item, sign)
        return inner if sign * node.sign > 0 else Mul((number(-1), inner))
    if isinstance(node, Add):
        return Add(tuple(with_sign(item, sign) for item in node.items))
    if isinstance(node, Mul):
        return Mul(tuple(with_sign(item, sign) for item in node.items))
    if isinstance(node, Fn):
        return Fn(node.name, tuple(with_sign(item, sign) for item in node.args))
    if isinstance(node, Div):
        return Div(with_sign(node.num, sign), with_sign(node.den, sign))
    if isinstance(node, Pow):
        return Pow(with_sign(node.base, sign), with_sign(node.exp, sign))
    return node
